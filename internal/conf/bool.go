package conf

import (
	"errors"
	"strings"
)

// ErrNoBool says what Bool wants.
var ErrNoBool = errors.New("must be true or false")

// Bool reads a boolean value: true, yes, 1 or false, no, 0, in any case. The Bash
// pipelines compare with the text true, so only true and false mean the same to them.
func Bool(value string) (bool, error) {
	switch strings.ToLower(value) {
	case "true", "yes", "1":
		return true, nil
	case "false", "no", "0":
		return false, nil
	}
	return false, ErrNoBool
}

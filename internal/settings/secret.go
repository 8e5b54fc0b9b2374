package settings

import (
	"fmt"
	"log/slog"
)

// mask is all that a Secret ever shows of itself.
const mask = "***"

// Secret holds a password, token or key. Whatever prints it (fmt with any verb, slog, JSON, text and YAML encoders)
// gets "***"; only Reveal gives the value. The zero Secret is empty and prints as "".
//
// The value sits behind a pointer because fmt cannot call methods on unexported fields: of a struct that holds a Secret
// in such a field it prints the address, never the text. Compare with Equal, not with ==.
type Secret struct{ value *string }

// NewSecret wraps a value.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{value: &value}
}

// Reveal gives the value, "" for the zero Secret.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero says that there is no value.
func (s Secret) IsZero() bool { return s.value == nil }

// Equal compares the values.
func (s Secret) Equal(o Secret) bool { return s.Reveal() == o.Reveal() }

// String gives "***", or "" when there is no value.
func (s Secret) String() string {
	if s.value == nil {
		return ""
	}
	return mask
}

// GoString gives what String gives.
func (s Secret) GoString() string { return s.String() }

// Format writes what String gives for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// MarshalText gives what String gives.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON gives what String gives as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// MarshalYAML gives what String gives; the interface of the YAML libraries.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// LogValue gives what String gives.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// EnvDecode takes the value of an environment variable; the interface of go-envconfig.
func (s *Secret) EnvDecode(value string) error {
	*s = NewSecret(value)
	return nil
}

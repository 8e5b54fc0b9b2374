package state

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caur-build/caur/internal/conf"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// text sets a string as it is.
func text[T any](field func(*T) *string) func(*T, string) error {
	return func(c *T, value string) error {
		*field(c) = value
		return nil
	}
}

func boolean[T any](field func(*T) *bool) func(*T, string) error {
	return func(c *T, value string) error {
		b, err := conf.Bool(value)
		*field(c) = b
		return err
	}
}

func integer[T any](least, most int, field func(*T) *int) func(*T, string) error {
	return func(c *T, value string) error {
		n, err := strconv.Atoi(value)
		if err != nil || n < least || n > most {
			return fmt.Errorf("must be a whole number from %d to %d", least, most)
		}
		*field(c) = n
		return nil
	}
}

// duration sets a time given in units, with or without a decimal part.
func duration[T any](unit time.Duration, name string, field func(*T) *time.Duration) func(*T, string) error {
	const most = 10 * 365 * 24 * time.Hour
	return func(c *T, value string) error {
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || !(n >= 0 && n <= float64(most/unit)) {
			return fmt.Errorf("must be a number of %s, 0 or more", name)
		}
		*field(c) = time.Duration(math.Round(n * float64(unit)))
		return nil
	}
}

// name sets a name that becomes part of paths, command lines and Redis keys.
func name[T any](field func(*T) *string) func(*T, string) error {
	return func(c *T, value string) error {
		if !srcinfo.LegalName(value) {
			return errors.New("is no legal name: letters, digits and @ . _ + -, neither . nor - in front")
		}
		*field(c) = value
		return nil
	}
}

// class sets a builder class: a number or the name of one builder.
func class[T any](field func(*T) *string) func(*T, string) error {
	return func(c *T, value string) error {
		if !srcinfo.LegalName(value) {
			return errors.New("must be a number or the name of a builder")
		}
		*field(c) = value
		return nil
	}
}

// pkgbases sets a colon list of packages. Blanks around a name and empty entries mean nothing.
func pkgbases[T any](field func(*T) *[]string) func(*T, string) error {
	return func(c *T, value string) error {
		var names []string
		for item := range strings.SplitSeq(value, ":") {
			item = strings.TrimSpace(item)
			switch {
			case item == "":
			case !srcinfo.LegalName(item):
				return fmt.Errorf("must be package names joined with colons; %s is no legal name", excerpt(item))
			default:
				names = append(names, item)
			}
		}
		*field(c) = names
		return nil
	}
}

// urls sets a blank-separated list of URLs.
func urls[T any](field func(*T) *[]string) func(*T, string) error {
	return func(c *T, value string) error {
		list := strings.Fields(value)
		for _, item := range list {
			if err := checkURL(item, "http", "https", "file"); err != nil {
				return err
			}
		}
		*field(c) = list
		return nil
	}
}

// checkURL never shows the URL: it may hold a password.
func checkURL(value string, schemes ...string) error {
	u, err := url.Parse(value)
	if err == nil {
		for _, scheme := range schemes {
			if u.Scheme == scheme && (u.Host != "" || (scheme == "file" || scheme == "unix") && u.Path != "") {
				return nil
			}
		}
	}
	return fmt.Errorf("must be a URL that begins with %s://", strings.Join(schemes, ":// or "))
}

func oneOf[T any](words []string, field func(*T) *string) func(*T, string) error {
	return func(c *T, value string) error {
		for _, word := range words {
			if value == word {
				*field(c) = value
				return nil
			}
		}
		return errors.New("must be " + strings.Join(words, " or "))
	}
}

// patterns sets a list of regular expressions joined with semicolons.
func patterns[T any](field func(*T) *[]*regexp.Regexp) func(*T, string) error {
	return func(c *T, value string) error {
		var list []*regexp.Regexp
		for item := range strings.SplitSeq(value, ";") {
			if item == "" {
				continue
			}
			re, err := regexp.Compile(item)
			if err != nil {
				return fmt.Errorf("must be regular expressions joined with semicolons: %w", err)
			}
			list = append(list, re)
		}
		*field(c) = list
		return nil
	}
}

// excerpt quotes the beginning of a value for a message.
func excerpt(s string) string {
	const most = 60
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.QuoteToASCII(s)
}

// Package settings fills structs from flags, the environment, files and defaults, and says everything that is wrong in
// one error.
//
// A setting is an exported struct field with the tag of go-envconfig, `env:"REDIS_PORT, default=6379"`, and for the
// reference documentation `help:"port of the Redis server"`. Its value is the first of
//
//  1. what the field already holds (a flag, a value set by the caller),
//  2. the environment variable, unless it is empty,
//  3. the contents of the file that NAME_FILE names, one trailing newline removed,
//  4. the default of the tag.
//
// So an empty variable takes the default. Where NAME_FILE is a setting in its own right (SSH_KEY_FILE beside SSH_KEY),
// step 3 is left out for NAME. Secrets have the type Secret, which never prints.
package settings

import (
	"context"
	"os"
	"strings"

	"github.com/sethvargo/go-envconfig"
)

// Lookuper finds the value of a name; ok says whether the name is set.
type Lookuper interface {
	Lookup(name string) (value string, ok bool)
}

// Environ looks names up in the environment of this process.
func Environ() Lookuper { return envconfig.OsLookuper() }

// Map looks names up in a map; for tests and for values that come from elsewhere.
func Map(m map[string]string) Lookuper { return envconfig.MapLookuper(m) }

// First asks each Lookuper in turn and takes the first value that is not empty.
func First(ls ...Lookuper) Lookuper { return first(ls) }

type first []Lookuper

func (ls first) Lookup(name string) (string, bool) {
	for _, l := range ls {
		if v, ok := l.Lookup(name); ok && v != "" {
			return v, true
		}
	}
	return "", false
}

// Error is every problem that Load found. Programs end with exit code 2 on it.
type Error struct{ Problems []string }

// Error lists the problems, one a line when there are several.
func (e *Error) Error() string {
	if len(e.Problems) == 1 {
		return "settings: " + e.Problems[0]
	}
	return "settings:\n  " + strings.Join(e.Problems, "\n  ")
}

// ExitCode is 2: wrong usage or settings.
func (*Error) ExitCode() int { return 2 }

// Checker is a settings struct that checks its own values after they are filled. Each string names the variable and
// what would be right.
type Checker interface{ Check() []string }

// Load fills target, a pointer to a struct; nested structs are filled too. A problem of any field, missing required
// values, unreadable files and what Check of a struct says all end up in one *Error. Any other error is a mistake in
// the struct's tags.
func Load(ctx context.Context, target any, look Lookuper) error {
	return load(ctx, target, look, os.ReadFile)
}

package state

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/caur-build/caur/internal/conf"
)

// Key describes one key of a configuration file, for documentation and lint.
type Key struct {
	Name          string
	Default       string // as it would be written, "" for none
	Help          string
	SteersUpdates bool // a change of it alone builds nothing (package keys)
	secret        bool // may hold a password
	bool          bool
}

// setting is a key and where its value goes in T.
type setting[T any] struct {
	Key
	set func(*T, string) error
}

// RootKeys lists the keys of .ci/config in the order of the documentation.
func RootKeys() []Key { return keysOf(rootTable) }

// PackageKeys lists the keys of PKGDIR/.CI/config in the order of the documentation.
func PackageKeys() []Key { return keysOf(packageTable) }

func keysOf[T any](table []setting[T]) []Key {
	keys := make([]Key, len(table))
	for i := range table {
		keys[i] = table[i].Key
	}
	return keys
}

// The tables never change after they are made.
var (
	rootTable    = rootSettings()
	packageTable = packageSettings()
	stateTable   = stateSettings()
)

// has tells whether a table knows a key.
func has[T any](table []setting[T], key string) bool {
	return slices.ContainsFunc(table, func(s setting[T]) bool { return s.Name == key })
}

// stateKeys are those of the state branch. Older repositories kept them in .CI/config.
var stateKeys = []string{keyCommit, keyMaintainers, keyTimestamp, keyHeld}

// lookup gives the value of a key that has one: from the environment, else the file.
func lookup(key string, file *conf.File, env func(string) (string, bool)) (value, source string, line int, ok bool) {
	if env != nil {
		if value, ok := env(key); ok && strings.TrimSpace(value) != "" {
			return strings.TrimSpace(value), "environment", 0, true
		}
	}
	value, ok = file.Get(key)
	return value, file.Name(), file.Line(key), ok && value != ""
}

// fill sets every key of the table in target, defaults included, and gives the
// remarks and the wrong values. The table's own defaults never are wrong.
func fill[T any](target *T, table []setting[T], file *conf.File, env func(string) (string, bool)) (remarks, wrong []Problem) {
	for i := range table {
		s := &table[i]
		value, source, line, ok := lookup(s.Name, file, env)
		if !ok {
			value = s.Default
		}
		if value == "" {
			continue
		}
		at := Problem{File: source, Line: line, Key: s.Name}
		if err := s.set(target, value); err != nil {
			at.Message = err.Error()
			if !s.secret {
				at.Message = excerpt(value) + " " + at.Message
			}
			wrong = append(wrong, at)
			continue
		}
		if s.bool && ok && value != "true" && value != "false" {
			at.Message = "is " + excerpt(value) + ": the Bash scripts know only true and false"
			remarks = append(remarks, at)
		}
	}
	return remarks, wrong
}

// remarks reports the keys of a file that its table does not know, keys that are set more than
// once, and lines that set nothing. elsewhere says where a key would be at home, "" where nowhere.
func remarks[T any](file *conf.File, table []setting[T], elsewhere func(key string) string) []Problem {
	var list []Problem
	first := map[string]int{}
	for _, e := range file.Entries() {
		at := Problem{File: file.Name(), Line: e.Line, Key: e.Key}
		if line, again := first[e.Key]; again {
			at.Message = fmt.Sprintf("again, after line %d; the last one counts", line)
			list = append(list, at)
			continue
		}
		first[e.Key] = e.Line
		if has(table, e.Key) {
			continue
		}
		at.Message = "unknown key"
		if home := elsewhere(e.Key); home != "" {
			at.Message += ": it belongs " + home
		} else if near := nearest(e.Key, keysOf(table)); near != "" {
			at.Message += "; meant is perhaps " + near
		}
		list = append(list, at)
	}
	for _, line := range file.Ignored() {
		list = append(list, Problem{File: file.Name(), Line: line, Message: "is neither KEY=VALUE nor a comment and is ignored"})
	}
	return list
}

func sortProblems(list []Problem) {
	slices.SortStableFunc(list, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
}

// nearest finds the known key that differs from key by the least typing, "" where none is near.
func nearest(key string, table []Key) string {
	best, least := "", 4
	if len(key) > 64 {
		return ""
	}
	for _, k := range table {
		if d := distance(strings.ToUpper(key), k.Name); d < least {
			best, least = k.Name, d
		}
	}
	return best
}

// distance counts the letters to insert, delete or replace (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			above := row[j+1]
			cost := corner
			if a[i] != b[j] {
				cost++
			}
			row[j+1] = min(above+1, row[j]+1, cost)
			corner = above
		}
	}
	return row[len(b)]
}

// BuildChanged tells whether the step from one .CI/config to the next can change the
// built package or how it is built (pipeline.md section 2): a key other than those that
// only steer updates has another value. An unknown key counts, an executor may know it. Either may
// be nil for a file that is not there.
func BuildChanged(older, newer []byte) bool {
	steering := map[string]bool{}
	for _, key := range stateKeys {
		steering[key] = true
	}
	for i := range packageTable {
		steering[packageTable[i].Name] = packageTable[i].SteersUpdates
	}
	was, is := conf.Parse("", older), conf.Parse("", newer)
	for _, key := range append(was.Keys(), is.Keys()...) {
		before, _ := was.Get(key)
		after, _ := is.Get(key)
		if before != after && !steering[key] {
			return true
		}
	}
	return false
}

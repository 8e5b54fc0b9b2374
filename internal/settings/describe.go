package settings

import (
	"fmt"
	"reflect"
)

// Setting describes one setting for the reference documentation.
type Setting struct {
	Name     string // of the environment variable
	Default  string // as in the tag, "" when there is none
	Help     string // the help tag
	Required bool
	Secret   bool
	File     bool // may also be given as the contents of the file that NAME_FILE names
}

// Describe lists the settings of target, a struct or a pointer to one, in the order of the source.
func Describe(target any) ([]Setting, error) {
	t := reflect.TypeOf(target)
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("settings: %T is not a struct", target)
	}
	fields, err := collect(reflect.New(t).Elem(), "")
	if err != nil {
		return nil, err
	}
	own := make(map[string]bool, len(fields))
	for _, f := range fields {
		own[f.name] = true
	}
	out := make([]Setting, len(fields))
	for i, f := range fields {
		out[i] = Setting{
			Name: f.name, Default: f.fallback, Help: f.tag.Get("help"), Required: f.required,
			Secret: f.typ == reflect.TypeFor[Secret](), File: !own[f.name+"_FILE"],
		}
	}
	return out, nil
}

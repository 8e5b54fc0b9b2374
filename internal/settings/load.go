package settings

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"
)

// field is one setting of a target struct.
type field struct {
	value    reflect.Value
	tag      reflect.StructTag
	typ      reflect.Type
	goName   string
	name     string // of the variable, with the prefix
	prefix   string
	fallback string // default of the tag, unexpanded
	required bool
}

type loader struct {
	look     Lookuper
	readFile func(string) ([]byte, error)
	own      map[string]bool // names of all settings
	problems []string
}

func load(ctx context.Context, target any, look Lookuper, readFile func(string) ([]byte, error)) error {
	v := reflect.ValueOf(target)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("settings: %T is not a pointer to a struct", target)
	}
	fields, err := collect(v.Elem(), "")
	if err != nil {
		return err
	}
	l := &loader{look: look, readFile: readFile, own: make(map[string]bool, len(fields))}
	for _, f := range fields {
		l.own[f.name] = true
	}
	for _, f := range fields {
		if err := l.fill(ctx, f); err != nil {
			return err
		}
	}
	if len(l.problems) == 0 {
		l.check(v.Elem())
	}
	if len(l.problems) > 0 {
		return &Error{Problems: l.problems}
	}
	return nil
}

// collect lists the settings of v and of the structs in it, in the order of the source.
func collect(v reflect.Value, prefix string) ([]field, error) {
	var out []field
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		key, opts := parseTag(sf.Tag.Get("env"))
		if !sf.IsExported() && !sf.Anonymous {
			continue
		}
		fv := v.Field(i)
		if key == "" {
			if fv.Kind() != reflect.Struct {
				continue
			}
			sub, err := collect(fv, prefix+opts.prefix)
			if err != nil {
				return nil, err
			}
			out = append(out, sub...)
			continue
		}
		if !fv.CanSet() {
			return nil, fmt.Errorf("settings: field %s with a tag is not exported", sf.Name)
		}
		out = append(out, field{
			value: fv, tag: sf.Tag, typ: sf.Type, goName: sf.Name,
			name: prefix + key, prefix: prefix, fallback: opts.fallback, required: opts.required,
		})
	}
	return out, nil
}

type tagOptions struct {
	prefix, fallback string
	required         bool
}

// parseTag reads of a go-envconfig tag what is needed here: a default takes the rest of the tag, commas included.
func parseTag(tag string) (key string, o tagOptions) {
	key, rest, _ := strings.Cut(tag, ",")
	for rest != "" {
		trimmed := strings.TrimLeft(rest, " ")
		if d, ok := strings.CutPrefix(trimmed, "default="); ok {
			o.fallback = d
			break
		}
		var opt string
		opt, rest, _ = strings.Cut(trimmed, ",")
		if p, ok := strings.CutPrefix(opt, "prefix="); ok {
			o.prefix = p
		}
		o.required = o.required || strings.TrimSpace(opt) == "required"
	}
	return strings.TrimSpace(key), o
}

// fill gives one field its value. Each field goes through go-envconfig alone, in a struct of one field, since the
// library stops at the first problem it meets.
func (l *loader) fill(ctx context.Context, f field) error {
	if !f.value.IsZero() {
		return nil
	}
	text, from, err := l.find(f.name)
	if err != nil {
		l.problems = append(l.problems, err.Error())
		return nil
	}
	single := reflect.New(reflect.StructOf([]reflect.StructField{{Name: f.goName, Type: f.typ, Tag: f.tag}}))
	look := envconfig.LookuperFunc(func(key string) (string, bool) {
		if f.prefix+key == f.name {
			return text, text != ""
		}
		return l.look.Lookup(key)
	})
	err = envconfig.ProcessWith(ctx, &envconfig.Config{Target: single.Interface(), Lookuper: look})
	switch {
	case err == nil:
		f.value.Set(single.Elem().Field(0))
	case text != "":
		l.problems = append(l.problems, f.wrong(text, from, err))
	case errors.Is(err, envconfig.ErrMissingRequired):
		l.problems = append(l.problems, f.name+" is not set"+f.helpText())
	default:
		return fmt.Errorf("settings: the tag of %s: %w", f.name, err)
	}
	return nil
}

// find gives the text of a setting and the file it came from, "" for the environment.
func (l *loader) find(name string) (text, from string, err error) {
	if v, ok := l.look.Lookup(name); ok && v != "" {
		return v, "", nil
	}
	fileName := name + "_FILE"
	if l.own[fileName] {
		return "", "", nil
	}
	path, ok := l.look.Lookup(fileName)
	if !ok || path == "" {
		return "", "", nil
	}
	data, err := l.readFile(path)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", fileName, err)
	}
	text = strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	return text, path, nil
}

// wrong says what is wrong with a value, without the value when it may be a secret.
func (f field) wrong(text, from string, err error) string {
	what := f.name
	switch {
	case from != "":
		what += " (from " + from + ")"
	case f.typ != reflect.TypeFor[Secret]():
		what += fmt.Sprintf("=%q", text)
	}
	if want := f.want(); want != "" {
		return what + ": must be " + want
	}
	return what + ": " + strings.TrimPrefix(err.Error(), f.goName+": ")
}

func (f field) want() string {
	if f.typ == reflect.TypeFor[time.Duration]() {
		return "a duration such as 90s, 15m or 2h"
	}
	switch f.typ.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number that is not negative"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return ""
}

func (f field) helpText() string {
	if h := f.tag.Get("help"); h != "" {
		return " (" + h + ")"
	}
	return ""
}

// check asks v and the structs in it that are Checkers.
func (l *loader) check(v reflect.Value) {
	if c, ok := v.Addr().Interface().(Checker); ok {
		l.problems = append(l.problems, c.Check()...)
	}
	for i := range v.NumField() {
		if v.Type().Field(i).IsExported() && v.Field(i).Kind() == reflect.Struct {
			l.check(v.Field(i))
		}
	}
}

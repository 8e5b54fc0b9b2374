package pkgbuild

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"mvdan.cc/editorconfig"
	"mvdan.cc/sh/v3/syntax"
)

// Style is how Format lays a file out. The zero value is shfmt's default: tabs.
type Style struct {
	Indent           uint // spaces for a level; 0 means tabs (indent_style, indent_size)
	BinaryNextLine   bool // && and | begin the next line (binary_next_line)
	SwitchCaseIndent bool // case patterns are indented (switch_case_indent)
	SpaceRedirects   bool // a blank after > and < (space_redirects)
	KeepPadding      bool // column alignment is kept (keep_padding)
	FunctionNextLine bool // { of a function on its own line (function_next_line)
	Ignore           bool // leave the file as it is (ignore)
}

// StyleFor reads the .editorconfig files that apply to a file of a repository, from its directory up to the root of
// fsys or to one that says root=true, the way shfmt does. The name is slash-separated and relative to fsys. No
// .editorconfig gives the zero Style.
func StyleFor(fsys fs.FS, name string) (Style, error) {
	var props editorconfig.Section
	name = path.Clean(name)
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		config, err := readEditorconfig(fsys, path.Join(dir, editorconfig.DefaultName))
		if err != nil {
			return Style{}, err
		}
		if config != nil {
			relative := strings.TrimPrefix(name, dir+"/")
			props.Add(filter(config, relative)...)
		}
		if dir == "." || dir == "/" || config != nil && config.Root {
			return styleOf(props), nil
		}
	}
}

func readEditorconfig(fsys fs.FS, name string) (*editorconfig.File, error) {
	data, err := fs.ReadFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the formatting options: %w", err)
	}
	config, err := editorconfig.Parse(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read the formatting options of %s: %w", name, err)
	}
	return config, nil
}

// filter returns the properties that apply to the file. The library panics on a section name that is no valid
// pattern; such a section applies to nothing.
func filter(config *editorconfig.File, name string) []editorconfig.Property {
	var props editorconfig.Section
	for i := len(config.Sections) - 1; i >= 0; i-- {
		one := &editorconfig.File{Sections: config.Sections[i : i+1]}
		props.Add(filterSection(one, name)...)
	}
	return props.Properties
}

func filterSection(config *editorconfig.File, name string) (props []editorconfig.Property) {
	defer func() {
		if recover() != nil {
			props = nil
		}
	}()
	return config.Filter(name, []string{"shell", "bash"}, nil).Properties
}

func styleOf(props editorconfig.Section) Style {
	is := func(key string) bool { return props.Get(key) == "true" }
	style := Style{
		BinaryNextLine:   is("binary_next_line"),
		SwitchCaseIndent: is("switch_case_indent"),
		SpaceRedirects:   is("space_redirects"),
		KeepPadding:      is("keep_padding"),
		FunctionNextLine: is("function_next_line"),
		Ignore:           is("ignore"),
	}
	if props.Get("indent_style") == "space" {
		style.Indent = 8
		if n := props.IndentSize(); n > 0 && n <= 80 {
			style.Indent = uint(n)
		}
	}
	return style
}

// Format lays a PKGBUILD out as `shfmt -ln=bash` would with these options. Formatting twice gives the same bytes as
// formatting once. Every error is an *Error. The meaning is kept: if the result does not have the normal form of the input, Format refuses.
func Format(name string, data []byte, style Style) ([]byte, error) {
	file, err := Parse(name, data)
	if err != nil {
		return nil, err
	}
	if style.Ignore {
		return file.Bytes(), nil
	}
	out, err := printStyle(name, file.tree, style)
	if err != nil {
		return nil, err
	}
	return out, sameMeaning(file, out)
}

func printStyle(name string, tree *syntax.File, style Style) ([]byte, error) {
	printer := syntax.NewPrinter(
		syntax.Indent(style.Indent),
		syntax.BinaryNextLine(style.BinaryNextLine),
		syntax.SwitchCaseIndent(style.SwitchCaseIndent),
		syntax.SpaceRedirects(style.SpaceRedirects),
		//lint:ignore SA1019 deprecated, but a repository's .editorconfig may ask for it
		syntax.KeepPadding(style.KeepPadding),
		syntax.FunctionNextLine(style.FunctionNextLine),
	)
	return printTree(printer, name, tree)
}

func sameMeaning(before *File, formatted []byte) error {
	after, err := Parse(before.name, formatted)
	if err != nil {
		return &Error{File: before.name, Message: "formatting would break it: " + err.Error()}
	}
	want, err := before.Normal()
	if err != nil {
		return err
	}
	got, err := after.Normal()
	if err != nil {
		return err
	}
	if !bytes.Equal(want, got) {
		return &Error{File: before.name, Message: "formatting would change its meaning; it is left as it is"}
	}
	return nil
}

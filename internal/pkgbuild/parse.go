package pkgbuild

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Bounds on what Parse accepts. The largest PKGBUILD of a live repository of 2,541 packages has 103,341 bytes, the deepest tree 40 nodes.
const (
	MaxSize  = 1 << 20 // bytes
	maxDepth = 1000    // nodes from the root of the tree to a leaf
	// The parser is a recursive descent that spends at most about 12 stack frames on a level of nesting. Go cannot
	// recover from an exhausted stack, so its depth is measured while it reads.
	maxFrames = 6000
)

// Error is a problem at a line of a PKGBUILD.
type Error struct {
	File    string // as given to Parse
	Line    int    // 1-based; 0 when the whole file is meant
	Message string
	Err     error // the kind, for errors.Is: ErrNotLiteral, ErrMissing, or nil
}

func (e *Error) Unwrap() error { return e.Err }

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Message
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message)
}

// File is a parsed PKGBUILD. It is immutable and safe for concurrent use.
type File struct {
	name string
	src  []byte
	tree *syntax.File
}

// Parse reads a PKGBUILD (or an install script, which is bash too). The name is used for messages only. Input that bash or makepkg would not
// take as it stands (NUL bytes, carriage returns, which makepkg refuses) and text that is not UTF-8 is an error,
// as are more than MaxSize bytes and nesting beyond any sensible depth. Every error is an *Error.
func Parse(name string, data []byte) (*File, error) {
	if err := checkBytes(name, data); err != nil {
		return nil, err
	}
	tree, err := parseTree(name, data)
	if err != nil {
		return nil, err
	}
	return &File{name: name, src: bytes.Clone(data), tree: tree}, nil
}

// Name returns the name given to Parse.
func (f *File) Name() string { return f.name }

// Bytes returns a copy of the source.
func (f *File) Bytes() []byte { return bytes.Clone(f.src) }

// Tree returns the syntax tree, to be read only.
func (f *File) Tree() *syntax.File { return f.tree }

// Text returns the source text of a node of Tree, without the comments around it.
func (f *File) Text(node syntax.Node) string {
	from, to := node.Pos().Offset(), node.End().Offset()
	if from > to || to > uint(len(f.src)) {
		return ""
	}
	return string(f.src[from:to])
}

func checkBytes(name string, data []byte) error {
	if len(data) > MaxSize {
		return &Error{File: name, Message: fmt.Sprintf("has %d bytes, more than the %d that are accepted", len(data), MaxSize)}
	}
	if i := bytes.IndexByte(data, 0); i >= 0 {
		return &Error{File: name, Line: lineAt(data, i), Message: "contains a NUL byte, which bash would silently drop"}
	}
	if i := bytes.IndexByte(data, '\r'); i >= 0 {
		return &Error{File: name, Line: lineAt(data, i), Message: "contains a carriage return (CRLF line ends?); makepkg refuses such files: convert the line ends"}
	}
	return nil
}

func lineAt(data []byte, offset int) int { return 1 + bytes.Count(data[:offset], []byte("\n")) }

// parseTree parses and bounds the tree, and refuses what the parser is known to read in another way than bash: who
// reads the tree must see the commands that bash would run.
func parseTree(name string, data []byte) (*syntax.File, error) {
	tree, err := parseComments(name, data)
	if err != nil {
		return nil, err
	}
	if line, message := misread(tree, data); line > 0 {
		return nil, &Error{File: name, Line: line, Message: message}
	}
	return tree, nil
}

func parseOnce(name string, data []byte) (*syntax.File, error) {
	parser := syntax.NewParser(syntax.Variant(syntax.LangBash), syntax.KeepComments(true))
	tree, err := parser.Parse(&depthReader{data: data}, name)
	if err != nil {
		return nil, parseError(name, err)
	}
	if line := settle(tree); line > 0 {
		return nil, &Error{File: name, Line: line, Message: errDepth.Error()}
	}
	return tree, nil
}

func parseError(name string, err error) error {
	var parse syntax.ParseError
	var lang syntax.LangError
	switch {
	case errors.As(err, &parse):
		return &Error{File: name, Line: int(parse.Pos.Line()), Message: parse.Text}
	case errors.As(err, &lang):
		message := strings.TrimPrefix(lang.Error(), lang.Filename+":"+lang.Pos.String()+": ")
		return &Error{File: name, Line: int(lang.Pos.Line()), Message: message}
	default:
		return &Error{File: name, Message: err.Error()}
	}
}

var errDepth = errors.New("is nested too deeply to be a sane PKGBUILD")

// depthReader feeds the parser in small pieces and looks at the depth of the stack before each: the parser calls
// Read from inside its recursion, so it can be stopped before the stack is exhausted.
type depthReader struct {
	data  []byte
	reads int
}

func (r *depthReader) Read(p []byte) (int, error) {
	var deepest [1]uintptr
	if r.reads%4 == 0 && runtime.Callers(maxFrames, deepest[:]) > 0 { // a look costs as much as parsing a few hundred bytes
		return 0, errDepth
	}
	r.reads++
	if len(r.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 1024)], r.data)
	r.data = r.data[n:]
	return n, nil
}

// settle regroups the tree as bash reads it, and returns the line where it exceeds maxDepth, else 0. Chains such as
// `a && b && …` are parsed in a loop but give trees that are as deep as they are long, and everything that walks or prints a
// tree is recursive.
func settle(tree *syntax.File) int {
	depth, line := 0, 0
	syntax.Walk(tree, func(node syntax.Node) bool {
		if node == nil {
			depth--
			return true
		}
		if depth >= maxDepth {
			if line == 0 {
				line = max(1, int(node.Pos().Line()))
			}
			return false
		}
		if stmt, ok := node.(*syntax.Stmt); ok {
			regroup(stmt)
		}
		depth++
		return true
	})
	return line
}

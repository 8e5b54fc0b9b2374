package review

import (
	"reflect"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/caur-build/caur/internal/pkgbuild"
)

// form writes syntax in a form for comparing: two pieces with the same form run the same commands. Layout, comments and
// quotes that change nothing leave no trace; everything else does, whatever the parser may come to know: fields are
// walked by reflection, so none can be forgotten.
type form struct {
	out strings.Builder
	raw bool // quotes count: aliases are about, or the place is one where quotes mean more
	tab bool // in a here-document of <<-, whose lines lose their leading tabs
	bol bool // at the beginning of one of its lines
}

// formOf gives the form of a node. With raw, every quote counts.
func formOf(node any, raw bool) string {
	f := form{raw: raw}
	f.value(reflect.ValueOf(node))
	return f.out.String()
}

// layoutFields are flags and comments that only say how something is laid out. Of positions one counts: that InPos is valid
// means that a loop has a list.
var layoutFields = map[string]bool{
	"Comments": true, "Last": true, "CondLast": true, "ThenLast": true, "DoLast": true,
	"Short": true, "RsrvWord": true, "Parens": true, "Backquotes": true, "Bracket": true, "Braces": true,
}

var (
	posType  = reflect.TypeFor[syntax.Pos]()
	wordType = reflect.TypeFor[*syntax.Word]()
)

func (f *form) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			f.out.WriteString("-")
			return
		}
		if v.Type() == wordType && !f.raw {
			f.word(v.Interface().(*syntax.Word))
			return
		}
		f.value(v.Elem())
	case reflect.Slice:
		f.out.WriteByte('[')
		for i := range v.Len() {
			f.value(v.Index(i))
			f.out.WriteByte(' ')
		}
		f.out.WriteByte(']')
	case reflect.Struct:
		f.fields(v)
	case reflect.String:
		f.text(v.String())
	case reflect.Bool:
		f.flag(v.Bool())
	default:
		f.out.WriteString(strconv.FormatUint(v.Uint(), 10))
	}
}

func (f *form) text(s string) {
	if f.tab {
		if f.bol {
			s = strings.TrimLeft(s, "\t")
		}
		s = leadingTabs().ReplaceAllString(s, "\n")
		f.bol = strings.HasSuffix(s, "\n")
	}
	f.out.WriteString(strconv.Quote(s))
}

var leadingTabs = lazily(`\n\t+`)

func (f *form) flag(set bool) {
	if set {
		f.out.WriteByte('+')
	} else {
		f.out.WriteByte('.')
	}
}

func (f *form) fields(v reflect.Value) {
	t := v.Type()
	was, wasTab := f.raw, f.tab
	switch t.Name() {
	case "TestClause", "ParamExp", "BinaryArithm", "UnaryArithm", "ParenArithm", "ArithmExp", "ArithmCmd", "LetClause", "CStyleLoop":
		f.raw = true
	case "Redirect":
		op := syntax.RedirOperator(v.FieldByName("Op").Uint())
		f.raw = was || op == syntax.Hdoc || op == syntax.DashHdoc
		f.tab = op == syntax.DashHdoc
	case "CmdSubst", "ProcSubst", "Block", "Subshell": // commands again, wherever they stand
		f.tab = false
	}
	defer func() { f.raw, f.tab, f.bol = was, wasTab, false }()
	f.out.WriteString(t.Name())
	f.out.WriteByte('(')
	for i := range t.NumField() {
		field := t.Field(i)
		switch {
		case field.Type == posType:
			if field.Name == "InPos" {
				f.flag(v.Field(i).Interface().(syntax.Pos).IsValid())
			}
		case field.Name == "Short" && !v.FieldByName("Index").IsNil(): // a[1] in arithmetic, which is not ${a[1]}
			f.flag(v.Field(i).Bool())
		case layoutFields[field.Name]:
		default:
			f.bol = f.bol || f.tab && field.Name == "Hdoc"
			f.value(v.Field(i))
			f.out.WriteByte(' ')
		}
	}
	f.out.WriteByte(')')
}

// word writes a word so that quotes around plain characters make no difference: 'a'b, "ab" and ab are the same, and so are
// "$x"/y and "$x/y".
func (f *form) word(w *syntax.Word) {
	pieces, ok := quotedPieces(w)
	if !ok {
		f.raw = true
		f.value(reflect.ValueOf(*w))
		f.raw = false
		return
	}
	f.out.WriteString("w<")
	text, open := "", false
	flush := func() {
		if open {
			f.out.WriteString(strconv.Quote(text))
		}
		text, open = "", false
	}
	for _, p := range pieces {
		if p.part == nil {
			text += p.text
			open = true
			continue
		}
		flush()
		f.flag(p.quoted)
		f.value(reflect.ValueOf(p.part))
	}
	flush()
	f.out.WriteByte('>')
}

// piece is a run of characters that stand for themselves, or an expansion.
type piece struct {
	text   string
	part   syntax.WordPart
	quoted bool
}

// quotedPieces takes a word apart. It is false for words in which an unquoted character may be more than itself: patterns,
// braces, tildes.
func quotedPieces(w *syntax.Word) ([]piece, bool) {
	var out []piece
	for _, part := range w.Parts {
		switch part := part.(type) {
		case *syntax.Lit:
			text, ok := plain(part.Value)
			if !ok {
				return nil, false
			}
			if text != "" {
				out = append(out, piece{text: text})
			}
		case *syntax.SglQuoted:
			if part.Dollar {
				return nil, false
			}
			out = append(out, piece{text: part.Value})
		case *syntax.DblQuoted:
			if part.Dollar {
				return nil, false
			}
			if len(part.Parts) == 0 {
				out = append(out, piece{})
			}
			for _, inner := range part.Parts {
				if lit, ok := inner.(*syntax.Lit); ok {
					out = append(out, piece{text: pkgbuild.Unescape(lit.Value)})
				} else {
					out = append(out, piece{part: inner, quoted: true})
				}
			}
		case *syntax.ExtGlob, *syntax.BraceExp:
			return nil, false
		default:
			out = append(out, piece{part: part})
		}
	}
	return out, true
}

// plain removes the backslashes of unquoted text; false when a character that is not escaped could be special.
func plain(s string) (string, bool) {
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s):
			i++
			if s[i] != '\n' {
				out.WriteByte(s[i])
			}
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("_-./:+@%^,=", c) >= 0 || c >= 0x80:
			out.WriteByte(c)
		default:
			return "", false
		}
	}
	return out.String(), true
}

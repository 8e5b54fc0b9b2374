package review

import (
	"path"
	"strings"

	"mvdan.cc/sh/v3/syntax"

	"github.com/caur-build/caur/internal/pkgbuild"
)

// scan collects the commands of one file.
type scan struct {
	file     string
	zone     zone
	fn       string
	how      string
	line     int // the line that all positions stand for, inside code that is not the file's own; else 0
	depth    int
	work     int
	commands []*command
	decoded  []hidden                    // text that was made on the way to a shell
	decls    map[string]*syntax.FuncDecl // the file's own functions
	calls    int                         // calls of them that were walked
	inCall   int
	lost     bool // there was more than is looked at, or code that cannot be read
	cache    map[substKey]produced
}

type substKey struct {
	stmt    *syntax.Stmt
	variant int
}

// produced is what statements leave: their commands, and their output where it is known.
type produced struct {
	commands []*command
	text     string
	known    bool
}

// input is what statements read.
type input struct {
	feeds []*command
	text  string
	known bool
}

func newScan(file string, z zone) *scan {
	return &scan{file: file, zone: z, work: maxWork, decls: map[string]*syntax.FuncDecl{}, cache: map[substKey]produced{}}
}

func (s *scan) spend(n int) bool {
	if s.work -= n; s.work < 0 {
		s.lost = true
		return false
	}
	return true
}

// run walks a file. static holds what is known of its variables; it may be nil.
func (s *scan) run(tree *syntax.File, static *pkgbuild.Static) {
	r := &resolver{scan: s, vars: map[string]*binding{}}
	if static != nil {
		for _, name := range static.Names() {
			if v := static.Get(name); v.Static() && v.Kind != pkgbuild.Unset {
				r.bind(name, v.Items, false, nil)
			}
		}
	}
	syntax.Walk(tree, func(n syntax.Node) bool {
		if fn, ok := n.(*syntax.FuncDecl); ok {
			s.decls[fn.Name.Value] = fn
		}
		return true
	})
	s.stmts(r, tree.Stmts, input{})
}

func (s *scan) lineOf(n syntax.Node) int {
	if s.line > 0 {
		return s.line
	}
	return int(n.Pos().Line())
}

func (s *scan) stmts(r *resolver, list []*syntax.Stmt, in input) produced {
	out := produced{known: true}
	for _, st := range list {
		p := s.stmt(r, st, in)
		out.commands = join(out.commands, p.commands)
		out.known = out.known && p.known && len(out.text) < maxWordLen
		out.text += p.text
	}
	if !out.known {
		out.text = ""
	}
	return out
}

func (s *scan) stmt(r *resolver, st *syntax.Stmt, in input) produced {
	if !s.spend(32) || len(s.commands) > maxCommands {
		s.lost = true
		return produced{}
	}
	redirs, in := s.redirects(r, st, in)
	var out produced
	if call, ok := st.Cmd.(*syntax.CallExpr); ok {
		out = s.call(r, call, in, redirs)
	} else {
		out = s.compound(r, st, in)
		if len(redirs) > 0 {
			c := s.add(&command{redirs: redirs, line: s.lineOf(st), feeds: out.commands})
			out.commands = join(out.commands, []*command{c})
		}
	}
	if st.Background {
		s.add(&command{name: "&", words: []string{"&"}, line: s.lineOf(st), feeds: out.commands})
	}
	for _, rd := range redirs {
		if strings.HasPrefix(rd.op, ">") { // its output is elsewhere
			out.text, out.known = "", rd.target != "&1"
		}
	}
	return out
}

func (s *scan) redirects(r *resolver, st *syntax.Stmt, in input) ([]redir, input) {
	var list []redir
	for _, rd := range st.Redirs {
		switch rd.Op {
		case syntax.Hdoc, syntax.DashHdoc:
			text, feeds := s.hereDocument(r, rd)
			in = input{feeds: append(in.feeds, feeds...), text: text, known: true}
		case syntax.WordHdoc:
			text, feeds := r.text(rd.Word)
			in = input{feeds: append(in.feeds, feeds...), text: text + "\n", known: !strings.Contains(text, unknown)}
		default:
			target, feeds := r.text(rd.Word)
			if rd.Op == syntax.RdrIn {
				in.feeds = append(in.feeds, feeds...)
			}
			op := rd.Op.String()
			if rd.Op == syntax.DplOut || rd.Op == syntax.DplIn {
				target = "&" + target
				op = op[:1]
			}
			list = append(list, redir{op, target})
		}
	}
	return list, in
}

func (s *scan) hereDocument(r *resolver, rd *syntax.Redirect) (string, []*command) {
	if rd.Hdoc == nil {
		return "", nil
	}
	b := &wordBuilder{r: r}
	for _, part := range rd.Hdoc.Parts {
		b.part(part, true)
	}
	b.end()
	text := strings.Join(b.out, " ")
	if rd.Op == syntax.DashHdoc {
		text = strings.TrimLeft(strings.ReplaceAll(text, "\n\t", "\n"), "\t")
	}
	return text, b.feeds
}

func (s *scan) compound(r *resolver, st *syntax.Stmt, in input) produced {
	switch c := st.Cmd.(type) {
	case *syntax.BinaryCmd:
		return s.binary(r, c, in)
	case *syntax.Block:
		return s.stmts(r, c.Stmts, in)
	case *syntax.Subshell:
		return s.stmts(r, c.Stmts, in)
	case *syntax.TimeClause:
		if c.Stmt != nil {
			return s.stmt(r, c.Stmt, in)
		}
	case *syntax.CoprocClause:
		p := s.stmt(r, c.Stmt, in)
		s.add(&command{name: "coproc", words: []string{"coproc"}, line: s.lineOf(c), feeds: p.commands})
		return p
	case *syntax.FuncDecl:
		was := s.fn
		if s.fn == "" {
			s.fn = c.Name.Value
		}
		s.add(&command{name: "()", words: []string{"()", c.Name.Value}, line: s.lineOf(c)})
		s.stmt(r, c.Body, in)
		s.fn = was
		return produced{known: true}
	case *syntax.DeclClause:
		return s.declare(r, c)
	default:
		return s.control(r, st.Cmd, in)
	}
	return produced{}
}

// control walks loops and conditions: every branch counts.
func (s *scan) control(r *resolver, cmd syntax.Command, in input) produced {
	var out produced
	take := func(list []*syntax.Stmt) {
		out.commands = join(out.commands, s.stmts(r, list, in).commands)
	}
	switch c := cmd.(type) {
	case *syntax.IfClause:
		for ; c != nil; c = c.Else {
			take(c.Cond)
			take(c.Then)
		}
	case *syntax.WhileClause:
		take(c.Cond)
		take(c.Do)
	case *syntax.ForClause:
		if iter, ok := c.Loop.(*syntax.WordIter); ok {
			for _, w := range iter.Items {
				fields, feeds := r.fields(w)
				for _, f := range fields {
					r.bind(iter.Name.Value, []string{f}, false, feeds)
				}
			}
		} else {
			out.commands = join(out.commands, s.inside(r, c.Loop))
		}
		take(c.Do)
	case *syntax.CaseClause:
		out.commands = join(out.commands, s.inside(r, c.Word))
		for _, item := range c.Items {
			take(item.Stmts)
		}
	case nil:
	default: // [[ ]], (( )), let: nothing runs but the substitutions in them
		out.commands = join(out.commands, s.inside(r, cmd))
	}
	return out
}

// inside walks the substitutions in a node.
func (s *scan) inside(r *resolver, node syntax.Node) (out []*command) {
	syntax.Walk(node, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.CmdSubst:
			_, feeds := s.substitution(r, n.Stmts)
			out = join(out, feeds)
			return false
		case *syntax.ProcSubst:
			_, feeds := s.substitution(r, n.Stmts)
			out = join(out, feeds)
			return false
		}
		return true
	})
	return out
}

func (s *scan) binary(r *resolver, c *syntax.BinaryCmd, in input) produced {
	left := s.stmt(r, c.X, in)
	if c.Op == syntax.Pipe || c.Op == syntax.PipeAll {
		right := s.stmt(r, c.Y, input{feeds: left.commands, text: left.text, known: left.known})
		right.commands = join(left.commands, right.commands)
		return right
	}
	right := s.stmt(r, c.Y, in)
	return produced{commands: join(left.commands, right.commands)}
}

func (s *scan) declare(r *resolver, c *syntax.DeclClause) produced {
	cmd := &command{name: c.Variant.Value, words: []string{c.Variant.Value}, line: s.lineOf(c)}
	for _, a := range c.Args {
		if a.Name == nil {
			text, feeds := r.text(a.Value)
			cmd.words, cmd.feeds = append(cmd.words, text), append(cmd.feeds, feeds...)
			continue
		}
		s.assign(r, a, cmd)
	}
	return produced{commands: []*command{s.add(cmd)}, known: true}
}

// assign binds a variable, and notes the assignment in the command.
func (s *scan) assign(r *resolver, a *syntax.Assign, cmd *command) {
	if a.Naked {
		return
	}
	name := a.Name.Value
	if a.Index != nil {
		s.inside(r, a.Index)
	}
	if a.Array == nil {
		text, feeds := r.text(a.Value)
		if a.Append && a.Index == nil {
			r.appendText(name, text, feeds)
		} else {
			r.bind(name, []string{text}, a.Index != nil, feeds)
		}
		cmd.env = append(cmd.env, name+"="+text)
		cmd.feeds = append(cmd.feeds, feeds...)
		return
	}
	var values []string
	var all []*command
	for _, el := range a.Array.Elems {
		if el.Value == nil {
			continue
		}
		fields, feeds := r.fields(el.Value)
		values, all = append(values, fields...), append(all, feeds...)
	}
	r.bind(name, values, a.Append, all)
	cmd.env = append(cmd.env, name+"=("+clip(strings.Join(values, " "))+")")
	cmd.feeds = append(cmd.feeds, all...)
}

func (s *scan) add(c *command) *command {
	c.zone, c.fn, c.file, c.how = s.zone, s.fn, s.file, s.how
	if s.zone == inFunction && s.fn == "" {
		c.zone = atTop
	}
	if len(s.commands) >= maxCommands {
		s.lost = true
		return c
	}
	s.commands = append(s.commands, c)
	return c
}

// substitution walks the code of $(…) and <(…) once, and gives its output where that is known.
func (s *scan) substitution(r *resolver, list []*syntax.Stmt) (string, []*command) {
	if len(list) == 0 {
		return "", nil
	}
	key := substKey{list[0], r.variant}
	p, ok := s.cache[key]
	if !ok {
		s.cache[key] = produced{} // what refers to itself is unknown
		p = s.stmts(r, list, input{})
		s.cache[key] = p
	}
	if !p.known {
		return unknown, p.commands
	}
	return p.text, p.commands
}

// call resolves a simple command in all variants that its variables give.
func (s *scan) call(r *resolver, call *syntax.CallExpr, in input, redirs []redir) produced {
	was := r.variant
	defer func() { r.variant = was }()
	var out produced
	seen := map[string]bool{}
	variants := 1
	if len(call.Args) > 0 {
		variants = r.variants(call)
	}
	for k := range variants {
		r.variant, r.blank = k, false
		c := &command{line: s.lineOf(call), redirs: redirs, feeds: append([]*command(nil), in.feeds...)}
		for _, a := range call.Assigns {
			s.assign(r, a, c)
		}
		for _, w := range call.Args {
			fields, feeds := r.fields(w)
			c.words, c.feeds = append(c.words, fields...), append(c.feeds, feeds...)
		}
		c.ifs = r.blank
		if in.known {
			c.input = in.text
		}
		if text := c.text(); seen[text] {
			continue
		} else {
			seen[text] = true
		}
		if len(c.words) > 0 {
			c.name, c.odd = path.Base(c.words[0]), oddName(call.Args[0])
		}
		p := s.dispatch(r, c, in)
		out.commands = join(out.commands, p.commands)
		if k == 0 {
			out.text, out.known = p.text, p.known
		}
	}
	return out
}

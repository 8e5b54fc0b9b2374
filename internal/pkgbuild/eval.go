package pkgbuild

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// maxWork bounds one evaluation: bytes of values made, plus statementCost for a statement. A real PKGBUILD needs
// less than a tenth of it.
const (
	maxWork       = 4 << 20
	statementCost = 16
	maxCalls      = 60 // function calls and evals inside each other
)

// evaluator walks the top level of a PKGBUILD the way bash does and keeps the variables. It has no access to files,
// processes or the environment.
type evaluator struct {
	text   text
	carch  string
	vars   map[string]*variable
	funcs  map[string]*function
	frames []*frame
	status status
	work   int
	calls  int
	loops  int // loops of the running function that are open

	lost          *Dynamic // code that cannot be seen may have changed anything
	uncertainFunc *Dynamic // a return may have been passed: what follows in this function may not be reached
	uncertainLoop *Dynamic // the same for break and continue in this loop
	exhausted     bool
	inEval        bool // expanding the arguments of eval: $(declare -f name) is the text of a known function

	assignments []Assignment
}

// text is what positions refer to: the file, or the argument of an eval on one of its lines.
type text struct {
	src  []byte
	line int // line of the eval; 0 for the file itself
}

func (t text) lineOf(node syntax.Node) int {
	if t.line > 0 {
		return t.line
	}
	return int(node.Pos().Line())
}

func (t text) of(node syntax.Node) string {
	from, to := node.Pos().Offset(), node.End().Offset()
	if from > to || to > uint(len(t.src)) {
		return ""
	}
	return string(t.src[from:to])
}

// short is the beginning of the source of a node on one line, for messages. It does no more work for a large node.
func (t text) short(node syntax.Node) string {
	from, to := node.Pos().Offset(), min(node.End().Offset(), node.Pos().Offset()+400)
	if from > to || to > uint(len(t.src)) {
		return ""
	}
	return shorten(strings.ToValidUTF8(string(t.src[from:to]), ""))
}

type function struct {
	decl *syntax.FuncDecl
	text text
	dyn  *Dynamic // it is not sure that, or how, it is defined
}

type frame struct {
	name  string
	args  []string // positional parameters; unknown when nil
	saved map[string]*variable
}

// status is the exit status of the last command.
type status struct {
	ok  bool
	dyn *Dynamic // unknown
}

type flow uint8

const (
	flowNext flow = iota
	flowBreak
	flowContinue
	flowReturn
	flowExit
)

func newEvaluator(file *File, carch string) *evaluator {
	e := &evaluator{
		text:   text{src: file.src},
		carch:  carch,
		vars:   map[string]*variable{},
		funcs:  map[string]*function{},
		work:   maxWork,
		status: status{ok: true},
	}
	e.frames = []*frame{{saved: map[string]*variable{}}}
	return e
}

// run evaluates the file. makepkg sources it inside a function, so variables declared with declare are gone afterwards.
func (e *evaluator) run(file *File) {
	e.stmts(file.tree.Stmts)
	e.popFrame()
	e.uncertainFunc, e.uncertainLoop = nil, nil
}

func (e *evaluator) dynamic(node syntax.Node, reason string) *Dynamic {
	return &Dynamic{Line: e.text.lineOf(node), Reason: reason}
}

// spend takes n from the work that is left; false means that there is none and the evaluation stops.
func (e *evaluator) spend(n int) bool {
	if e.work -= n; e.work < 0 && !e.exhausted {
		e.exhausted = true
		e.lost = &Dynamic{Reason: "more work than is done on a sane PKGBUILD"}
	}
	return !e.exhausted
}

// raw is the source of a node, "" when the work it costs is no longer there.
func (e *evaluator) raw(node syntax.Node) string {
	if !e.spend(max(0, int(node.End().Offset())-int(node.Pos().Offset())) / 16) {
		return ""
	}
	return e.text.of(node)
}

func (e *evaluator) unsure() *Dynamic {
	if e.lost != nil {
		return e.lost
	}
	if e.uncertainFunc != nil {
		return e.uncertainFunc
	}
	return e.uncertainLoop
}

// lose records that code which cannot be seen has run: nothing is known from here on.
func (e *evaluator) lose(why *Dynamic) {
	if e.lost == nil {
		e.lost = why
	}
	e.status = status{dyn: why}
}

func (e *evaluator) set(name string, v *variable) {
	if old := e.vars[name]; old != nil {
		if old.special != "" && v.dyn == nil {
			v.dyn = &Dynamic{Name: name, Line: v.line, Reason: "the " + old.special + " attribute of the variable"}
		}
		if old.readonly {
			v.dyn = &Dynamic{Name: name, Line: v.line, Reason: "an assignment to a read-only variable"}
		}
		v.special, v.readonly = old.special, old.readonly
	}
	if why := e.unsure(); why != nil && v.dyn == nil {
		v.dyn = why
		v.guarded = true
	}
	e.vars[name] = v
}

// makeDynamic records that a variable may have been changed in a way that cannot be known.
func (e *evaluator) makeDynamic(name string, why *Dynamic) {
	old := e.vars[name]
	v := &variable{line: why.Line, dyn: why, guarded: true}
	if old != nil {
		v.kind, v.special, v.readonly = old.kind, old.special, old.readonly
	}
	e.vars[name] = v
}

func (e *evaluator) unset(name string) {
	if v := e.vars[name]; v != nil && v.readonly {
		return
	} else if v != nil && v.special != "" {
		e.makeDynamic(name, &Dynamic{Name: name, Line: v.line, Reason: "the " + v.special + " attribute of the variable"})
		return
	}
	if why := e.unsure(); why != nil {
		e.makeDynamic(name, why)
		return
	}
	delete(e.vars, name)
}

func (e *evaluator) frame() *frame { return e.frames[len(e.frames)-1] }

// makeLocal saves the variable so that popFrame brings it back.
func (e *evaluator) makeLocal(name string) {
	f := e.frame()
	if _, done := f.saved[name]; !done {
		f.saved[name] = e.vars[name]
		delete(e.vars, name)
	}
}

func (e *evaluator) isLocal(name string) bool {
	for _, f := range e.frames {
		if _, saved := f.saved[name]; saved {
			return true
		}
	}
	return false
}

// loseShadowed makes a variable dynamic in every scope.
func (e *evaluator) loseShadowed(name string, why *Dynamic) {
	e.makeDynamic(name, why)
	for _, f := range e.frames {
		if _, saved := f.saved[name]; saved {
			f.saved[name] = e.vars[name]
		}
	}
}

func (e *evaluator) popFrame() {
	f := e.frame()
	for name, v := range f.saved {
		if v == nil {
			delete(e.vars, name)
		} else {
			e.vars[name] = v
		}
	}
	e.frames = e.frames[:len(e.frames)-1]
}

// inFunc is the name of the function that runs, empty at top level.
func (e *evaluator) inFunc() string {
	if len(e.frames) == 0 {
		return ""
	}
	return e.frame().name
}

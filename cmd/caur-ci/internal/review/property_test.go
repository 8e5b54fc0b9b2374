package review

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/syntax"
	"pgregory.net/rapid"

	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/pkg/pkgdir"
)

// texts are the PKGBUILDs of all examples, each once.
func texts(t testing.TB) (out []string) {
	for _, folder := range []string{"hostile", "harmless"} {
		for _, e := range examples(t, folder) {
			for _, d := range []pkgdir.Dir{e.in.Old, e.in.New} {
				text := string(d["PKGBUILD"].Data)
				if _, err := pkgbuild.Parse("PKGBUILD", []byte(text)); err == nil && !slices.Contains(out, text) {
					out = append(out, text)
				}
			}
		}
	}
	return out
}

func dirOf(text string) pkgdir.Dir {
	return pkgdir.Dir{"PKGBUILD": {Data: []byte(text)}}
}

var drawStyle = rapid.Custom(func(t *rapid.T) pkgbuild.Style {
	return pkgbuild.Style{
		Indent: rapid.UintRange(0, 8).Draw(t, "indent"), BinaryNextLine: rapid.Bool().Draw(t, "binary"), SwitchCaseIndent: rapid.Bool().Draw(t, "case"),
		SpaceRedirects: rapid.Bool().Draw(t, "space"), FunctionNextLine: rapid.Bool().Draw(t, "function"),
	}
})

func TestReformattingIsMinorAtMost(t *testing.T) {
	all := texts(t)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom(all).Draw(t, "text")
		formatted, err := pkgbuild.Format("PKGBUILD", []byte(text), drawStyle.Draw(t, "style"))
		if err != nil { // refused, because it would change the meaning
			return
		}
		if v := Judge(Input{Old: dirOf(text), New: dirOf(string(formatted))}); v.Level == Major {
			t.Fatalf("%v\n%s", v.Findings, formatted)
		}
	})
}

// essence is what may not depend on layout. Blanks in front of code are layout, so the rule about them is left out.
func essence(v Verdict) string {
	var list []string
	for _, f := range v.Findings {
		if f.Rule != "far-right" && f.Rule != "long-line" && f.Rule != "layout" {
			list = append(list, fmt.Sprint(f.Rule, f.Severity, f.Major))
		}
	}
	slices.Sort(list)
	return v.Level.String() + strings.Join(slices.Compact(list), " ")
}

func TestReformattingNeverChangesAVerdict(t *testing.T) {
	all := append(examples(t, "hostile"), examples(t, "harmless")...)
	all = slices.DeleteFunc(all, func(e example) bool { return len(e.in.Allow) > 0 }) // the allow list is about lines, so layout matters to it
	rapid.Check(t, func(t *rapid.T) {
		e := rapid.SampledFrom(all).Draw(t, "example")
		in := e.in
		want := Judge(in)
		if rapid.Bool().Draw(t, "old") {
			in.Old = reformat(t, in.Old)
		}
		in.New = reformat(t, in.New)
		got := Judge(in)
		if got.Level == Identical || want.Level == Minor && got.Level == Minor && strings.HasPrefix(essence(want), "minor") && essence(want) == "minor" {
			return // the layout was all that differed
		}
		if essence(got) != essence(want) {
			t.Fatalf("%s: %s, was %s", e.name, essence(got), essence(want))
		}
	})
}

func reformat(t *rapid.T, d pkgdir.Dir) pkgdir.Dir {
	f, ok := d["PKGBUILD"]
	if !ok {
		return d
	}
	formatted, err := pkgbuild.Format("PKGBUILD", f.Data, drawStyle.Draw(t, "style"))
	if err != nil {
		return d
	}
	d = d.Clone()
	d["PKGBUILD"] = pkgdir.File{Kind: f.Kind, Data: formatted}
	return d
}

var commands = []string{
	"touch x", "curl -s https://get.example.net/x", `"$x"`, "eval y", "x() { :; }", ". ./x", "true", ": y", "(cd /)", "{ id; }", "[[ -e x ]]", "((x++))", "export A=b", "y=$(id)", "if id; then :; fi",
	"for i in a b; do id; done", "! id", "id &", "declare -f", "cat <<< x", "exec 3>x", "a[0]=$(id)", "z+=(`id`)",
}

// mutate adds a command to a PKGBUILD somewhere: as a line, behind another command, or inside of a value.
func mutate(t *rapid.T, text string) string {
	lines := strings.SplitAfter(text, "\n")
	at := rapid.IntRange(0, len(lines)-1).Draw(t, "line")
	command := rapid.SampledFrom(commands).Draw(t, "command")
	line := strings.TrimSuffix(lines[at], "\n")
	switch how := rapid.IntRange(0, 3).Draw(t, "how"); {
	case how == 0 || strings.ContainsAny(line, "#") || strings.TrimSpace(line) == "":
		return strings.Join(lines[:at], "") + command + "\n" + strings.Join(lines[at:], "")
	case how == 1:
		line += rapid.SampledFrom([]string{"; ", " && ", " | ", " || ", " & "}).Draw(t, "operator") + command
	default:
		i := rapid.IntRange(0, len(line)).Draw(t, "column")
		line = line[:i] + rapid.SampledFrom([]string{"$(touch x)", "`touch x`", "<(touch x)", "${x:-$(id)}", "$((x=$(id)))"}).Draw(t, "substitution") + line[i:]
	}
	return strings.Join(lines[:at], "") + line + "\n" + strings.Join(lines[at+1:], "")
}

func TestAMutationThatAddsACommandIsNeverMinor(t *testing.T) {
	all := texts(t)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom(all).Draw(t, "text")
		mutated := mutate(t, text)
		if rapid.Bool().Draw(t, "bump") { // hidden in an update
			mutated = strings.Replace(mutated, "pkgrel=1", "pkgrel=2", 1)
		}
		if v := Judge(Input{Old: dirOf(text), New: dirOf(mutated)}); v.Level != Major {
			t.Fatalf("%s: %v\n%s", v.Level, v.Findings, mutated)
		}
	})
}

// weight counts what runs in a file, by another way than the classifier's.
func weight(data []byte) (n map[string]int, ok bool) {
	file, err := pkgbuild.Parse("PKGBUILD", data)
	if err != nil {
		return nil, false
	}
	n = map[string]int{}
	syntax.Walk(file.Tree(), func(node syntax.Node) bool {
		switch x := node.(type) {
		case *syntax.CallExpr:
			if len(x.Args) > 0 {
				n["command"]++
			}
		case *syntax.CmdSubst, *syntax.ProcSubst, *syntax.FuncDecl, *syntax.Redirect, *syntax.ArithmExp, *syntax.DeclClause, *syntax.TestClause:
			n[fmt.Sprintf("%T", x)]++
		case *syntax.Stmt:
			if x.Background || x.Negated {
				n["flag"]++
			}
		}
		return true
	})
	return n, true
}

// checkMinor: whatever is minor runs no more commands and substitutions than before.
func checkMinor(t interface{ Fatalf(string, ...any) }, v Verdict, older, newer []byte) {
	if v.Level == Major {
		return
	}
	a, ok1 := weight(older)
	b, ok2 := weight(newer)
	more := ok1 != ok2 || !ok1 && string(older) != string(newer)
	for what, n := range b {
		more = more || n > a[what]
	}
	if more {
		t.Fatalf("%s, but it runs %v instead of %v: %v\n%s\n----\n%s", v.Level, b, a, v.Findings, older, newer)
	}
}

func TestWhatIsMinorRunsNoMoreThanBefore(t *testing.T) {
	for _, e := range examples(t, "harmless") {
		if len(e.in.Allow) == 0 {
			checkMinor(t, Judge(e.in), e.in.Old["PKGBUILD"].Data, e.in.New["PKGBUILD"].Data)
		}
	}
}

// FuzzJudge compares two PKGBUILDs, and takes the second for an install script, too.
func FuzzJudge(f *testing.F) {
	for _, folder := range []string{"hostile", "harmless"} {
		for _, e := range examples(f, folder) {
			f.Add(e.in.Old["PKGBUILD"].Data, e.in.New["PKGBUILD"].Data)
		}
	}
	f.Fuzz(func(t *testing.T, older, newer []byte) {
		in := Input{
			Pkgbase: "fuzz", Old: pkgdir.Dir{"PKGBUILD": {Data: older}, "x.install": {Data: older}, "x.sh": {Data: older}},
			New: pkgdir.Dir{"PKGBUILD": {Data: newer}, "x.install": {Data: newer}, "x.sh": {Data: newer}},
		}
		v := Judge(in)
		v.Markdown(Links{Diff: string(newer)}, Signals{}, Decision{Why: string(older)})
		v = Judge(Input{Old: pkgdir.Dir{"PKGBUILD": {Data: older}}, New: pkgdir.Dir{"PKGBUILD": {Data: newer}}})
		checkMinor(t, v, older, newer)
		if v := Judge(Input{Old: in.New, New: in.New}); v.Level != Identical {
			t.Fatal("a directory differs from itself")
		}
	})
}

// FuzzSrcinfo compares two .SRCINFO files beside the same PKGBUILD.
func FuzzSrcinfo(f *testing.F) {
	const text = "pkgname=a\npkgver=1\npkgrel=1\narch=(any)\nsource=(\"https://example.org/$pkgver\")\nsha256sums=(SKIP)\n"
	f.Add([]byte("pkgbase = a\n\tpkgver = 1\n\tpkgrel = 1\n\tarch = any\n\npkgname = a\n"), []byte("pkgbase = a\n\tpkgver = 2\n\tpkgrel = 1\n\tarch = any\n\tdepends = b\n\npkgname = a\n"))
	f.Add([]byte(""), []byte("pkgbase = a\n\tsource = http://example.org/1\n"))
	f.Fuzz(func(t *testing.T, older, newer []byte) {
		a, b := dirOf(text), dirOf(text)
		a[".SRCINFO"], b[".SRCINFO"] = pkgdir.File{Data: older}, pkgdir.File{Data: newer}
		Judge(Input{Old: a, New: b})
	})
}

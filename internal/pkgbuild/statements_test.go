//go:build bashdiff

// A search for differences between the evaluator and bash in control flow, run by hand:
// go test -tags bashdiff -run TestStatementsRunAsInBash -rapid.checks=2000 ./internal/pkgbuild

package pkgbuild

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/caur-build/caur/internal/testenv"
)

// sourced runs a script the way makepkg does: read inside a function.
func sourced(script string) string {
	return "s() { eval \"$1\"; }; s '" + strings.ReplaceAll(script, "'", `'\''`) + "'"
}

// stmtGen makes statements. $(printf 1) stands for what cannot be known: bash knows it, the evaluator must not rely on it.
func stmtGen(depth int) *rapid.Generator[string] {
	name := rapid.SampledFrom([]string{"p", "q", "s", "t"})
	word := rapid.SampledFrom([]string{"1", "x", "''", "$p", "\"$q\"", "${s:-d}", "$(printf 1)", "'a b'", "${#p}", "\"${t[@]}\"", "${t[0]}", "$((q+1))", "${p:=z}", "\"$1\"", "${q%x}"})
	cond := rapid.Custom(func(t *rapid.T) string {
		return rapid.SampledFrom([]string{
			"[[ $p == x* ]]", "[[ -z $q ]]", "[[ -n \"$s\" && $p != 1 ]]", "[ \"$p\" = x ]", "[ -n \"$t\" ]", "true", "false", "! true", "(( q > 0 ))", "((p++))",
			"[[ $(printf 1) == 1 ]]", "[ \"$(printf x)\" = 1 ]", "[[ -v p ]]", "[[ $q == 1 || $s ]]", "[[ ! $p ]]", "test a = b", "unknown_command", "f1", "f2 x", "[ a = b -o 1 = 1 ]", "[[ 2 -gt 1 ]]",
		}).Draw(t, "cond")
	})
	simple := rapid.Custom(func(t *rapid.T) string {
		n, w := name.Draw(t, "name"), word.Draw(t, "word")
		switch rapid.IntRange(0, 15).Draw(t, "kind") {
		case 0, 1, 2:
			return n + "=" + w
		case 3:
			return n + "+=" + w
		case 4:
			return n + "=(" + w + " " + word.Draw(t, "w2") + ")"
		case 5:
			return n + "+=(" + w + ")"
		case 6:
			return "unset " + n
		case 7:
			return "local " + n + "=" + w
		case 8:
			return "declare -g " + n + "=" + w
		case 9:
			return ": ${" + n + ":=" + w + "}"
		case 10:
			return "f" + rapid.SampledFrom([]string{"1", "2", "1 " + w, "2 a b"}).Draw(t, "call")
		case 11:
			return "eval '" + n + "=e'"
		case 12:
			return "read -r " + n + " <<< " + w
		case 13:
			return "printf -v " + n + " %s " + w
		case 14:
			return "(" + n + "=" + w + ")"
		}
		return rapid.SampledFrom([]string{"return", "break", "continue", ":", "declare " + n, "export " + n + "=" + w, n + "[1]=" + w, "((" + n + "+=1))", n + "=1 true"}).Draw(t, "other")
	})
	if depth == 0 {
		return simple
	}
	inner := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(stmtGen(depth-1), 1, 3).Draw(t, "body"), "\n")
	})
	return rapid.Custom(func(t *rapid.T) string {
		switch rapid.IntRange(0, 9).Draw(t, "compound") {
		case 0:
			return "if " + cond.Draw(t, "c") + "; then\n" + inner.Draw(t, "then") + "\nelse\n" + inner.Draw(t, "else") + "\nfi"
		case 1:
			return cond.Draw(t, "c") + " && " + simple.Draw(t, "s")
		case 2:
			return cond.Draw(t, "c") + " || { " + inner.Draw(t, "s") + "\n}"
		case 3:
			return "for p in " + word.Draw(t, "w") + " b; do\n" + inner.Draw(t, "do") + "\ndone"
		case 4:
			return "case " + word.Draw(t, "w") + " in\n x*) " + inner.Draw(t, "a") + " " + rapid.SampledFrom([]string{";;", ";&", ";;&"}).Draw(t, "end") + "\n 1|'') " + inner.Draw(t, "b") + " ;;\n *) " + inner.Draw(t, "c") + "\nesac"
		case 5:
			return "f1() {\n" + inner.Draw(t, "f") + "\n}"
		case 6:
			return "i=0; while [ $i -lt 2 ]; do\ni=$((i+1))\n" + inner.Draw(t, "do") + "\ndone"
		case 7:
			return cond.Draw(t, "c") + " && " + cond.Draw(t, "d") + " || " + simple.Draw(t, "s")
		}
		return simple.Draw(t, "s")
	})
}

// Whatever is done to a variable on the way, what is static at the end must be what bash has there.
func TestStatementsRunAsInBash(t *testing.T) {
	testenv.Need(t, "bash")
	dir := t.TempDir()
	static, total := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		body := strings.Join(rapid.SliceOfN(stmtGen(2), 1, 7).Draw(r, "stmts"), "\n")
		script := "p=x q=1 t=(x y)\nf1() { q=f; }\nf2() { local p=l; s=$1; t+=($p); [[ $s ]]; }\n" + body + "\n"
		file, err := Parse("PKGBUILD", []byte(script))
		if err != nil {
			r.Skip("not parsed")
		}
		names := []string{"p", "q", "s", "t"}
		want := inBash(t, dir, sourced(script), names...)
		if want == nil {
			r.Skip("bash refuses it")
		}
		s := file.Static()
		for _, name := range names {
			total++
			got := s.Get(name)
			if !got.Static() {
				continue
			}
			static++
			if !slices.Equal(got.Items, want[name]) && len(got.Items)+len(want[name]) > 0 {
				r.Fatalf("%s\n%s:\n  evaluated %q\n  bash      %q", script, name, got.Items, want[name])
			}
		}
	})
	t.Logf("%d of %d values static", static, total)
}

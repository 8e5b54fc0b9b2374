package pkgbuild

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/caur-build/caur/internal/childproc"
	"github.com/caur-build/caur/internal/testenv"
)

// declared is how bash itself prints code as it has read it, without running it; empty when bash refuses the code.
func declared(t testing.TB, dir string, codes ...string) string {
	t.Helper()
	var script strings.Builder
	for _, code := range codes {
		script.WriteString("shopt -u extglob\nf() {\n" + code + "\n:\n}\ndeclare -f f || exit 1\nunset -f f\necho =====\n")
	}
	var out bytes.Buffer
	cmd := childproc.Cmd{Path: "/bin/bash", Args: []string{"--norc", "--noprofile", "-c", script.String()}, Dir: dir, Env: []string{"PATH=/nonexistent"}, Stdout: &out}
	if err := childproc.Run(context.Background(), cmd); err != nil {
		return ""
	}
	return out.String()
}

// tokens of code that is harmless even if a mistake of this test made bash run it: PATH has no programs.
func codeGen() *rapid.Generator[string] {
	token := rapid.SampledFrom([]string{
		"a", "b", "x=1", "y=(a b)", "y+=(c)", "echo", "true", "&&", "||", "|", ";", "\n", "&", "{ ", " }", "(", ")", "f2() ", "function g ", "if ", "; then ", "; fi", "while ", "; do ", "; done",
		"case x in ", " x) ", ";;", " esac", "[[ ", " ]]", "! ", "time ", "'", "\"", "'a b'", "\"c $d\"", "$(", "${x", "${x:-", "${x#", "}", "$((", "))", "((", "#", " # c", ")#c", "#c\n", " # c \\\n", "\\", "\\\n", "<<E", "\nE\n", "<<'E'", "<<-E", "\n\tE\n", "<<<", ">", "2>&1", "<(",
		"$'", "$\"", "~", "{a,b}", "=", "+=", "[0]=", "[", "]", "*", "?", "!", "-", "%", "/", "@", ":", ",", "for i in ", "eval ", "declare ", "local ", "in", "do", "$x", "$#", "$1", "é", "\t", " ", " ", " ",
	})
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(token, 1, 14).Draw(t, "tokens"), "")
	})
}

// Where bash and the parser both take a text, they must read the same commands out of it. The parser's reading is
// printed, and bash must see no difference between that and the text itself.
func TestTreeIsWhatBashReads(t *testing.T) {
	testenv.Need(t, "bash")
	dir := t.TempDir()
	compared := 0
	rapid.Check(t, func(r *rapid.T) {
		code := codeGen().Draw(r, "code")
		if strings.Contains(code, "${x ") || strings.Contains(code, "${x\t") || strings.Contains(code, "${x\n") {
			return // a bad substitution, but only when it is run
		}
		if strings.HasSuffix(code, "\\") { // would join the line that follows in the one and not in the other
			return
		}
		file, err := Parse("PKGBUILD", []byte(code+"\n"))
		if err != nil {
			return
		}
		printed, err := printStyle("PKGBUILD", file.tree, Style{})
		if err != nil {
			return
		}
		want := declared(t, dir, code)
		if want == "" {
			return
		}
		compared++
		if got := declared(t, dir, string(printed)); got != want {
			r.Fatalf("code %q\nprinted %q\nbash reads the first as\n%s\nand the second as\n%s", code, printed, want, got)
		}
	})
	t.Logf("%d texts compared", compared)
}

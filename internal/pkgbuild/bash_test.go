package pkgbuild

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/caur-build/caur/internal/childproc"
	"github.com/caur-build/caur/internal/testenv"
)

// inBash runs a harmless text of our own making and returns the items of some variables.
func inBash(t testing.TB, dir, script string, names ...string) map[string][]string {
	t.Helper()
	var out, problems bytes.Buffer
	for _, name := range names {
		script += fmt.Sprintf("\nprintf '%%s\\0' %s \"${#%s[@]}\" \"${%s[@]}\"", name, name, name)
	}
	cmd := childproc.Cmd{
		Path: "/bin/bash", Args: []string{"--norc", "--noprofile", "-c", script},
		Dir: dir, Env: []string{"LC_ALL=C.UTF-8", "PATH=/nonexistent"}, Stdout: &out, Stderr: &problems,
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // some of the loops never end
	defer cancel()
	if err := childproc.Run(ctx, cmd); err != nil || strings.Contains(problems.String(), "error token") {
		return nil // an arithmetic error ends the script in the middle
	}
	values := map[string][]string{}
	words := strings.Split(out.String(), "\x00")
	for len(words) > 1 {
		var n int
		fmt.Sscan(words[1], &n)
		if len(words) < n+2 {
			return nil
		}
		values[words[0]] = words[2 : 2+n]
		words = words[2+n:]
	}
	return values
}

// wordGen makes words out of everything the evaluator claims to understand.
func wordGen(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		var out strings.Builder
		for range rapid.IntRange(1, 4).Draw(t, "parts") {
			out.WriteString(partGen(depth).Draw(t, "part"))
		}
		return out.String()
	})
}

func partGen(depth int) *rapid.Generator[string] {
	plain := rapid.SampledFrom([]string{
		"a", "foo", "1.2", "-", "_x", "::", "https://h/p", "#c", "%20", "+", "=", "v", "0", "12", ".tar.gz", `\$`, `\ `, `\"`, `\\`, "é", "@", "!", "^", ",",
		"{a,b}", "{1..3}", "{x,}", "{,.sig}", "{a..c}", "{01..3}", "{a,{b,c}}", "{", "}", "a{b", "{a}", "{3..1}", "{1..9..4}", "{b..b}", "$'x\\ty'", "$'\\'q'", "$'\\x41'",
	})
	quoted := rapid.SampledFrom([]string{`''`, `""`, `' '`, `"a b"`, `'$a'`, `"it's"`, `'say "x"'`, `"\$a"`, `"\x"`, `"{a,b}"`, `"*"`, `"~"`, `'\'`, `"\\"`})
	if depth == 0 {
		return rapid.OneOf(plain, quoted)
	}
	param := rapid.Custom(func(t *rapid.T) string { return paramGen(depth-1).Draw(t, "param") })
	return rapid.OneOf(plain, quoted, param, rapid.Map(param, func(s string) string { return `"` + s + `"` }),
		rapid.Map(param, func(s string) string { return `"x` + s + `y"` }))
}

func paramGen(depth int) *rapid.Generator[string] {
	name := rapid.SampledFrom([]string{"a", "b", "c", "l", "e", "unset_", "l[1]", "l[@]", "l[*]", "e[@]", "l[-1]", "m[k]"})
	pat := rapid.SampledFrom([]string{"a", "*", "?", "*.", ".*", "[0-9]", "[!a-z]", "[[:alpha:]]", "o", "-", "fo", "*o", `"*"`, `'.'`, "$c", `"$c"`, `\.`, "[._-]", ".", "b*", "[^.]"})
	inner := wordGen(depth)
	return rapid.Custom(func(t *rapid.T) string {
		n := name.Draw(t, "name")
		if rapid.IntRange(0, 4).Draw(t, "bare") == 0 && syntaxName(n) {
			return "$" + n
		}
		switch rapid.IntRange(0, 12).Draw(t, "op") {
		case 0:
			return "${#" + n + "}"
		case 1:
			return "${" + n + "#" + pat.Draw(t, "p") + "}"
		case 2:
			return "${" + n + "##" + pat.Draw(t, "p") + "}"
		case 3:
			return "${" + n + "%" + pat.Draw(t, "p") + "}"
		case 4:
			return "${" + n + "%%" + pat.Draw(t, "p") + "}"
		case 5:
			return "${" + n + "/" + rapid.SampledFrom([]string{"", "/", "#", "%"}).Draw(t, "anchor") + pat.Draw(t, "p") + "/" + rapid.SampledFrom([]string{"", "_", "$b", `"$c"`, "-"}).Draw(t, "with") + "}"
		case 6:
			return "${" + n + rapid.SampledFrom([]string{":0:3", ":1", ": -2", ":1:1", ":0:-1", "::2", ":9", ":$((1+1))", ":x"}).Draw(t, "slice") + "}"
		case 7:
			return "${" + n + rapid.SampledFrom([]string{"^", "^^", ",", ",,"}).Draw(t, "case") + "}"
		case 8:
			return "${" + n + rapid.SampledFrom([]string{":-", "-", ":+", "+"}).Draw(t, "default") + inner.Draw(t, "word") + "}"
		case 9:
			return "$((" + rapid.SampledFrom([]string{"1+2", "x*3", "x<<2", "7/2", "-7%3", "x==2?5:6", "(1+x)*2", "x>1&&x<3", "2**5", "!x", "0x1f", "010", "x+=1", "x++", "$x+1", "l[2]", "unset_"}).Draw(t, "arith") + "))"
		case 10:
			return "${!r}"
		case 11:
			return "${!l[@]}"
		}
		return "${" + n + "}"
	})
}

func syntaxName(s string) bool { return !strings.ContainsAny(s, "[") }

const preamble = `a=foo.bar-1.2
b='two words  here '
c='*.'
l=(one 'two three' 3 '' 'x*y')
e=()
x=2
r=a
declare -A m=([k]=v)
`

// What is static must be what bash makes of it.
func TestWordsExpandAsInBash(t *testing.T) {
	testenv.Need(t, "bash")
	dir := t.TempDir()
	static, total := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		var script strings.Builder
		script.WriteString(preamble)
		var names []string
		for i := range 8 {
			name := fmt.Sprintf("v%d", i)
			names = append(names, name)
			word := wordGen(2).Draw(r, "word")
			switch rapid.IntRange(0, 2).Draw(r, "form") {
			case 0:
				fmt.Fprintf(&script, "%s=%s\n", name, word)
			case 1:
				fmt.Fprintf(&script, "%s=(%s %s)\n", name, word, wordGen(1).Draw(r, "second"))
			default:
				fmt.Fprintf(&script, "%s=(%s)\n%s+=(%s)\n", name, word, name, wordGen(1).Draw(r, "second"))
			}
		}
		names = append(names, "x")
		file, err := Parse("PKGBUILD", []byte(script.String()))
		if err != nil {
			r.Skip("not parsed")
		}
		s := file.Static()
		want := inBash(t, dir, script.String(), names...)
		if want == nil {
			r.Skip("bash refuses it")
		}
		for _, name := range names {
			total++
			got := s.Get(name)
			if !got.Static() {
				continue
			}
			static++
			if !slices.Equal(got.Items, want[name]) && len(got.Items)+len(want[name]) > 0 {
				line := strings.Split(script.String(), "\n")[got.Line-1]
				r.Fatalf("%s\n  evaluated %q\n  bash      %q", line, got.Items, want[name])
			}
		}
	})
	t.Logf("%d of %d values static", static, total)
}

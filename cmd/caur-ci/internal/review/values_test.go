package review

import (
	"strings"
	"testing"

	"mvdan.cc/sh/v3/syntax"
)

func TestOnlyVersionsAndHashesPassAsPins(t *testing.T) {
	const a, b = "8f14e45fceea167a5a36dedd4bea2543c1d5d1f0", "0f14e45fceea167a5a36dedd4bea2543c1d5d1f9"
	for _, c := range []struct {
		name, before, after string
		fine                bool
	}{
		{"_commit", a, b, true}, {"_commit", "g0ac8be2b", "ga1ff6607", true}, {"_rev", "07dfddaeb", "cb3ebc72d", true},
		{"_ver", "1.2", "1.3", true}, {"_ver", "v1.2", "v1.3-rc1", true}, {"_tag", "release-1.2", "release-1.3", true}, {"_build", "4021", "4022", true}, {"_rel", "1", "2", true},
		{"_date", "20250101", "20250202", true}, {"_x", "6.12", "6.13", true}, {"_srctag", "GE-Proton9-22", "GE-Proton10-1", true}, {"_x", "clang-23-init-5669-g8a0be0bc", "clang-23-init-5670-g20b6ec66", true},
		{"_branch", "main", "evil", false}, {"_lto", "0", "1", false}, {"_owner", "boats", "b0ats", false}, {"_owner", "user1", "user2", false}, {"_ver", "1.2", "1.3;id", false}, {"_ver", "1.2", "../1.3", false},
		{"_ver", "1.2", "1.3 ", false}, {"_ver", "1.2", "", false}, {"_ver", "1.2", "latest", false}, {"_ver", "1.2", "$x", false}, {"_ver", "1.2", "1.3/..", false}, {"_tag", "release-1.2", "evil-1.2", false},
		{"_x", "android-16", "android-37", false}, {"_ver", "1.2", strings.Repeat("1", 500), false}, {"_ver", "1.2", "-1.3", false},
	} {
		if got := pinned(c.name, c.before) && versionLike(c.name, c.before, c.after); got != c.fine {
			t.Errorf("%s=%s → %s: %t", c.name, c.before, c.after, got)
		}
	}
}

func TestOnlyVersionsAreLeftOutOfSources(t *testing.T) {
	var p places
	p.add("1.4.2", "1.5.0")
	p.add("20250101", "20250202")
	p.pair("1.4.2-3", "1.5.0-1")
	p.pair("1.4.2-3", "1.5.0")
	const h1, h2 = "8f14e45fceea167a5a36dedd4bea2543c1d5d1f0", "0f14e45fceea167a5a36dedd4bea2543c1d5d1f9"
	for _, c := range []struct {
		before, after string
		same          bool
	}{
		{"https://e.org/1.4.2/x-1.4.2.tgz", "https://e.org/1.5.0/x-1.5.0.tgz", true},
		{"https://e.org/v1.4/x_1_4_2.tgz", "https://e.org/v1.5/x_1_5_0.tgz", true},
		{"https://e.org/x-142.tgz", "https://e.org/x-150.tgz", true},
		{"https://e.org/x-1.4.2-3.tgz", "https://e.org/x-1.5.0-1.tgz", true},
		{"x-1.4.2-3.tgz::https://e.org/x-1.4.2.tgz", "x-1.5.0-1.tgz::https://e.org/x-1.5.0.tgz", true},
		{"git+https://e.org/a/b#commit=" + h1, "git+https://e.org/a/b#commit=" + h2, true},
		{"git+https://e.org/a/b#tag=v1.4.2", "git+https://e.org/a/b#tag=v1.5.0", true},
		{"https://github.com/a/b/archive/" + h1 + ".tar.gz", "https://github.com/a/b/archive/" + h2 + ".tar.gz", true},
		{"https://github.com/a/b/archive/1.4.2.tar.gz", "https://github.com/a/b/archive/1.5.0.tar.gz", true},
		{"https://github.com/a/b1.4.2/x", "https://github.com/a/b1.5.0/x", false},
		{"https://github.com/" + h1 + "/b/x", "https://github.com/" + h2 + "/b/x", false},
		{"https://e.org/x-1.4.2.tgz", "https://f.org/x-1.5.0.tgz", false},
		{"https://1.4.2.e.org/x", "https://1.5.0.e.org/x", false},
		{"https://e.org/x-1.4.2.tgz", "http://e.org/x-1.5.0.tgz", false},
		{"https://e.org/x-1.4.2.tgz", "https://u@e.org/x-1.5.0.tgz", false},
		{"https://e.org/x-1.4.2.tgz", "https://e.org:81/x-1.5.0.tgz", false},
		{"https://e.org/x-1.4.2.tgz", "https://e.org/y-1.5.0.tgz", false},
		{"https://e.org/x-11.4.2.tgz", "https://e.org/x-11.5.0.tgz", false},
		{"https://e.org/x-1.4.2.tgz", "https://e.org/x-1.4.2.tgz.evil", false},
		{"https://e.org/a/1.4.2", "https://e.org/a/../b/1.5.0", false},
		{"git+https://e.org/a/b#tag=v1.4.2", "git+https://e.org/a/b#branch=v1.5.0", false},
		{"git+https://e.org/a/b#branch=v1.4.2", "git+https://e.org/a/b#branch=v1.5.0", false},
		{"git+https://e.org/a/b#commit=" + h1, "git+https://e.org/a/b#commit=main", false},
		{"git+https://e.org/a/b#commit=" + h1, "git+https://e.org/a/b#commit=" + h2[:7], false},
		{"git+https://e.org/a/b?signed#tag=v1.4.2", "git+https://e.org/a/b#tag=v1.5.0", false},
		{"git+https://e.org/a/b", "https://e.org/a/b", false},
		{"x.patch", "y.patch", false}, {"a.tgz::https://e.org/x", "b.tgz::https://e.org/x", false},
	} {
		if got := p.sameButVersion(parseSource(c.before), parseSource(c.after)); got != c.same {
			t.Errorf("%s → %s: %t", c.before, c.after, got)
		}
	}
}

func TestTheFormIsTheSameExactlyWhereTheCommandsAre(t *testing.T) {
	form := func(text string) string {
		file, err := syntax.NewParser(syntax.Variant(syntax.LangBash), syntax.KeepComments(true)).Parse(strings.NewReader(text), "")
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		return formOf(file.Stmts, false)
	}
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"a b", "a  b # c", true}, {"a 'b'", `a "b"`, true}, {`a "$x"/y`, `a "$x/y"`, true}, {"a ${x}", "a $x", true}, {"a $(b)", "a `b`", true}, {"f() { a; }", "function f {\na\n}", true},
		{"if a; then b; fi", "if a\nthen\n\tb\nfi", true}, {"a \\\n b", "a b", true}, {"a &&\nb", "a && b", true}, {"a=(b\n'c')", "a=('b' c)", true}, {`a b\ c`, `a "b c"`, true}, {"cat <<-E\n\ta\n\tE\n", "cat <<-E\n\t\ta\nE\n", true},
		{"cat <<-E\n\ta\n\t$x\n\tb\nE\n", "cat <<-E\na\n$x\n\t\tb\nE\n", true}, {"sh <<-E\n${x}\trl\nE\n", "sh <<-E\n${x}rl\nE\n", false}, {"cat <<E\n\ta\nE\n", "cat <<E\na\nE\n", false},
		{"sh <<-E\n$(a)\trl\nE\n", "sh <<-E\n$(a)rl\nE\n", false}, {"a $x", `a "$x"`, false}, {"a *", "a '*'", false}, {"a ~", "a '~'", false}, {"a {b,c}", "a '{b,c}'", false}, {"a; b", "a && b", false}, {"a | b", "a |& b", false}, {"a &", "a", false}, {"! a", "a", false},
		{"a b c", "a 'b c'", false}, {"a ''", "a", false}, {"a > b", "a >> b", false}, {"a 2> b", "a > b", false}, {"for x; do a; done", "for x in; do a; done", false}, {"while a; do b; done", "until a; do b; done", false},
		{"a ${x:-b}", "a ${x-b}", false}, {"a ${x}", "a ${#x}", false}, {"a ${x}", "a ${!x}", false}, {"a $((b))", "a $(b)", false}, {"a <(b)", "a >(b)", false}, {"(a)", "{ a; }", false}, {"cat <<E\n$x\nE\n", "cat <<'E'\n$x\nE\n", false},
		{"[[ a == b* ]]", "[[ a == 'b*' ]]", false}, {"[[ a =~ b.c ]]", "[[ a =~ 'b.c' ]]", false}, {"a=b", "a+=b", false}, {"a=b c", "'a=b' c", false}, {"case a in b) c ;; esac", "case a in b) c ;& esac", false}, {"x=1", "x=(1)", false},
		{"a $'b'", "a 'b'", false}, {"time a", "a", false}, {"if a; then b; elif c; then d; fi", "if a; then b; else c; d; fi", false}, {"((a[i]))", "((${a[i]}))", false}, {"local a", "local a=", false}, {"export a", "local a", false},
	} {
		if got := form(c.a) == form(c.b); got != c.same {
			t.Errorf("%q and %q: the same %t\n%s\n%s", c.a, c.b, got, form(c.a), form(c.b))
		}
	}
}

func TestEncodedTextIsFound(t *testing.T) {
	for text, want := range map[string]string{
		"x=Y3VybCBodHRwOi8vZXhhbXBsZS5uZXQ=":                               "curl http://example.net",
		"6375726c20687474703a2f2f782e6e6574":                               "curl http://x.net",
		`\x63\x75\x72\x6c\x20\x61\x62\x63\x64`:                             "curl abcd",
		"MN2XE3BANB2HI4B2F4XXQLTOMV2A====":                                 "curl http://x.net",
		"usr/share/applications/org.example.Quill.desktop":                 "",
		"1111111111111111111111111111111111111111111111111111":             "",
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855": "",
		"CamelCaseNamesAreNoBase64AtAll":                                   "",
	} {
		got := ""
		if found := encodedIn(text); len(found) > 0 {
			got = found[0].text
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// TestTricksWithValuesAreNotMinor are attempts to get something past the places that may change.
func TestTricksWithValuesAreNotMinor(t *testing.T) {
	const head = "pkgname=a\npkgver=1.0\npkgrel=1\n"
	for _, c := range [][2]string{
		{"pkgver=1.0 pkgver=1.0\n", "pkgver=$(id) pkgver=1.0\n"},
		{"_ver=1.0 _ver=1.0\n", "_ver=`id` _ver=1.0\n"},
		{"_ver=1.0; _ver=1.0\n", "_ver=$(id); _ver=1.0\n"},
		{"eval '_ver=1.0'; _ver=1.0\n", "eval '_ver=$(id)'; _ver=1.0\n"},
		{"arch=(any)\n", "arch=(${_x:=any})\n"},
		{"arch=(any)\n", "arch=(\"${_x:-any}\" $((y=1)))\n"},
		{"arch=(any)\n", "arch=(any)\narch[1]=$(id)\n"},
		{"source=(a)\n", "source=([1]=a)\n"},
		{"source=(https://e.org/1.0)\n", "source=(https://e.org/${_x:=1.0})\n"},
		{"_ver=1.0\n", "_ver=1.1 true\n"},
		{"_ver=1.0\n", "_ver+=.1\n"},
		{"_ver=1.0\n", "_ver=(1.1 2)\n"},
		{"_ver=1.0\n", "_ver=${_y@P}\n"},
		{"_ver=1.0\n", "_ver=${!_y}\n"},
		{"_ver=1.0\n", "_ver=$'1.1'\n_x=1\n"},
		{"_ver=1.0\n", "export _ver=1.1\n"},
		{"_ver=1.0\n", "declare -i _ver=1.1\n"},
		{"_ver=1.0\n", "readonly _ver=1.1\n"},
		{": ${_ver:=1.0}\n", ": ${_ver:=$(id)}\n"},
		{": ${_ver:=1.0}\n", ": ${_ver:=1.1} ${_x:=$(id)}\n"},
		{": ${_ver:=1.0}\n", "true ${_ver:=1.1}\n"},
		{": ${_ver:=1.0}\n", ": ${PATH:=1.1}\n"},
		{"f() { a; }\n", "f() { a; } > $(id)\n"},
		{"f() { a; }\n", "f() ( a; )\n"},
		{"f() { a; }\ng() { b; }\n", "g() { b; }\nf() { a; }\ng\n"},
		{"f() { a; }\nf() { b; }\n", "f() { b; }\nf() { a; }\n"},
		{"_a=1.0\n_b=$_a\n", "_b=$_a\n_a=1.0\n"},
		{"_a=x\n_b=${_a}y\n", "_b=${_a}y\n_a=x\n"},
		{"alias a=b\na c\n", "alias a=b\n'a' c\n"},
		{"sha256sums=('SKIP')\n", "sha256sums=('SKIP' $(id))\n"},
		{"sha256sums=('SKIP')\n", "sha256sums=(SKIP); id\n"},
		{"sha256sums=('SKIP')\n", "sha256sums=(S*P)\n"},
	} {
		v := Judge(Input{Old: dirOf(head + c[0]), New: dirOf(head + c[1])})
		if v.Level != Major {
			t.Errorf("%q → %q: %s %v", c[0], c[1], v.Level, v.Findings)
		}
	}
}

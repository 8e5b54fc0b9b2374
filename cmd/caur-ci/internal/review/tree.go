package review

import (
	"bytes"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"

	"github.com/caur-build/caur/internal/conf"
	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/pkg/pkgdir"
)

// fileKind is what a file is to a review.
type fileKind uint8

const (
	plainFile     fileKind = iota
	installScript          // runs as root when the package is installed
	shellScript            // bash or sh
	blob                   // no text
	program                // compiled
)

// kindOf says what a file is; scripts are those that install= names in either version.
func kindOf(name string, f *pkgdir.File, scripts map[string]bool) fileKind {
	switch {
	case f.Kind == pkgdir.Link:
		return plainFile
	case executableFormat(f.Data):
		return program
	case scripts[name] || strings.HasSuffix(name, ".install"):
		return installScript
	case !isText(f.Data):
		return blob
	case strings.HasSuffix(name, ".sh") || strings.HasSuffix(name, ".bash") || shellShebang().Match(f.Data[:min(len(f.Data), 100)]):
		return shellScript
	}
	return plainFile
}

var shellShebang = lazily(`^#! ?/\S*(?:bash|/sh|dash|zsh|ksh|env (?:-S )?(?:bash|sh|zsh))\b`)

func isText(b []byte) bool {
	return utf8.Valid(b) && bytes.IndexByte(b, 0) < 0
}

func executableFormat(b []byte) bool {
	for _, magic := range []string{"\x7fELF", "\xcf\xfa\xed\xfe", "\xce\xfa\xed\xfe", "\xfe\xed\xfa\xcf", "\xca\xfe\xba\xbe", "\x00asm", "dex\n"} {
		if bytes.HasPrefix(b, []byte(magic)) {
			return true
		}
	}
	return bytes.HasPrefix(b, []byte("MZ")) && bytes.IndexByte(b[:min(len(b), 512)], 0) >= 0
}

// installScripts are the files that install= of either version names, as far as that is known.
func (j *judging) installScripts() map[string]bool {
	out := map[string]bool{}
	for _, s := range []*side{j.older, j.newer} {
		if s == nil || s.file == nil {
			continue
		}
		for _, u := range s.units {
			if u.assign != nil && u.name == "install" {
				for _, v := range j.valuesOf(s, u) {
					out[v] = true
				}
			}
		}
		namedScripts(out, s.data)
	}
	for _, dir := range []pkgdir.Dir{j.in.Old, j.in.New} {
		namedScripts(out, dir[".SRCINFO"].Data)
	}
	return out
}

// namedScripts adds what lines such as install=NAME or install = NAME say, also inside of functions.
func namedScripts(out map[string]bool, data []byte) {
	for rest := data; ; {
		i := bytes.Index(rest, []byte("install"))
		if i < 0 {
			return
		}
		line, _, _ := bytes.Cut(rest[i:], []byte("\n"))
		if m := installLine().FindSubmatch(line); m != nil {
			out[string(m[1])] = true
		}
		rest = rest[i+len("install"):]
	}
}

var installLine = lazily(`^install ?= ?["']?([A-Za-z0-9@._+-]+)["']?\s*$`)

// changedFile judges a file beside PKGBUILD and .SRCINFO.
func (j *judging) changedFile(c pkgdir.Change) {
	if pkgdir.OurOwn(c.Path) {
		j.changedOwn(c)
		return
	}
	if c.Path == ".gitignore" && (c.New == nil || c.New.Kind == pkgdir.Regular) {
		j.find("gitignore", c.Path, 0, "", "", "")
		return
	}
	if strings.HasSuffix(c.Path, "nvchecker.toml") && j.changedWatch(c) {
		return
	}
	now := c.New
	if now == nil {
		rule := "file-removed"
		if strings.HasSuffix(c.Path, ".install") {
			rule = "install-removed"
		}
		j.find(rule, c.Path, 0, "", "", c.Path)
		return
	}
	if now.Kind == pkgdir.Link || c.Old != nil && c.Old.Kind == pkgdir.Link {
		j.find("link", c.Path, 0, "", string(now.Data), c.Path)
		return
	}
	if c.Old != nil && c.Old.Kind != now.Kind {
		j.find("mode", c.Path, 0, "", "", c.Path)
		if bytes.Equal(c.Old.Data, now.Data) {
			return
		}
	}
	kind := kindOf(c.Path, now, j.scripts)
	j.fileRule(c, kind)
	if kind != program && kind != blob {
		j.flaws(c.Path, now.Data, kind != plainFile)
		if kind != plainFile && j.hasMajor(c.Path) {
			j.outOfSight(c.Path, now.Data)
		}
	}
}

// watches are the sources of nvchecker that only ask a server; cmd, jq and others that run something are not among them.
var watches = strings.Fields("github gitlab gitea codeberg bitbucket pypi npm gems cratesio hackage cpan packagist aur archpkg alpm debianpkg ubuntupkg repology anitya regex htmlparser httpheader git mercurial sourceforge jetbrains " +
	"openvsx android_sdk pagure go container opam manual none launchpad gnome sparkle kde")

// changedWatch judges the settings of the update check. They change no build; what they can do is to run a command in the
// pipeline.
func (j *judging) changedWatch(c pkgdir.Change) bool {
	if c.New == nil || c.New.Kind != pkgdir.Regular || c.Old != nil && c.Old.Kind != pkgdir.Regular {
		return false
	}
	if !plainWatch(c.New.Data) {
		if runsCommand().Match(c.New.Data) && (c.Old == nil || !runsCommand().Match(c.Old.Data)) {
			j.find("update-command", c.Path, 0, "", string(c.New.Data), "")
		}
		return false
	}
	j.find("update-check", c.Path, 0, "", "", "")
	return true
}

var runsCommand = lazily(`(?m)^\s*["']?(?:cmd["']?\s*=|source["']?\s*=\s*["']+(?:cmd|jq))|ext::|["']?cmd["']?\s*=`)

// plainWatch: tables with one known source each and nothing but plain values.
func plainWatch(data []byte) bool {
	var tables map[string]map[string]any
	if len(data) > 1<<16 || toml.Unmarshal(data, &tables) != nil {
		return false
	}
	for name, t := range tables {
		source, _ := t["source"].(string)
		if name == "__config__" || !slices.Contains(watches, source) {
			return false
		}
		for key, value := range t {
			text, isText := value.(string)
			_, isFlag := value.(bool)
			if !isText && !isFlag || key == "cmd" || isText && strings.Contains(text, "ext::") || strings.Contains(key, "proxy") || strings.Contains(key, "token") || key == "verify_cert" {
				return false
			}
		}
	}
	return len(tables) > 0
}

func (j *judging) fileRule(c pkgdir.Change, kind fileKind) {
	added := c.Old == nil
	pick := func(a, b string) string {
		if added {
			return a
		}
		return b
	}
	switch kind {
	case program:
		j.find("program", c.Path, 0, "", "", c.Path)
	case blob:
		j.find("binary", c.Path, 0, "", "", c.Path)
	case installScript:
		if !added && sameCode(c.Path, c.Old.Data, c.New.Data) {
			j.find("layout", c.Path, 0, "", "", c.Path)
			return
		}
		line, was, is := 0, "", ""
		if !added {
			line, was, is = textDifference(c.Old.Data, c.New.Data)
		}
		j.find(pick("install-added", "install-changed"), c.Path, line, was, is, c.Path)
	default:
		line, was, is := 0, "", ""
		if !added {
			line, was, is = textDifference(c.Old.Data, c.New.Data)
		}
		j.find(pick("file-added", "file-changed"), c.Path, line, was, is, c.Path)
	}
}

// sameCode says whether two scripts differ in layout and comments only.
func sameCode(name string, a, b []byte) bool {
	if len(a)+len(b) > 2*maxForm {
		return false
	}
	x, err1 := pkgbuild.Parse(name, a)
	y, err2 := pkgbuild.Parse(name, b)
	if err1 != nil || err2 != nil {
		return false
	}
	return formOf(x.Tree().Stmts, true) == formOf(y.Tree().Stmts, true)
}

// textDifference is the first line that differs, and the first lines that went and came.
func textDifference(a, b []byte) (line int, was, is string) {
	a, b = wholeLines(a), wholeLines(b)
	from, toA, toB := commonEnds(a, b)
	const most = 10
	first := func(text []byte) string {
		lines := bytes.SplitN(text, []byte("\n"), most+1)
		return strings.TrimSuffix(string(bytes.Join(lines[:min(len(lines), most)], []byte("\n"))), "\n")
	}
	return 1 + bytes.Count(a[:from], []byte("\n")), first(a[from:toA]), first(b[from:toB])
}

func wholeLines(text []byte) []byte {
	if len(text) > 0 && text[len(text)-1] != '\n' {
		return append(text[:len(text):len(text)], '\n')
	}
	return text
}

// ownKeys are the settings that caur writes itself when it bumps a package.
var ownKeys = []string{"CI_PACKAGE_BUMP", "CI_GIT_COMMIT"}

// changedOwn judges .CI: only a rebuild may pass, everything else runs in the pipeline.
func (j *judging) changedOwn(c pkgdir.Change) {
	if c.Path == ".CI/config" && c.New != nil && c.New.Kind == pkgdir.Regular && (c.Old == nil || c.Old.Kind == pkgdir.Regular) {
		var before []byte
		if c.Old != nil {
			before = c.Old.Data
		}
		a, b := conf.Parse(c.Path, before), conf.Parse(c.Path, c.New.Data)
		for _, key := range ownKeys {
			a.Delete(key)
			b.Delete(key)
		}
		if slices.Equal(settings(a), settings(b)) {
			j.find("ci-bump", c.Path, 0, "", "", "")
			return
		}
	}
	j.find("ci-files", c.Path, 0, "", "", path.Base(c.Path))
}

func settings(f *conf.File) (out []string) {
	for _, key := range f.Keys() {
		value, _ := f.Get(key)
		out = append(out, key+"="+value)
	}
	slices.Sort(out)
	return out
}

package candidates

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/srcinfo"
)

const srcinfoName = ".SRCINFO"

// updatedSrcinfo is the .SRCINFO that belongs to an edited PKGBUILD: made anew when all of the PKGBUILD is static, else the one that is
// there with the keys changed that the edit changes.
func updatedSrcinfo(files pkgdir.Dir, before, after *pkgbuild.File) ([]byte, error) {
	now := after.Static()
	info, dynamic, err := now.Srcinfo()
	if err == nil && len(dynamic) == 0 {
		return info.Bytes(), nil
	}
	text, there := files[srcinfoName]
	if !there || len(dynamic) == 0 {
		return nil, fmt.Errorf("the .SRCINFO cannot be told without running the PKGBUILD: %w", unknown(dynamic, err))
	}
	changes, err := pkgbuild.Changes(before, after)
	if err != nil {
		return nil, fmt.Errorf("the .SRCINFO of the new version cannot be told without running the PKGBUILD: PKGBUILD: %w", err)
	}
	for _, key := range []string{"pkgver", "pkgrel", "epoch"} { // these are right afterwards, even where the file was stale
		if v := now.Get(key); v.Static() && v.String() != "" {
			changes = append(changes, pkgbuild.Change{Key: key, New: []string{v.String()}})
		}
	}
	return editSrcinfo(text.Data, changes)
}

// unknown joins what is dynamic, each with its line.
func unknown(dynamic []pkgbuild.Dynamic, err error) error {
	var why []error
	for _, d := range dynamic {
		why = append(why, &pkgbuild.Error{File: "PKGBUILD", Line: d.Line, Message: fmt.Sprintf("%s needs %s", d.Name, d.Reason), Err: pkgbuild.ErrNotLiteral})
	}
	if len(why) == 0 {
		return err
	}
	return errors.Join(why...)
}

// editSrcinfo changes the values of some keys and leaves all other lines as they are, comments and layout included.
func editSrcinfo(text []byte, changes []pkgbuild.Change) ([]byte, error) {
	for _, change := range changes {
		t := srcinfoText{lines: strings.SplitAfter(string(text), "\n")}
		var err error
		if t.info, _, err = srcinfo.Parse(srcinfoName, text); err != nil {
			return nil, err
		}
		if err := t.apply(change); err != nil {
			return nil, err
		}
		text = []byte(strings.Join(t.lines, ""))
	}
	return text, nil
}

type srcinfoText struct {
	lines []string // with their line ends
	info  *srcinfo.Info
}

func (t *srcinfoText) apply(c pkgbuild.Change) error {
	section, err := t.section(c.Pkgname)
	if err != nil {
		return err
	}
	var there []srcinfo.Field
	for _, f := range section {
		if fieldKey(f) == c.Key {
			there = append(there, f)
		}
	}
	switch {
	case c.Partial:
		return t.replaceSome(c, there)
	case len(there) == len(c.New):
		for i, f := range there {
			t.setValue(f, c.New[i])
		}
	case len(there) == 0:
		t.insert(c)
	default:
		indent := t.indent(there[0].Line)
		for _, f := range there {
			t.lines[f.Line-1] = ""
		}
		t.lines[there[0].Line-1] = render(indent, t.lineEnd(), c)
	}
	return nil
}

func (t *srcinfoText) section(pkgname string) (srcinfo.Section, error) {
	if pkgname == "" {
		return t.info.Base, nil
	}
	for _, p := range t.info.Packages {
		if p.Pkgname == pkgname {
			return p.Own, nil
		}
	}
	return nil, fmt.Errorf("%s is stale: it has no package %s; make it anew with 'makepkg --printsrcinfo'", srcinfoName, pkgname)
}

func fieldKey(f srcinfo.Field) string {
	if f.Arch == "" {
		return f.Key
	}
	return f.Key + "_" + f.Arch
}

// replaceSome replaces single values of a key whose other values are unknown.
func (t *srcinfoText) replaceSome(c pkgbuild.Change, there []srcinfo.Field) error {
	for i, old := range c.Old {
		at := slices.IndexFunc(there, func(f srcinfo.Field) bool { return strings.Join(strings.Fields(f.Value), " ") == old })
		if at < 0 {
			if slices.ContainsFunc(there, func(f srcinfo.Field) bool { return f.Value == c.New[i] }) {
				continue // somebody was here before
			}
			return fmt.Errorf("%s is stale: %s has no value %q, which the PKGBUILD gives it; make it anew with 'makepkg --printsrcinfo'", srcinfoName, c.Key, old)
		}
		t.setValue(there[at], c.New[i])
		there = slices.Delete(slices.Clone(there), at, at+1)
	}
	return nil
}

// setValue replaces what stands behind the equals sign.
func (t *srcinfoText) setValue(f srcinfo.Field, value string) {
	if f.Value == value {
		return
	}
	line := t.lines[f.Line-1]
	end := line[len(strings.TrimRight(line, "\r\n")):]
	key, _, _ := strings.Cut(line, "=")
	t.lines[f.Line-1] = strings.TrimRight(key, " \t") + " = " + value + end
}

// insert puts a key where makepkg would write it.
func (t *srcinfoText) insert(c pkgbuild.Change) {
	key, arch := c.Key, ""
	for _, a := range t.info.Arch {
		if k, ok := strings.CutSuffix(c.Key, "_"+a); ok {
			key, arch = k, a
		}
	}
	after := 0 // line; that of pkgbase or pkgname when there is nothing before it
	for i, line := range t.lines {
		if name, value, _ := strings.Cut(line, "="); c.Pkgname == "" && strings.TrimSpace(name) == "pkgbase" && strings.TrimSpace(value) == t.info.Pkgbase {
			after = i + 1
			break
		}
	}
	for _, p := range t.info.Packages {
		if p.Pkgname == c.Pkgname {
			after = p.Line
		}
	}
	indent := "\t"
	t.info.Set(c.Pkgname, key, arch, c.New...)
	section, _ := t.section(c.Pkgname)
	for _, f := range section {
		if f.Line == 0 {
			break
		}
		after, indent = f.Line, t.indent(f.Line)
	}
	line := t.lines[after-1]
	if !strings.HasSuffix(line, "\n") {
		line += t.lineEnd()
	}
	t.lines[after-1] = line + render(indent, t.lineEnd(), c)
}

func (t *srcinfoText) indent(line int) string {
	text := t.lines[line-1]
	return text[:len(text)-len(strings.TrimLeft(text, " \t"))]
}

func (t *srcinfoText) lineEnd() string {
	if strings.HasSuffix(t.lines[0], "\r\n") {
		return "\r\n"
	}
	return "\n"
}

func render(indent, end string, c pkgbuild.Change) string {
	var out strings.Builder
	for _, value := range c.New {
		out.WriteString(indent + c.Key + " = " + value + end)
	}
	return out.String()
}

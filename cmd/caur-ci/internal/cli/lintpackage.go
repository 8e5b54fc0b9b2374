package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/srcinfo"
	"github.com/caur-build/caur/pkg/state"
)

// guarded looks at a package; one that makes us panic concerns itself alone.
func (l *linter) guarded(ctx context.Context, name string, read func(context.Context, string) (pkgdir.Dir, error)) (list []lintFinding, err error) {
	defer func() {
		if p := recover(); p != nil {
			list, err = []lintFinding{{name, name + "/PKGBUILD", 1, ruleSyntax, fmt.Sprintf("panic: %v; please report this as a bug of caur, with the package", p)}}, nil
		}
	}()
	p := &lintedPackage{name: name}
	if p.dir, err = read(ctx, name); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		p.refused(err)
		if p.dir, err = l.important(ctx, name); err != nil {
			return nil, err
		}
	}
	p.scripts()
	p.config()
	p.metadata()
	if !p.partial {
		p.localFiles()
	}
	if p.recipe != nil {
		p.layout(l.style)
		if err := l.shell.check(ctx, p); err != nil {
			return nil, err
		}
	}
	return p.list, nil
}

// important reads the files that lint needs of a directory that cannot be read as a whole.
func (l *linter) important(ctx context.Context, name string) (pkgdir.Dir, error) {
	l.reading.Lock()
	defer l.reading.Unlock()
	files := []string{"PKGBUILD", ".SRCINFO", ".CI/config", ".CI/prepare", ".CI/update.sh", ".CI/on-failure.sh", ".CI/on-success.sh"}
	paths := make([]string, len(files))
	for i, file := range files {
		paths[i] = name + "/" + file
	}
	contents := make([][]byte, len(files))
	err := l.files.Read(ctx, paths, func(i int, data []byte) error {
		contents[i] = bytes.Clone(data)
		return nil
	})
	dir := pkgdir.Dir{}
	for i, file := range files {
		if contents[i] != nil {
			dir[file] = pkgdir.File{Data: contents[i]}
		}
	}
	return dir, err
}

// refused reports why the directory cannot be read as a whole; what a build leaves in src and pkg is no mistake.
func (p *lintedPackage) refused(err error) {
	p.partial = true
	var at *pkgdir.Error
	switch {
	case !errors.As(err, &at):
		p.list = append(p.list, lintFinding{p.name, p.name, 1, ruleDirectory, err.Error()})
	case !strings.HasPrefix(at.Path, "src/") && !strings.HasPrefix(at.Path, "pkg/"):
		p.add(at.Path, 1, ruleDirectory, "%s", at.Reason)
	}
}

// lintedPackage collects what is wrong with a package.
type lintedPackage struct {
	name   string
	dir    pkgdir.Dir
	recipe *pkgbuild.File // nil when it cannot be read
	info   *srcinfo.Info  // of .SRCINFO, nil when it cannot be read
	list   []lintFinding

	partial bool // dir lacks files, so it cannot tell what is missing
}

func (p *lintedPackage) add(file string, line int, rule, format string, args ...any) {
	p.list = append(p.list, lintFinding{p.name, p.name + "/" + file, line, rule, fmt.Sprintf(format, args...)})
}

// scripts reads everything that is bash.
func (p *lintedPackage) scripts() {
	for _, file := range p.dir.Paths() {
		f := p.dir[file]
		known := file == "PKGBUILD" || path.Ext(file) == ".install" && path.Dir(file) == "." ||
			path.Dir(file) == ".CI" && (path.Ext(file) == ".sh" || path.Base(file) == "prepare")
		if !known || f.Kind == pkgdir.Link {
			continue
		}
		parsed, err := pkgbuild.Parse(file, f.Data)
		var wrong *pkgbuild.Error
		switch {
		case errors.As(err, &wrong):
			p.add(file, wrong.Line, ruleSyntax, "%s", wrong.Message)
		case err != nil:
			p.add(file, 1, ruleSyntax, "%v", err)
		case file == "PKGBUILD":
			p.recipe = parsed
		}
	}
}

func (p *lintedPackage) config() {
	const file = ".CI/config"
	if f, ok := p.dir[file]; ok && f.Kind != pkgdir.Link {
		_, remarks, err := state.ParsePackageConfig(p.name+"/"+file, f.Data)
		p.list = append(p.list, configFindings(p.name, remarks, err)...)
	}
}

// metadata compares .SRCINFO with what the PKGBUILD certainly says.
func (p *lintedPackage) metadata() {
	const file = ".SRCINFO"
	f, ok := p.dir[file]
	if !ok {
		p.add(file, 1, ruleSrcinfo, "is missing, so dependencies and split packages are unknown: make it with 'caur-ci srcinfo --write %s'", p.name)
	} else {
		info, remarks, err := srcinfo.Parse(file, f.Data)
		var wrong *srcinfo.Error
		switch {
		case errors.As(err, &wrong):
			p.add(file, wrong.Line, ruleSrcinfo, "%s", wrong.Message)
		case err != nil:
			p.add(file, 1, ruleSrcinfo, "%v", err)
		default:
			p.info = info
		}
		for _, r := range remarks {
			p.add(file, r.Line, ruleSrcinfo, "%s", r.Message)
		}
		if err == nil && info.Pkgbase != p.name && !p.interferes() {
			p.add(file, 1, ruleSrcinfo, "pkgbase is %s, not the name of the directory, which counts", info.Pkgbase)
		}
	}
	if p.recipe == nil {
		return
	}
	report := srcinfoReport{Package: p.name}
	if err := report.judge(p.recipe, f.Data); err != nil {
		p.add("PKGBUILD", 1, ruleSrcinfo, "%s", strings.TrimPrefix(err.Error(), p.name+"/PKGBUILD: "))
		return
	}
	if report.Status == srcinfoStale && p.info != nil {
		p.stale(report, f.Data)
	}
}

// interferes says whether the PKGBUILD is changed before it is built: then it may well get another name.
func (p *lintedPackage) interferes() bool {
	return slices.ContainsFunc([]string{"prepare", "interfere.patch", "PKGBUILD.prepend", "PKGBUILD.append"}, func(file string) bool {
		_, ok := p.dir[".CI/"+file]
		return ok
	})
}

// stale says where a .SRCINFO differs first.
func (p *lintedPackage) stale(report srcinfoReport, there []byte) {
	line, removed, added, more := firstDifference(report.Diff)
	lines := strings.Split(string(there), "\n")
	for i := max(line-1, 0); i < len(lines); i++ { // comments were left out for the comparison
		if removed != "" && strings.TrimSpace(lines[i]) == removed {
			line = i + 1
			break
		}
	}
	text := "stale: "
	key, _, _ := strings.Cut(removed, "=")
	switch {
	case removed != "" && !strings.HasPrefix(added, key+"="):
		text += fmt.Sprintf("%q is not in the PKGBUILD", removed)
	case removed == "":
		text += fmt.Sprintf("%q is missing here", added)
	default:
		text += fmt.Sprintf("says %q, the PKGBUILD says %q", removed, added)
	}
	if more > 0 {
		text += fmt.Sprintf(" (and %s)", count(more, "more change"))
	}
	repair := "run 'caur-ci srcinfo --write " + p.name + "'"
	if report.Srcinfo == "" {
		repair = "the PKGBUILD has dynamic values, so run 'makepkg --printsrcinfo' in a container, or 'caur-ci srcinfo --sandbox always --write " + p.name + "'"
	}
	p.add(".SRCINFO", line, ruleSrcinfo, "%s: %s", text, repair)
}

// firstDifference gives the first line that a unified diff removes or adds, what stands there instead, and how many of the
// larger side come after it.
func firstDifference(diff string) (line int, removed, added string, more int) {
	var minus, plus, at int
	for text := range strings.SplitSeq(diff, "\n") {
		switch {
		case strings.HasPrefix(text, "--- "), strings.HasPrefix(text, "+++ "), strings.HasPrefix(text, "diff "), text == "":
		case text[0] == '@':
			start, _, _ := strings.Cut(strings.TrimPrefix(text, "@@ -"), ",")
			at, _ = strconv.Atoi(start)
			continue
		case text[0] == '-':
			if minus++; minus == 1 && plus == 0 {
				line, removed = at, strings.TrimSpace(text[1:])
			}
			at++
		case text[0] == '+':
			if plus++; plus == 1 && minus <= 1 || plus == 1 && added == "" {
				added = strings.TrimSpace(text[1:])
				line = max(line, 1)
				if removed == "" {
					line = at
				}
			}
		default:
			at++
		}
	}
	return max(line, 1), removed, added, max(minus, plus) - 1
}

// localFiles looks for the files that source=, install= and changelog= name: where the PKGBUILD says them certainly there,
// else where .SRCINFO does.
func (p *lintedPackage) localFiles() {
	unknown := map[string]bool{}
	if p.recipe != nil {
		static := p.recipe.Static()
		p.namedFiles(static)
		for _, name := range static.Names() {
			unknown[name] = !static.Get(name).Static()
		}
	}
	if p.info == nil {
		return
	}
	sections := []srcinfo.Section{p.info.Base}
	for _, pkg := range p.info.Packages {
		sections = append(sections, pkg.Own)
	}
	for i, section := range sections {
		for _, f := range section {
			key := f.Key
			if f.Arch != "" {
				key += "_" + f.Arch
			}
			certain := p.recipe != nil && !unknown[key] && i == 0
			if !certain && f.Value != "" && !p.reported(f.Value) {
				p.need(".SRCINFO", f.Line, f.Key, f.Value)
			}
		}
	}
}

// reported says whether a finding names the file already.
func (p *lintedPackage) reported(file string) bool {
	return slices.ContainsFunc(p.list, func(f lintFinding) bool { return f.Rule == ruleMissing && strings.HasPrefix(f.Text, file+",") })
}

func (p *lintedPackage) namedFiles(static *pkgbuild.Static) {
	for _, a := range static.Assignments() {
		key, _, _ := strings.Cut(a.Name, "_")
		now := static.Get(a.Name)
		if !now.Static() {
			continue
		}
		for _, element := range a.Elements {
			for _, value := range element.Values {
				if slices.Contains(now.Items, value) { // a later assignment may have replaced it
					p.need("PKGBUILD", element.Line, key, value)
				}
			}
		}
	}
}

// need reports a local file that is not there. Which sources are local, and that makepkg looks for NAME of NAME::FILE, is
// PKGBUILD(5), source.
func (p *lintedPackage) need(file string, line int, key, value string) {
	switch key {
	case "source":
		if strings.Contains(value, "://") || strings.Contains(value, "lp:") {
			return
		}
		value, _, _ = strings.Cut(value, "::")
	case "install", "changelog":
	default:
		return
	}
	if value == "" {
		return
	}
	if _, ok := p.dir[path.Clean(value)]; !ok {
		p.add(file, line, ruleMissing, "%s, named by %s, is not in the directory", value, key)
	}
}

// layout compares the PKGBUILD with what shfmt would make of it.
func (p *lintedPackage) layout(style func(string) (pkgbuild.Style, error)) {
	if style == nil {
		return
	}
	s, err := style(p.name + "/PKGBUILD")
	if err != nil {
		p.list = append(p.list, lintFinding{p.name, editorFile, 1, ruleStyle, err.Error()})
		return
	}
	if s.Ignore {
		return
	}
	was := p.dir["PKGBUILD"].Data
	want, err := pkgbuild.Format(p.name+"/PKGBUILD", was, s)
	if err != nil || bytes.Equal(was, want) { // what cannot be laid out without a change of its meaning stays as it is
		return
	}
	a, b := strings.Split(string(was), "\n"), strings.Split(string(want), "\n")
	i := 0
	for i < len(a)-1 && i < len(b)-1 && a[i] == b[i] {
		i++
	}
	from := 0 // where they differ, with a little before it
	for from < len(a[i]) && from < len(b[i]) && a[i][from] == b[i][from] {
		from++
	}
	from = max(0, from-10)
	p.add("PKGBUILD", i+1, ruleStyle, "%.40q should be %.40q: lay it out with 'shfmt -ln bash -w %s/PKGBUILD', which reads .editorconfig", a[i][from:], b[i][from:], p.name)
}

// strangeDir says what is wrong with a directory at the top that is no package.
func strangeDir(dir string, hasRecipe bool) (lintFinding, bool) {
	at := lintFinding{Package: dir, Path: dir, Line: 1, Rule: ruleDirectory}
	switch {
	case !srcinfo.LegalName(dir):
		at.Text = "its name is no legal package name, so it is never built"
	case !hasRecipe:
		at.Text = "it holds no PKGBUILD, so it is never built"
	default:
		return lintFinding{}, false
	}
	return at, true
}

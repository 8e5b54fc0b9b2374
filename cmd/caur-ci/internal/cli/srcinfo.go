package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/pkg/srcinfo"
)

type srcinfoOptions struct {
	check, write, json bool
	sandbox            string // auto, always, never
	packages           []string
}

func (a *app) srcinfo() *cobra.Command {
	var o srcinfoOptions
	cmd := &cobra.Command{
		Use:   "srcinfo [PKG… | DIR… | all]",
		Short: "Make the .SRCINFO of a PKGBUILD without running it",
		Long: `Prints what makepkg --printsrcinfo would print, by evaluating the static part of the PKGBUILD in the work tree: nothing in it is ever
run on this machine. Where a value needs a command, a file or the environment, it says which one, with line and reason. Such a
package can only be told by running makepkg in a build sandbox, which 'caur-exec srcinfo' does: it is called for packages
that are named when CONTAINER_ENGINE or BUILDER_IMAGE says where (--sandbox always: also for 'all').

Without a name it takes the PKGBUILD of the current directory. With several, each .SRCINFO has a comment with its name above it.

With --check it prints instead where a .SRCINFO that is there says something else than the PKGBUILD; of a PKGBUILD with
dynamic values it compares the others. With --write it writes what is missing or differs.

Exit status: 0 done; 1 failed, something is dynamic (without --check), or a .SRCINFO is stale (with --check); 2 wrong usage or settings.`,
		Example: `  caur-ci srcinfo
  caur-ci srcinfo paru > paru/.SRCINFO
  caur-ci srcinfo --check all
  caur-ci srcinfo --write paru yay
  caur-ci srcinfo --json all | jq -r '.[] | select(.status == "stale").package'`,
		ValidArgsFunction: a.packageArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.check && o.write {
				return command.Usagef("--check changes nothing and --write does: choose one")
			}
			if !slices.Contains([]string{sandboxAuto, sandboxAlways, sandboxNever}, o.sandbox) {
				return command.Usagef("--sandbox %s: want auto, always or never", o.sandbox)
			}
			o.packages = args
			return a.runSrcinfo(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.check, "check", false, "compare with the .SRCINFO that is there")
	cmd.Flags().BoolVar(&o.write, "write", false, "write .SRCINFO where it is missing or differs")
	cmd.Flags().BoolVar(&o.json, "json", false, "print the result as JSON")
	cmd.Flags().StringVar(&o.sandbox, "sandbox", sandboxAuto, "run makepkg in a sandbox for what is dynamic: auto, always or never")
	return cmd
}

// What a PKGBUILD and its .SRCINFO can be to each other.
const (
	srcinfoFresh   = "fresh"   // they say the same
	srcinfoStale   = "stale"   // the .SRCINFO says something else
	srcinfoMissing = "missing" // there is no .SRCINFO, or none that can be read
	srcinfoDynamic = "dynamic" // it cannot be told, but what can is the same
	srcinfoFailed  = "failed"  // the PKGBUILD cannot be read
)

// srcinfoReport is what is found out about one package.
type srcinfoReport struct {
	Package string          `json:"package"`
	Status  string          `json:"status"`
	Version string          `json:"version,omitempty"`
	Srcinfo string          `json:"srcinfo,omitempty"` // the whole text, only when nothing is dynamic
	Dynamic []dynamicReport `json:"dynamic,omitempty"`
	Diff    string          `json:"diff,omitempty"`
	Error   string          `json:"error,omitempty"`

	dir string
}

type dynamicReport struct {
	Value  string `json:"value"` // a key, or "package_NAME: KEY"
	Line   int    `json:"line"`
	Reason string `json:"reason"`
}

func (a *app) runSrcinfo(ctx context.Context, o srcinfoOptions) error {
	reports, err := a.srcinfoDirs(ctx, o.packages)
	if err != nil {
		return err
	}
	g, groupCtx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range reports {
		g.Go(func() error {
			reports[i].guarded()
			return groupCtx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := a.askSandbox(ctx, o, reports); err != nil {
		return err
	}
	if o.write {
		for i := range reports {
			a.writeSrcinfo(&reports[i])
		}
	}
	for _, r := range reports {
		a.explainSrcinfo(r)
	}
	if err := a.printSrcinfos(o, reports); err != nil {
		return err
	}
	return a.srcinfoResult(o, reports)
}

// srcinfoDirs finds the packages: directories of the repository, or any with a PKGBUILD in it.
func (a *app) srcinfoDirs(ctx context.Context, names []string) (reports []srcinfoReport, err error) {
	if len(names) == 0 {
		names = []string{"."}
	}
	for _, name := range names {
		if name == "all" {
			all, err := a.allPackages(ctx)
			if err != nil {
				return nil, err
			}
			reports = append(reports, all...)
			continue
		}
		dir, ok := hasRecipe(filepath.Join(a.repo, name))
		if !ok {
			dir, ok = hasRecipe(name)
		}
		if !ok {
			return nil, command.Usagef("%q is neither a package nor a directory with a PKGBUILD; name packages or all", name)
		}
		full, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		reports = append(reports, srcinfoReport{Package: filepath.Base(full), dir: dir})
	}
	slices.SortStableFunc(reports, func(a, b srcinfoReport) int { return strings.Compare(a.Package, b.Package) })
	return slices.CompactFunc(reports, func(a, b srcinfoReport) bool { return a.Package == b.Package && a.dir == b.dir }), nil
}

func hasRecipe(dir string) (string, bool) {
	_, err := os.Lstat(filepath.Join(dir, "PKGBUILD"))
	return filepath.Clean(dir), err == nil
}

func (a *app) allPackages(ctx context.Context) (reports []srcinfoReport, err error) {
	repo, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	defer closeRepo(ctx, repo, &err)
	files, err := repo.WorkTree()
	if err != nil {
		return nil, err
	}
	packages, err := newCatalog(ctx, files)
	if err != nil {
		return nil, err
	}
	for _, text := range packages.oddities() {
		a.warnf("%s", text)
	}
	for _, name := range packages.names {
		reports = append(reports, srcinfoReport{Package: name, dir: filepath.Join(repo.Dir(), name)})
	}
	return reports, nil
}

// guarded makes the report; a PKGBUILD that makes us panic concerns itself alone.
func (r *srcinfoReport) guarded() {
	defer func() {
		if p := recover(); p != nil {
			r.Status, r.Error = srcinfoFailed, fmt.Sprintf("panic: %v; please report this as a bug of caur, with the PKGBUILD", p)
		}
	}()
	if err := r.make(); err != nil {
		r.Status, r.Error = srcinfoFailed, err.Error()
	}
}

func (r *srcinfoReport) make() error {
	root, err := os.OpenRoot(r.dir) // links that lead out of the directory are not followed
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // nothing is written
	recipe, err := readBounded(root, "PKGBUILD")
	if err != nil {
		return err
	}
	file, err := pkgbuild.Parse(filepath.Join(r.Package, "PKGBUILD"), recipe)
	if err != nil {
		return err
	}
	there, err := readBounded(root, ".SRCINFO")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return r.judge(file, there)
}

// judge fills the report from the PKGBUILD and the .SRCINFO that is there, nil when there is none.
func (r *srcinfoReport) judge(file *pkgbuild.File, there []byte) error {
	info, dynamic, err := file.Static().Srcinfo()
	for _, d := range dynamic {
		r.Dynamic = append(r.Dynamic, dynamicReport{d.Name, d.Line, d.Reason})
	}
	if err != nil && len(dynamic) == 0 {
		return fmt.Errorf("%s/PKGBUILD: %w", r.Package, err)
	}
	r.Status = srcinfoDynamic
	if err != nil { // pkgbase or pkgver is among what is dynamic: there is nothing to compare with
		if there == nil {
			r.Status = srcinfoMissing
		}
		return nil
	}
	r.Version = info.Version()
	if len(dynamic) == 0 {
		r.Srcinfo = string(info.Bytes())
	}
	r.compare(info, there)
	return nil
}

// committed reads the .SRCINFO that is there, nil when there is none.
func (r *srcinfoReport) committed() ([]byte, error) {
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // nothing is written
	data, err := readBounded(root, ".SRCINFO")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

func readBounded(root *os.Root, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing is written
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is no file", name))
	}
	return io.ReadAll(io.LimitReader(f, pkgbuild.MaxSize+1))
}

// compare finds what the .SRCINFO that is there says differently. White space and comments do not count.
func (r *srcinfoReport) compare(info *srcinfo.Info, there []byte) {
	name := filepath.Join(r.Package, ".SRCINFO")
	has, _, err := srcinfo.Parse(name, there)
	if err != nil {
		r.Status = srcinfoMissing
		if there != nil {
			r.Error = err.Error()
		}
		return
	}
	now := withoutComments(has.Bytes())
	next := []byte(r.Srcinfo)
	if r.Srcinfo == "" {
		takeKnown(has, info)
		next = withoutComments(has.Bytes())
	}
	switch {
	case !bytes.Equal(now, next):
		r.Status = srcinfoStale
		r.Diff = string(diff.Diff(name, now, name+" (made from PKGBUILD)", next))
	case r.Srcinfo != "":
		r.Status = srcinfoFresh
	}
}

// takeKnown gives a .SRCINFO all values that are known.
func takeKnown(has, known *srcinfo.Info) {
	take := func(pkgname string, section srcinfo.Section) {
		type key struct{ name, arch string }
		values := map[key][]string{}
		var order []key
		for _, f := range section {
			k := key{f.Key, f.Arch}
			if values[k] == nil {
				order = append(order, k)
			}
			values[k] = append(values[k], f.Value)
		}
		for _, k := range order {
			has.Set(pkgname, k.name, k.arch, values[k]...)
		}
	}
	take("", known.Base)
	for _, p := range known.Packages {
		take(p.Pkgname, p.Own)
	}
}

func withoutComments(text []byte) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(text) {
		if !bytes.HasPrefix(line, []byte("#")) {
			out.Write(line)
		}
	}
	return append(bytes.Trim(out.Bytes(), "\n"), '\n')
}

func (a *app) writeSrcinfo(r *srcinfoReport) {
	if r.Srcinfo == "" || r.Status != srcinfoStale && r.Status != srcinfoMissing {
		return
	}
	if err := renameio.WriteFile(filepath.Join(r.dir, ".SRCINFO"), []byte(r.Srcinfo), 0o644, renameio.WithTempDir(r.dir)); err != nil {
		r.Status, r.Error = srcinfoFailed, err.Error()
		return
	}
	a.notef("wrote %s/.SRCINFO (%s)", r.Package, r.Version)
}

// explainSrcinfo says what is wrong with a package, and what to do.
func (a *app) explainSrcinfo(r srcinfoReport) {
	type cause struct {
		line   int
		reason string
	}
	values := map[cause][]string{}
	var causes []cause
	for _, d := range r.Dynamic {
		c := cause{d.Line, d.Reason}
		if values[c] == nil {
			causes = append(causes, c)
		}
		values[c] = append(values[c], d.Value)
	}
	for _, c := range causes {
		names := values[c]
		if n := len(names); n > 5 { // all of them, after a source or an eval
			names = append(slices.Clone(names[:4]), fmt.Sprintf("%d more", n-4))
		}
		a.warnf("%s/PKGBUILD:%d: %s: dynamic, for it needs %s", r.Package, c.line, strings.Join(names, ", "), c.reason)
	}
	if r.Error != "" {
		a.warnf("%s: %s", r.Package, r.Error)
	}
}

func (a *app) printSrcinfos(o srcinfoOptions, reports []srcinfoReport) error {
	var out strings.Builder
	switch {
	case o.json:
		encoder := json.NewEncoder(&out)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(reports); err != nil {
			return err
		}
	case o.check:
		for _, r := range reports {
			a.colorDiff(&out, r.Diff)
			if r.Status == srcinfoMissing {
				fmt.Fprintf(&out, "%s/.SRCINFO is missing\n", command.Sanitize(r.Package))
			}
		}
	case !o.write:
		for i, r := range reports {
			if len(reports) > 1 && r.Srcinfo != "" {
				fmt.Fprintf(&out, "%s# %s\n", strings.Repeat("\n", min(i, 1)), r.Package)
			}
			out.WriteString(r.Srcinfo)
		}
	}
	text := out.String()
	if a.io.OutTTY && !o.check { // the diff is harmless already
		text = command.Sanitize(text)
	}
	_, err := io.WriteString(a.io.Out, text)
	return err
}

// srcinfoResult sums up, and decides how the command ends.
func (a *app) srcinfoResult(o srcinfoOptions, reports []srcinfoReport) error {
	n := map[string]int{}
	dynamic, repairable := 0, 0
	for _, r := range reports {
		n[r.Status]++
		if len(r.Dynamic) > 0 && r.Srcinfo == "" {
			dynamic++
		}
		if r.Srcinfo != "" && (r.Status == srcinfoStale || r.Status == srcinfoMissing) {
			repairable++
		}
	}
	if len(reports) > 1 {
		a.notef("%s: %d fresh, %d stale, %d missing, %d not to be told without running the PKGBUILD, %d unreadable",
			count(len(reports), "package"), n[srcinfoFresh], n[srcinfoStale], n[srcinfoMissing], dynamic, n[srcinfoFailed])
	}
	var problems []string
	if bad := n[srcinfoFailed]; bad > 0 {
		problems = append(problems, fmt.Sprintf("%s cannot be read", count(bad, "PKGBUILD")))
	}
	const byMakepkg = "make it in a container that can be thrown away, with --sandbox always where caur-exec is installed, " +
		"or by hand with 'makepkg --printsrcinfo > .SRCINFO'"
	if o.check && repairable > 0 {
		problems = append(problems, fmt.Sprintf("the .SRCINFO of %s is stale or missing: repair it with 'caur-ci srcinfo --write'", count(repairable, "package")))
	}
	if bad := n[srcinfoStale] + n[srcinfoMissing] - repairable; o.check && bad > 0 {
		problems = append(problems, fmt.Sprintf("the .SRCINFO of %s with dynamic values is stale or missing: %s", count(bad, "package"), byMakepkg))
	}
	if !o.check && dynamic > 0 {
		problems = append(problems, fmt.Sprintf("the .SRCINFO of %s cannot be told without running the PKGBUILD: %s", count(dynamic, "package"), byMakepkg))
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

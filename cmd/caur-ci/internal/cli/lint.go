package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/state"
)

type lintOptions struct {
	staged, json bool
	shellcheck   string // auto, off, or a severity
	packages     []string
}

// lintFinding is one thing that is wrong.
type lintFinding struct {
	Package string `json:"package,omitempty"` // none for a file of the repository itself
	Path    string `json:"path"`
	Line    int    `json:"line"`
	Rule    string `json:"rule"`
	Text    string `json:"text"`
}

// The rules of lint.
const (
	ruleSyntax     = "syntax"
	ruleSrcinfo    = "srcinfo"
	ruleConfig     = "config"
	ruleMissing    = "missing-file"
	ruleStyle      = "style"
	ruleShellcheck = "shellcheck"
	ruleDirectory  = "directory"
)

func (a *app) lint() *cobra.Command {
	var o lintOptions
	cmd := &cobra.Command{
		Use:   "lint [PKG…]",
		Short: "Find mistakes in packages before they are built",
		Long: `Looks for mistakes in the packages that are named, else in all, and in .ci/config. Nothing of a PKGBUILD is run. A line is
PATH:LINE: TEXT; with --json the rule is told, too:

  syntax        a PKGBUILD, install script or script in .CI that bash cannot read
  srcinfo       a .SRCINFO that is missing, cannot be read, or says something else than the PKGBUILD, as far as that is
                certain without running it
  config        unknown keys and wrong values in .CI/config and .ci/config
  missing-file  a file that source=, install= or changelog= name and that is not beside the PKGBUILD
  style         a PKGBUILD that is not laid out as shfmt would by the keys of the repository's .editorconfig, where it has one
  shellcheck    what shellcheck says, where it is installed; without what every PKGBUILD does (variables that makepkg sets or
                reads, cd without exit). '# shellcheck disable=' lines count, .shellcheckrc files do not
  directory     a directory that is no package

shellcheck takes a second for each package, so it looks only at packages that are named or staged, and tells warnings and
errors; --shellcheck SEVERITY asks it about all, off about none. namcap is never called: it runs the PKGBUILD that it checks.
That a builder takes the class of a package is for 'caur-ci doctor', which asks the queue.

With --staged it takes what is staged for the next commit, the packages that this changes, and can be a pre-commit hook.

Exit status: 0 nothing is wrong; 1 something is, or the command failed; 2 wrong usage or settings.`,
		Example: `  caur-ci lint
  caur-ci lint paru yay
  caur-ci lint --shellcheck info paru
  echo 'exec caur-ci lint --staged' > .git/hooks/pre-commit; chmod +x .git/hooks/pre-commit
  caur-ci lint --json | jq -r 'group_by(.rule)[] | "\(length) \(.[0].rule)"'`,
		ValidArgsFunction: a.packageArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.staged && len(args) > 0 {
				return command.Usagef("--staged takes the packages that are staged: name none")
			}
			if !slices.Contains(shellcheckLevels, o.shellcheck) {
				return command.Usagef("--shellcheck %s: want %s", o.shellcheck, strings.Join(shellcheckLevels, ", "))
			}
			o.packages = args
			return a.runLint(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.staged, "staged", false, "check what is staged, of the packages that it changes")
	cmd.Flags().BoolVar(&o.json, "json", false, "print the findings as JSON")
	cmd.Flags().StringVar(&o.shellcheck, "shellcheck", "auto", "what shellcheck tells: auto, off, error, warning, info or style")
	_ = cmd.RegisterFlagCompletionFunc("shellcheck", cobra.FixedCompletions(shellcheckLevels, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *app) runLint(ctx context.Context, o lintOptions) (err error) {
	repo, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer closeRepo(ctx, repo, &err)
	var files gitrepo.Files
	var changed map[string]bool
	if o.staged {
		files, changed, err = a.stagedFiles(ctx, repo)
	} else {
		files, err = localFiles(ctx, repo, "")
	}
	if err != nil {
		return err
	}
	packages, err := newCatalog(ctx, files)
	if err != nil {
		return err
	}
	names, err := lintNames(packages, o, changed)
	if err != nil {
		return err
	}
	findings, err := a.lintRoot(ctx, packages, o, changed)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "caur-lint-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch) //nolint:errcheck // nothing of value is in it
	l, err := a.newLinter(ctx, files, o, scratch)
	if err != nil {
		return err
	}
	more, err := l.packages(ctx, names)
	if err != nil {
		return err
	}
	return a.printFindings(o, len(names), append(findings, more...))
}

// stagedFiles gives the content of the index, and the first part of every path that it changes, or all of it for .ci/config.
func (a *app) stagedFiles(ctx context.Context, repo *gitrepo.Repo) (gitrepo.Files, map[string]bool, error) {
	if repo.Bare() {
		return nil, nil, command.Usagef("--staged: a bare repository stages nothing")
	}
	git := repo.Program()
	if index, ok := a.io.Getenv("GIT_INDEX_FILE"); ok && index != "" { // of a hook: git commit -a and git commit FILE make an index for the commit
		git.Env = append(slices.Clone(git.Env), "GIT_INDEX_FILE="+index)
	}
	diff, err := git.Output(ctx, "diff", "--cached", "--name-only", "--no-renames", "-z")
	if err != nil {
		return nil, nil, fmt.Errorf("see what is staged: %w", err)
	}
	changed := map[string]bool{}
	for path := range strings.SplitSeq(string(diff), "\x00") {
		dir, _, _ := strings.Cut(path, "/")
		changed[dir], changed[path] = true, true
	}
	tree, err := git.Output(ctx, "write-tree")
	if err != nil {
		return nil, nil, fmt.Errorf("read what is staged (are conflicts unresolved?): %w", err)
	}
	id := strings.TrimSpace(string(tree))
	files, err := repo.At(ctx, gitrepo.Commit{ID: id, Tree: id})
	return files, changed, err
}

// lintNames gives the packages to look at.
func lintNames(packages *catalog, o lintOptions, changed map[string]bool) ([]string, error) {
	if o.staged {
		var names []string
		for _, name := range packages.names {
			if changed[name] {
				names = append(names, name)
			}
		}
		return names, nil
	}
	if len(o.packages) == 0 {
		return packages.names, nil
	}
	var names []string
	for _, name := range o.packages {
		name = strings.TrimSuffix(name, "/") // as a shell completes it
		if !slices.Contains(packages.names, name) {
			return nil, command.Usagef("there is no package %q", name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// lintRoot looks at what belongs to no package: .ci/config and directories that are none.
func (a *app) lintRoot(ctx context.Context, packages *catalog, o lintOptions, changed map[string]bool) (list []lintFinding, err error) {
	if len(o.packages) > 0 {
		return nil, nil
	}
	for dir, has := range packages.dirs {
		if o.staged && !changed[dir] {
			continue
		}
		if at, ok := strangeDir(dir, has); ok {
			list = append(list, at)
		}
	}
	if o.staged && !changed[configFile] {
		return list, nil
	}
	err = packages.files.Read(ctx, []string{configFile}, func(_ int, data []byte) error {
		_, remarks, err := state.ParseRepoConfig(configFile, slices.Clone(data), nil)
		list = append(list, configFindings("", remarks, err)...)
		return nil
	})
	return list, err
}

func configFindings(pkgbase string, remarks []state.Problem, err error) (list []lintFinding) {
	var wrong *state.Error
	if errors.As(err, &wrong) {
		remarks = append(wrong.Problems, remarks...)
	}
	for _, p := range remarks {
		text := p.Message
		if p.Key != "" {
			text = p.Key + ": " + text
		}
		list = append(list, lintFinding{Package: pkgbase, Path: p.File, Line: p.Line, Rule: ruleConfig, Text: text})
	}
	return list
}

// linter looks at packages.
type linter struct {
	files gitrepo.Files
	style func(path string) (pkgbuild.Style, error) // nil: the repository has no .editorconfig
	shell shellchecker

	reading sync.Mutex // a repository is for one goroutine at a time
}

func (a *app) newLinter(ctx context.Context, files gitrepo.Files, o lintOptions, scratch string) (*linter, error) {
	root := &rootFiles{}
	err := files.Read(ctx, []string{editorFile}, func(_ int, data []byte) error {
		root.editor = slices.Clone(data)
		return nil
	})
	if err != nil {
		return nil, err
	}
	l := &linter{files: files, shell: a.newShellchecker(o)}
	if root.editor != nil {
		l.style, err = root.style(scratch)
	}
	return l, err
}

// packages looks at all of these, several at once.
func (l *linter) packages(ctx context.Context, names []string) ([]lintFinding, error) {
	read := func(ctx context.Context, dir string) (pkgdir.Dir, error) {
		l.reading.Lock()
		defer l.reading.Unlock()
		return l.files.Dir(ctx, dir)
	}
	results := make([][]lintFinding, len(names))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range names {
		g.Go(func() (err error) {
			results[i], err = l.guarded(ctx, name, read)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(results...), nil
}

// printFindings prints them in the order of packages, and decides how the command ends.
func (a *app) printFindings(o lintOptions, packages int, list []lintFinding) error {
	for i := range list {
		list[i].Line = max(list[i].Line, 1)
		list[i].Text = strings.Join(strings.Fields(list[i].Text), " ")
	}
	slices.SortStableFunc(list, func(a, b lintFinding) int {
		return cmp.Or(cmp.Compare(a.Package, b.Package), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line))
	})
	list = slices.Compact(list)
	var out strings.Builder
	if o.json {
		encoder := json.NewEncoder(&out)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(append([]lintFinding{}, list...)); err != nil {
			return err
		}
	} else {
		for _, f := range list {
			fmt.Fprintf(&out, "%s:%d: %s\n", f.Path, f.Line, f.Text)
		}
	}
	text := out.String()
	if !o.json {
		text = command.Sanitize(text)
	}
	if _, err := io.WriteString(a.io.Out, text); err != nil {
		return err
	}
	if len(list) == 0 {
		a.notef("%s: nothing is wrong", count(packages, "package"))
		return nil
	}
	return fmt.Errorf("%s in %s", count(len(list), "finding"), count(packages, "package"))
}

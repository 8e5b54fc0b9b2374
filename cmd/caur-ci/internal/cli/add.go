package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/cmd/caur-ci/internal/commit"
	"github.com/caur-build/caur/cmd/caur-ci/internal/review"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/srcinfo"
	"github.com/caur-build/caur/pkg/state"
)

type addOptions struct {
	byHand
	upstreamOptions
	origin, reason string
}

func (a *app) addCommand() *cobra.Command {
	var o addOptions
	cmd := &cobra.Command{
		Use:   "add PKGBASE[/SOURCE]…",
		Short: "Take packages into the repository",
		Long: `Fetches packages from their source, which is aur (also when none is named) or the URL of a git repository, and writes it
into .CI/config. Who asked for a package and why is kept in .CI/info. What looks dangerous is named in a warning, by the
rules of 'caur-ci review': nobody has looked at the package yet. A package that is there already is left alone.

Without arguments the variable ADD_PACKAGES is read; REQUEST_ORIGIN stands for --origin, CUSTOM_REQUEST_REASON or
REQUEST_REASON for --reason ("unset" is none).` + byHandHelp,
		Example: `  caur-ci add paru
  caur-ci add paru/aur tool/https://git.example.org/tool.git --origin github/5678 --reason request
  ADD_PACKAGES='paru/aur yay/aur' caur-ci add --push`,
		RunE: func(cmd *cobra.Command, args []string) error {
			wanted, err := a.additions(args, &o)
			if err != nil {
				return err
			}
			return a.runByHand(cmd.Context(), o.byHand, func(ctx context.Context, cfg *state.RepoConfig, c *catalog) (*handChange, error) {
				return a.adds(ctx, cfg, c, wanted, o)
			})
		},
	}
	o.byHand.flags(cmd)
	o.upstreamOptions.flags(cmd)
	cmd.Flags().StringVar(&o.origin, "origin", "", "who asked for the packages and where, such as github/5678")
	cmd.Flags().StringVar(&o.reason, "reason", "", "why they are added, such as request or depends:make")
	return cmd
}

// addition is a package to be added.
type addition struct {
	pkgbase string
	source  state.Source
}

// additions reads the arguments, or the variables of the pipeline.
func (a *app) additions(args []string, o *addOptions) ([]addition, error) {
	get := func(key string) string { v, _ := a.io.Getenv(key); return strings.TrimSpace(v) }
	if len(args) == 0 {
		args = strings.Fields(get("ADD_PACKAGES"))
	}
	if o.origin == "" {
		o.origin = get("REQUEST_ORIGIN")
	}
	for _, key := range []string{"CUSTOM_REQUEST_REASON", "REQUEST_REASON"} {
		if v := get(key); o.reason == "" && v != "unset" {
			o.reason = v
		}
	}
	if strings.ContainsAny(o.origin+o.reason, "\r\n\x00") {
		return nil, command.Usagef("origin and reason are one line each")
	}
	var list []addition
	for _, arg := range args {
		pkgbase, from, has := strings.Cut(arg, "/")
		if !has {
			from = "aur"
		}
		source, err := state.ParseSource(from)
		switch {
		case !srcinfo.LegalName(pkgbase):
			return nil, command.Usagef("%q: %q is no pkgbase; want PKGBASE, PKGBASE/aur or PKGBASE/URL", arg, pkgbase)
		case err != nil:
			return nil, command.Usagef("%s: %w", arg, err)
		case source.Kind != state.SourceAUR && source.Kind != state.SourceGit:
			return nil, command.Usagef("%s: packages come from aur or the URL of a git repository", arg)
		}
		list = append(list, addition{pkgbase, source})
	}
	if len(list) == 0 {
		return nil, command.Usagef("no package: name some as PKGBASE/SOURCE, or set ADD_PACKAGES")
	}
	return list, nil
}

func (a *app) adds(ctx context.Context, cfg *state.RepoConfig, c *catalog, wanted []addition, o addOptions) (*handChange, error) {
	var packages []*candidates.Package
	for _, w := range wanted {
		if slices.Contains(c.files.Dirs(), w.pkgbase) {
			a.warnf("%s is there already: it is left alone", w.pkgbase)
			continue
		}
		p, err := newPackage(w, o)
		if err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
	change := &handChange{}
	outcomes, err := a.fetchNew(ctx, cfg, c, packages, o)
	if err != nil {
		return nil, err
	}
	failures := 0
	for _, outcome := range outcomes {
		name, files := outcome.Draft.Package.Pkgbase, outcome.Draft.Changed()
		if why := notAdded(outcome); why != "" {
			a.warnf("not added: %s: %s", name, why)
			failures++
			continue
		}
		a.warnOfRisks(name, files)
		change.add(name, fmt.Sprintf("%s: %s from %s", name, versionIn(files), outcome.Draft.Package.Config.Source), commit.Dir(name, nil, files))
	}
	if len(change.names) == 0 && failures > 0 {
		return nil, errors.New("no package could be added")
	}
	change.message = strings.Replace(commit.Message("add", change.names), "chore(", "feat(", 1)
	return change, nil
}

// newPackage is a directory with nothing but our own files.
func newPackage(w addition, o addOptions) (*candidates.Package, error) {
	settings := []byte("CI_PKGBUILD_SOURCE=" + w.source.String() + "\n")
	own := pkgdir.Dir{".CI/config": {Data: settings}}
	var info string
	if o.origin != "" {
		info += "REQ_ORIGIN=" + o.origin + "\n"
	}
	if o.reason != "" {
		info += "REQ_REASON=" + o.reason + "\n"
	}
	if info != "" {
		own[".CI/info"] = pkgdir.File{Data: []byte(info)}
	}
	config, _, err := state.ParsePackageConfig(w.pkgbase+"/.CI/config", settings)
	if err != nil {
		return nil, err
	}
	return &candidates.Package{
		Pkgbase: w.pkgbase, Config: config, State: &state.PackageState{},
		Files: func(context.Context) (pkgdir.Dir, error) { return own.Clone(), nil },
	}, nil
}

// fetchNew asks the sources for packages that nothing is there of.
func (a *app) fetchNew(ctx context.Context, cfg *state.RepoConfig, c *catalog, packages []*candidates.Package, o addOptions) ([]candidates.Outcome, error) {
	if len(packages) == 0 {
		return nil, nil
	}
	root, err := a.readRootFiles(ctx, c.files)
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "caur-add-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for what is fetched: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	newest := *root
	newest.aurState = time.Time{} // whatever its age, it is new to this repository
	up, err := a.newUpstreams(ctx, cfg, &newest, emptyMemory(), &loaded{packages: packages}, false, scratch, o.upstreamOptions)
	if err != nil {
		return nil, err
	}
	defer up.close()
	finders := slices.DeleteFunc(up.finders(), func(f candidates.Finder) bool {
		return f.Name() != candidates.SourceAUR && f.Name() != candidates.SourceGit
	})
	outcomes, asked, err := candidates.Run(ctx, finders, packages, cfg.MaxParallel, nil)
	if err != nil {
		return nil, err
	}
	for _, source := range asked {
		if source.Err != nil {
			return nil, source.Err
		}
	}
	return outcomes, nil
}

// notAdded says why a source gave nothing, "" when it did.
func notAdded(o candidates.Outcome) string {
	switch {
	case len(o.Faults) > 0:
		return o.Faults[0].Err.Error()
	case o.Draft.Changed() != nil:
		return ""
	case o.Draft.Package.Config.Source.Kind == state.SourceAUR:
		return "the AUR has no pkgbase of that name (the name of a split package's part will not do)"
	}
	return "its source has nothing"
}

// warnOfRisks names what the rules of review find in a package that nobody has seen before.
func (a *app) warnOfRisks(pkgbase string, files pkgdir.Dir) {
	verdict := review.Judge(review.Input{Pkgbase: pkgbase, Old: pkgdir.Dir{}, New: files})
	for _, f := range verdict.Findings {
		if f.Severity == review.Critical {
			a.warnf("%s/%s%s", pkgbase, place(f), f.Text)
		}
	}
}

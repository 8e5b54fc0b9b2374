package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/syncdb"
)

// repoPackage is a package in the output of ls and show.
type repoPackage struct {
	Repo          string    `json:"repo"`
	Arch          string    `json:"repo_arch"` // of the directory; that of the package may be any
	Name          string    `json:"pkgname"`
	Version       string    `json:"version"`
	Base          string    `json:"pkgbase"`
	PackageArch   string    `json:"arch"`
	Description   string    `json:"description,omitempty"`
	URL           string    `json:"url,omitempty"`
	Licenses      []string  `json:"licenses,omitempty"`
	Packager      string    `json:"packager,omitempty"`
	Built         time.Time `json:"built"`
	Filename      string    `json:"filename"`
	Size          int64     `json:"size"`
	InstalledSize int64     `json:"installed_size"`
	SHA256        string    `json:"sha256,omitempty"`
	Signed        bool      `json:"signed"`
	Groups        []string  `json:"groups,omitempty"`
	Provides      []string  `json:"provides,omitempty"`
	Depends       []string  `json:"depends,omitempty"`
	OptDepends    []string  `json:"optdepends,omitempty"`
	MakeDepends   []string  `json:"makedepends,omitempty"`
	CheckDepends  []string  `json:"checkdepends,omitempty"`
	Conflicts     []string  `json:"conflicts,omitempty"`
	Replaces      []string  `json:"replaces,omitempty"`
	Files         []string  `json:"files,omitempty"`
}

func repoPackageOf(repo, arch string, e *syncdb.Entry) (repoPackage, error) {
	p, err := e.Package()
	if err != nil {
		return repoPackage{}, err
	}
	base := p.Base
	if base == "" {
		base = p.Name
	}
	return repoPackage{
		Repo: repo, Arch: arch, Name: p.Name, Version: p.Version, Base: base, PackageArch: p.Arch, Description: p.Description, URL: p.URL,
		Licenses: p.Licenses, Packager: p.Packager, Built: time.Unix(p.BuildDate, 0).UTC(), Filename: p.Filename, Size: p.CSize,
		InstalledSize: p.ISize, SHA256: p.SHA256, Signed: len(p.PGPSig) > 0, Groups: p.Groups, Provides: p.Provides, Depends: p.Depends,
		OptDepends: p.OptDepends, MakeDepends: p.MakeDepends, CheckDepends: p.CheckDepends, Conflicts: p.Conflicts, Replaces: p.Replaces,
	}, nil
}

// packages lists what wanted chooses of all architectures.
func (a *app) packages(ctx context.Context, f *repoFlags, files bool, wanted func(*syncdb.Entry) bool) ([]repoPackage, error) {
	p, err := a.publisher(ctx, false)
	if err != nil {
		return nil, err
	}
	arches, err := f.choose(p)
	if err != nil {
		return nil, err
	}
	all := []repoPackage{}
	for _, arch := range arches {
		db, err := p.Open(f.repo, arch)
		if err != nil {
			return nil, err
		}
		defer db.Close()
		for e := range db.Each() {
			if !wanted(e) {
				continue
			}
			pkg, err := repoPackageOf(f.repo, arch, e)
			if err == nil && files {
				pkg.Files, err = db.Files(e.Name)
			}
			if err != nil {
				return nil, err
			}
			all = append(all, pkg)
		}
	}
	return all, nil
}

func (a *app) repoLs() *cobra.Command {
	var f repoFlags
	cmd := &cobra.Command{
		Use:   "ls REPO",
		Short: "List the packages of a repository",
		Long:  `Lists name, version, pkgbase and size of every package that the database of a target repo names.` + exitStatus,
		Example: `  caur-exec repo ls my-repo
  caur-exec repo ls my-repo --json | jq -r '.[] | select(.signed | not) | .filename'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.repo = args[0]
			all, err := a.packages(cmd.Context(), &f, false, func(*syncdb.Entry) bool { return true })
			switch {
			case err != nil:
				return err
			case f.json:
				return a.printJSON(all)
			}
			var out strings.Builder
			w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "PACKAGE\tVERSION\tARCH\tPKGBASE\tSIZE\tBUILT")
			for _, p := range all {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Name, p.Version, p.Arch, p.Base, sizeText(p.Size), p.Built.Format(time.DateOnly))
			}
			_ = w.Flush() // to a buffer
			a.printf("%s", command.Sanitize(out.String()))
			return nil
		},
	}
	f.add(cmd, false)
	return cmd
}

func sizeText(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

func (a *app) repoShow() *cobra.Command {
	var f repoFlags
	var files bool
	cmd := &cobra.Command{
		Use:   "show REPO PACKAGE",
		Short: "Show what the database says about a package",
		Long:  `Shows a package by its name, or all packages of a pkgbase.` + exitStatus,
		Example: `  caur-exec repo show my-repo yay
  caur-exec repo show my-repo yay --files --json`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.repo = args[0]
			all, err := a.packages(cmd.Context(), &f, files, func(e *syncdb.Entry) bool { return e.Name == args[1] || e.Base == args[1] })
			switch {
			case err != nil:
				return err
			case len(all) == 0:
				return fmt.Errorf("repository %s has no package %s", f.repo, args[1])
			case f.json:
				return a.printJSON(all)
			}
			for i, p := range all {
				if i > 0 {
					a.printf("\n")
				}
				a.printf("%s", command.Sanitize(showText(p)))
			}
			return nil
		},
	}
	f.add(cmd, false)
	cmd.Flags().BoolVar(&files, "files", false, "list the package's files too")
	return cmd
}

func showText(p repoPackage) string {
	var b strings.Builder
	for _, line := range [][2]string{
		{"Repository", p.Repo + "/" + p.Arch}, {"Name", p.Name}, {"Version", p.Version}, {"Pkgbase", p.Base}, {"Architecture", p.PackageArch},
		{"Description", p.Description}, {"URL", p.URL}, {"Licenses", strings.Join(p.Licenses, "  ")}, {"Groups", strings.Join(p.Groups, "  ")},
		{"Provides", strings.Join(p.Provides, "  ")}, {"Depends on", strings.Join(p.Depends, "  ")},
		{"Optional", strings.Join(p.OptDepends, "\n               ")}, {"To build", strings.Join(slices.Concat(p.MakeDepends, p.CheckDepends), "  ")},
		{"Conflicts", strings.Join(p.Conflicts, "  ")}, {"Replaces", strings.Join(p.Replaces, "  ")}, {"Packager", p.Packager},
		{"Built", p.Built.Format(time.RFC3339)}, {"File", p.Filename}, {"Size", sizeText(p.Size) + ", installed " + sizeText(p.InstalledSize)},
		{"SHA-256", p.SHA256}, {"Signed", map[bool]string{true: "yes", false: "no"}[p.Signed]},
	} {
		if line[1] != "" {
			fmt.Fprintf(&b, "%-12s : %s\n", line[0], line[1])
		}
	}
	for _, file := range p.Files {
		fmt.Fprintf(&b, "  %s\n", file)
	}
	return b.String()
}

func (a *app) repoVerify() *cobra.Command {
	var f repoFlags
	var deep bool
	cmd := &cobra.Command{
		Use:   "verify REPO",
		Short: "Compare the database of a repository with its files",
		Long: `Says what is wrong: entries without a package of the right size, without a signature or with another one, or without a list of
files; packages without an entry; a change that a crash has interrupted. --deep also reads every package and compares its
hash. It changes nothing; what it finds is repaired by 'caur-exec repo rebuild', or by building the package again.

Exit status: 0 done, all is well, 1 failed or something is wrong, 2 wrong usage or settings.`,
		Example: `  caur-exec repo verify my-repo
  caur-exec repo verify my-repo --deep --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.repo = args[0]
			return a.runVerify(cmd.Context(), &f, deep)
		},
	}
	f.add(cmd, false)
	cmd.Flags().BoolVar(&deep, "deep", false, "read every package and compare its hash")
	return cmd
}

func (a *app) runVerify(ctx context.Context, f *repoFlags, deep bool) error {
	p, err := a.publisher(ctx, false)
	if err != nil {
		return err
	}
	arches, err := f.choose(p)
	if err != nil {
		return err
	}
	type report struct {
		Repo     string   `json:"repo"`
		Arch     string   `json:"arch"`
		Problems []string `json:"problems"`
	}
	reports, wrong := []report{}, 0
	for _, arch := range arches {
		problems, err := p.Verify(ctx, f.repo, arch, deep)
		if err != nil {
			return err
		}
		wrong += len(problems)
		reports = append(reports, report{f.repo, arch, append([]string{}, problems...)})
	}
	if f.json {
		err = a.printJSON(reports)
	} else {
		for _, r := range reports {
			for _, problem := range r.Problems {
				a.printf("%s\n", command.Sanitize(r.Repo+"/"+r.Arch+": "+problem))
			}
		}
	}
	switch {
	case err != nil:
		return err
	case wrong > 0:
		return fmt.Errorf("%d problems in repository %s", wrong, f.repo)
	}
	a.notef("repository %s is all right (%s)", f.repo, strings.Join(arches, ", "))
	return nil
}

func (a *app) repoHistory() *cobra.Command {
	var f repoFlags
	cmd := &cobra.Command{
		Use:   "history PACKAGE",
		Short: "List the versions of a package that a repository and its archive hold",
		Long: `Lists the versions that 'caur-exec repo rollback' can return to, the newest first, and when the archive will delete them.
PACKAGE is a pkgbase or one of its packages.` + exitStatus,
		Example: `  caur-exec repo history firefox-nightly
  caur-exec repo history firefox-nightly --repo my-repo --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runHistory(cmd.Context(), &f, args[0]) },
	}
	f.add(cmd, true)
	return cmd
}

func (a *app) runHistory(ctx context.Context, f *repoFlags, pkg string) error {
	p, err := a.publisher(ctx, false)
	if err != nil {
		return err
	}
	arch, err := f.one(p)
	if err != nil {
		return err
	}
	pkgbase, versions, err := p.History(ctx, f.repo, arch, pkg)
	if err != nil {
		return err
	}
	if f.json {
		return a.printJSON(map[string]any{"repo": f.repo, "arch": arch, "pkgbase": pkgbase, "versions": versions})
	}
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "VERSION\tBUILT\tSTATE\tPACKAGES")
	for _, v := range versions {
		state := "in the repository"
		if !v.Current {
			state = fmt.Sprintf("archived %s, deleted %s", v.Archived.UTC().Format(time.DateTime), v.Deleted.UTC().Format(time.DateTime))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", v.Version, v.Built.UTC().Format(time.DateTime), state, strings.Join(v.Pkgnames, " "))
	}
	_ = w.Flush() // to a buffer
	a.printf("%s", command.Sanitize(out.String()))
	return nil
}

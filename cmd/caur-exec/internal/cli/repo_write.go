package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-exec/internal/publish"
	"github.com/caur-build/caur/internal/command"
)

// changed is what a command did to a repository.
type changed struct {
	Repo     string   `json:"repo"`
	Arch     string   `json:"arch"`
	Added    []string `json:"added"`
	Present  []string `json:"present"`
	Removed  []string `json:"removed"` // now in the archive
	Problems []string `json:"problems"`
}

func (a *app) report(f *repoFlags, arch string, out publish.Outcome, problems []string) error {
	if f.json {
		list := func(l []string) []string { return append([]string{}, l...) }
		return a.printJSON(changed{f.repo, arch, list(out.Added), list(out.Present), list(out.Removed), list(problems)})
	}
	for _, part := range []struct {
		sign  string
		names []string
	}{{"+", out.Added}, {"-", out.Removed}, {"!", problems}} {
		for _, name := range part.names {
			a.printf("%s %s\n", part.sign, command.Sanitize(name))
		}
	}
	a.notef("%s/%s: %d packages added, %d moved to the archive, %d there already", f.repo, arch, len(out.Added), len(out.Removed), len(out.Present))
	return nil
}

func (a *app) repoRebuild() *cobra.Command {
	var f repoFlags
	cmd := &cobra.Command{
		Use:   "rebuild REPO",
		Short: "Make the database of a repository anew from its packages",
		Long: `Reads every package file and writes the databases anew, as one transaction. Of several versions of a package the newest
counts, the others go to the archive; a package without signature is signed. What is no readable package stays where it is,
and is named ("!"). --arch is needed where the database is gone.

Exit status: 0 done, 1 failed or there are files that are no packages, 2 wrong usage or settings.`,
		Example: `  caur-exec repo rebuild my-repo
  caur-exec repo rebuild my-repo --arch x86_64 --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.repo = args[0]
			return a.runRebuild(cmd.Context(), &f)
		},
	}
	f.add(cmd, false)
	return cmd
}

func (a *app) runRebuild(ctx context.Context, f *repoFlags) error {
	p, err := a.publisher(ctx, true)
	if err != nil {
		return err
	}
	arch := f.arch // there may be no database
	if arch == "" {
		if arch, err = f.one(p); err != nil {
			return err
		}
	}
	out, problems, err := p.Rebuild(ctx, f.repo, arch)
	if err != nil {
		return err
	}
	if err := a.report(f, arch, out, problems); err != nil {
		return err
	}
	if len(problems) > 0 {
		return fmt.Errorf("%d files are no packages", len(problems))
	}
	return nil
}

func (a *app) repoAdd() *cobra.Command {
	var f repoFlags
	var force bool
	cmd := &cobra.Command{
		Use:   "add REPO FILE...",
		Short: "Publish package files by hand",
		Long: `Signs package files and publishes them as one transaction, as if they had been built for the repository: a file that is there
with the same content is passed over, one with other content refused. An older version than that in the repository, or a
package that belongs to another pkgbase, is refused unless --force is given. The files stay where they are.` + repoHelp + exitStatus,
		Example: `  caur-exec repo add my-repo yay-12.3.5-1-x86_64.pkg.tar.zst
  caur-exec repo add my-repo --force /srv/landing/.quarantine/my-repo/x86_64/yay/1700000000000000/*.pkg.tar.zst`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.repo = args[0]
			p, err := a.publisher(cmd.Context(), true)
			if err != nil {
				return err
			}
			arch := f.arch
			if arch == "" {
				arch = "x86_64"
			}
			out, err := p.Add(cmd.Context(), f.repo, arch, force, args[1:]...)
			if err != nil {
				return err
			}
			return a.report(&f, arch, out, nil)
		},
	}
	cmd.Flags().StringVar(&f.arch, "arch", "x86_64", "`ARCH`itecture of the repository")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	cmd.Flags().BoolVar(&force, "force", false, "allow downgrades and packages that change their pkgbase")
	return cmd
}

func (a *app) repoRollback() *cobra.Command {
	var f repoFlags
	var to string
	cmd := &cobra.Command{
		Use:   "rollback PACKAGE",
		Short: "Take a package back to a version from the archive",
		Long: `Puts an archived version of a pkgbase in place of the one in the repository, as one transaction: all packages of that version
come back, all others of the pkgbase go to the archive. Without --to it is the newest version that is older than the one in
the repository; 'caur-exec repo history PACKAGE' lists them. PACKAGE is a pkgbase or one of its packages.

pacman follows with -Syuu. The next build of a newer version is published as always.` + repoHelp + exitStatus,
		Example: `  caur-exec repo rollback firefox-nightly
  caur-exec repo rollback firefox-nightly --to 120.0a1-2 --repo my-repo`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := a.publisher(cmd.Context(), true)
			if err != nil {
				return err
			}
			arch, err := f.one(p)
			if err != nil {
				return err
			}
			out, err := p.Rollback(cmd.Context(), f.repo, arch, args[0], to)
			if err != nil {
				return err
			}
			return a.report(&f, arch, out, nil)
		},
	}
	f.add(cmd, true)
	cmd.Flags().StringVar(&to, "to", "", "`VERSION` to return to, with its pkgrel")
	return cmd
}

func (a *app) repoServe() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the repositories over HTTP, each database with its own signature",
		Long: `Serves the target repos in REPO_PATH to pacman. Any web server can do that; with REPO_SIGN_DB=true this one also keeps a
reader from getting a database and the signature of another one when a publish comes between its two requests: it redirects
the database to a place that never changes, and pacman asks for the signature there.` + exitStatus,
		Example: `  REPO_PATH=/srv/repo caur-exec repo serve --listen 127.0.0.1:8090
  # pacman.conf: [my-repo]  Server = http://repo.example.org:8090/$repo/$arch`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.runServe(cmd.Context(), listen) },
	}
	cmd.Flags().StringVar(&listen, "listen", ":8090", "`ADDRESS` to listen on")
	return cmd
}

func (a *app) runServe(ctx context.Context, address string) error {
	var s repoSettings
	if err := a.load(ctx, &s); err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("serve repositories: %w (--listen chooses another address)", err)
	}
	server := &http.Server{
		Handler: publish.NewServer(s.RepoPath), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second) // downloads end
		defer cancel()
		_ = server.Shutdown(grace)
	})
	defer stop()
	a.io.Logger().Info("repositories are served", "address", listener.Addr().String(), "repo_path", s.RepoPath)
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve repositories: %w", err)
	}
	<-ended
	return nil
}

// Package aurpush brings packages of the repository to the AUR (pipeline.md section 7): PKGBUILD, .SRCINFO, .nvchecker.toml
// and exactly the local files that .SRCINFO names, as one commit on top of what the AUR has. History is never rewritten:
// the AUR refuses that, and so does this package.
package aurpush

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caur-build/caur/cmd/caur-ci/internal/commit"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// Where the AUR is and how it proves to be the AUR: its published host key, SHA256:RFzBCUItH9LZS0cKB5UE6ceAYhBD5C8GeOBip8Z11+4.
const (
	DefaultURL  = "ssh://aur@aur.archlinux.org"
	DefaultHost = "aur.archlinux.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEuBKrPzbawxA/k2g6NcyV5jmqwJ2s+zpgZGZ7tpLIcN"
)

// maxFile is the size of the largest file that the AUR takes, in bytes (aurweb, max-blob-size).
const maxFile = 256_000

// branch is the only one that the AUR takes.
const branch = "refs/heads/master"

// Options say where to, and who pushes.
type Options struct {
	URL        string          // below which PKGBASE.git is; "": DefaultURL
	Key        settings.Secret // private key, its text or the path of its file
	KnownHosts string          // lines of known_hosts(5); "": DefaultHost
	By         commit.Person
	Scratch    string // an empty directory of the caller's
}

// Pusher pushes packages, one at a time.
type Pusher struct {
	o    Options
	repo git.Repo
}

// New writes key and host keys where ssh finds them, readable for nobody else.
func New(ctx context.Context, o Options) (*Pusher, error) {
	if o.URL == "" {
		o.URL = DefaultURL
	}
	if o.KnownHosts == "" {
		o.KnownHosts = DefaultHost
	}
	key := filepath.Join(o.Scratch, "key")
	text := o.Key.Reveal()
	if !strings.Contains(text, "\n") { // the path of a file
		data, err := os.ReadFile(text)
		if err != nil {
			return nil, errors.New("AUR_KEY is neither a private key nor the path of one that can be read")
		}
		text = string(data)
	}
	hosts := filepath.Join(o.Scratch, "known_hosts")
	for path, content := range map[string]string{key: strings.TrimSpace(text) + "\n", hosts: strings.TrimSpace(o.KnownHosts) + "\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return nil, fmt.Errorf("prepare the connection to the AUR: %w", err)
		}
	}
	p := &Pusher{o: o, repo: git.Repo{Dir: filepath.Join(o.Scratch, "aur.git"), Env: []string{"GIT_SSH_COMMAND=" + strings.Join([]string{
		"ssh", "-F", "/dev/null", "-i", quote(key), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=yes", "-o", quote("UserKnownHostsFile=" + hosts), "-o", "GlobalKnownHostsFile=/dev/null",
		"-o", "ConnectTimeout=" + strconv.Itoa(30),
	}, " ")}}}
	if err := os.Mkdir(p.repo.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("prepare the connection to the AUR: %w", err)
	}
	if err := p.repo.Run(ctx, "init", "-q", "--bare", "--template="); err != nil {
		return nil, fmt.Errorf("prepare the connection to the AUR: %w", err)
	}
	return p, nil
}

// quote is for the shell that git hands GIT_SSH_COMMAND to.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// Push makes the AUR's pkgbase hold the package; links go into the message. It gives the commit, "" when the AUR has it
// already. Errors wrap those of internal/git; ErrRaced means that somebody else has pushed.
func (p *Pusher) Push(ctx context.Context, pkgbase string, files pkgdir.Dir, links []string) (string, error) {
	if !srcinfo.LegalName(pkgbase) {
		return "", fmt.Errorf("%q is no pkgbase", pkgbase)
	}
	content, err := Select(pkgbase, files)
	if err != nil {
		return "", err
	}
	url := strings.TrimSuffix(p.o.URL, "/") + "/" + pkgbase + ".git"
	ref := "refs/aur/" + pkgbase
	parent := ""
	err = p.repo.Run(ctx, "fetch", "-q", "--depth=1", "--no-tags", "--force", "--end-of-options", url, branch+":"+ref)
	switch {
	case err == nil:
		out, err := p.repo.Output(ctx, "rev-parse", ref)
		if err != nil {
			return "", err
		}
		parent = strings.TrimSpace(string(out))
	case !strings.Contains(err.Error(), "couldn't find remote ref"): // of a package that is new to the AUR
		return "", fmt.Errorf("fetch %s from the AUR: %w", pkgbase, err)
	}
	c := commit.Commit{Parent: parent, Whole: true, Message: message(pkgbase, links)}
	for _, path := range content.Paths() {
		f := content[path]
		c.Changes = append(c.Changes, commit.Change{Path: path, File: &f})
	}
	ids, err := commit.Write(ctx, p.repo, p.o.By, time.Now(), []commit.Commit{c})
	if err != nil {
		return "", err
	}
	if parent != "" {
		trees, err := p.repo.Output(ctx, "rev-parse", ids[0]+"^{tree}", parent+"^{tree}")
		if err != nil {
			return "", err
		}
		if t := strings.Fields(string(trees)); len(t) == 2 && t[0] == t[1] {
			return "", nil
		}
	}
	if err := p.repo.PushAtomic(ctx, url, []string{ids[0] + ":" + branch}, git.PushOptions{}); err != nil {
		return "", fmt.Errorf("push %s to the AUR: %w", pkgbase, err)
	}
	return ids[0], nil
}

func message(pkgbase string, links []string) string {
	text := "chore: update " + pkgbase + "\n"
	if len(links) > 0 {
		text += "\n" + strings.Join(links, "\n") + "\n"
	}
	return text
}

// Select gives the files that belong on the AUR: without .CI, and nothing that merely lies in the directory.
func Select(pkgbase string, files pkgdir.Dir) (pkgdir.Dir, error) {
	text, there := files[".SRCINFO"]
	if !there {
		return nil, fmt.Errorf("%s has no .SRCINFO, which the AUR demands: make it with 'caur-ci srcinfo --write %s'", pkgbase, pkgbase)
	}
	info, _, err := srcinfo.Parse(pkgbase+"/.SRCINFO", text.Data)
	if err != nil {
		return nil, err
	}
	content := pkgdir.Dir{".SRCINFO": text}
	if _, there := files["PKGBUILD"]; !there {
		return nil, fmt.Errorf("%s has no PKGBUILD", pkgbase)
	}
	content["PKGBUILD"] = files["PKGBUILD"]
	if f, there := files[".nvchecker.toml"]; there {
		content[".nvchecker.toml"] = f
	}
	for _, name := range localFiles(info) {
		f, there := files[name]
		if !there {
			return nil, fmt.Errorf("%s/.SRCINFO names the file %s, which is not there", pkgbase, name)
		}
		content[name] = f
	}
	return content, fits(pkgbase, content)
}

// fits checks what the AUR refuses of a commit.
func fits(pkgbase string, content pkgdir.Dir) error {
	for _, path := range content.Paths() {
		switch size := len(content[path].Data); {
		case strings.Contains(path, "/"):
			return fmt.Errorf("%s/.SRCINFO names the file %s, but the AUR takes no subdirectories: move it beside the PKGBUILD", pkgbase, path)
		case size > maxFile:
			return fmt.Errorf("%s/%s has %d bytes; the AUR takes %d (250 kB): have it downloaded by source=", pkgbase, path, size, maxFile)
		}
	}
	return nil
}

// localFiles lists what .SRCINFO names without saying where to download it: sources of all architectures, install scripts
// and changelogs of all packages. Which sources are local, and that NAME::FILE lies beside the PKGBUILD as NAME, is
// makepkg's rule (PKGBUILD(5), source).
func localFiles(info *srcinfo.Info) []string {
	var names []string
	add := func(s srcinfo.Section) {
		for _, f := range s {
			local := f.Key == "source" && !strings.Contains(f.Value, "://") && !strings.Contains(f.Value, "lp:")
			if name, _, _ := strings.Cut(f.Value, "::"); name != "" && (local || f.Key == "install" || f.Key == "changelog") {
				names = append(names, name)
			}
		}
	}
	add(info.Base)
	for _, p := range info.Packages {
		add(p.Own)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

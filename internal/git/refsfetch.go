package git

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// bulkRefs is where FetchBranches keeps what it fetched, for the next fetch to build on.
const bulkRefs = "refs/caur/bulk/"

// BranchOptions of FetchBranches.
type BranchOptions struct {
	Proxy string // URL of an HTTP proxy, which may hold a password; "": as the environment says
}

// FetchBranches brings the newest commits of many branches, without their history, into the bare repository cacheDir in
// one connection, and gives their hashes. All of them must exist: a remote without one of them gives nothing at all, so ask
// Heads before. The cache is as in FetchCommit, and so are the errors.
func FetchBranches(ctx context.Context, cacheDir, url string, branches []string, o BranchOptions) (map[string]string, error) {
	if len(branches) == 0 {
		return map[string]string{}, nil
	}
	f := bulkFetcher{fetcher: fetcher{dir: cacheDir}}
	if o.Proxy != "" {
		f.env = []string{"http_proxy=" + o.Proxy, "https_proxy=" + o.Proxy, "HTTPS_PROXY=" + o.Proxy, "no_proxy=", "NO_PROXY="}
	}
	f.url, f.secrets = separate(url)
	if _, _, err := remoteKind(url); err != nil {
		return nil, fmt.Errorf("git fetch of %s: %w", shown(url), err)
	}
	for _, branch := range branches {
		if ref, err := fullRef(branch); err != nil || ref != "refs/heads/"+branch {
			return nil, fmt.Errorf("git fetch of %s: %.80q is no name of a branch", shown(url), branch)
		}
	}
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return nil, fmt.Errorf("make the git cache: %w", err)
	}
	unlock, err := lockFile(ctx, filepath.Join(cacheDir, "caur.lock"))
	if err != nil {
		return nil, fmt.Errorf("lock the git cache %s: %w", cacheDir, err)
	}
	defer unlock()
	found, err := f.fetchBranches(ctx, branches)
	if err == nil || ctx.Err() != nil || !broken(err) {
		return found, err
	}
	if err := f.wipe(); err != nil {
		return nil, fmt.Errorf("remove the broken git cache: %w", err)
	}
	return f.fetchBranches(ctx, branches)
}

// bulkFetcher hands the proxy to git in its environment: arguments can be read by every user of the machine.
type bulkFetcher struct {
	fetcher
	env []string
}

func (f bulkFetcher) fetchBranches(ctx context.Context, branches []string) (map[string]string, error) {
	if err := f.prepare(ctx); err != nil {
		return nil, err
	}
	var refspecs strings.Builder
	for _, branch := range branches {
		fmt.Fprintf(&refspecs, "+refs/heads/%s:%s%s\n", branch, bulkRefs, branch)
	}
	err := f.fetchMany(ctx, refspecs.String(), "--depth=1")
	if err != nil && strings.Contains(err.Error(), "does not support shallow") {
		err = f.fetchMany(ctx, refspecs.String())
	}
	if err != nil {
		return nil, err
	}
	out, err := f.git(ctx, "for-each-ref", "--format=%(objectname) %(refname)", bulkRefs)
	if err != nil {
		return nil, err
	}
	all := make(map[string]string, len(branches))
	for line := range strings.Lines(out) {
		sha, ref, _ := strings.Cut(strings.TrimSpace(line), " ")
		all[strings.TrimPrefix(ref, bulkRefs)] = sha
	}
	found := make(map[string]string, len(branches))
	for _, branch := range branches {
		found[branch] = all[branch]
	}
	return found, f.tidy(ctx)
}

// fetchMany fetches refspecs, which are too many for a command line.
func (f bulkFetcher) fetchMany(ctx context.Context, refspecs string, options ...string) error {
	args := []string{
		"-c", "fetch.unpackLimit=1", "-c", "fetch.writeCommitGraph=false",
		"-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=60", // a server that says nothing for a minute
	}
	if strings.HasPrefix(f.url, "https:") {
		args = append(args, "-c", "protocol.http.allow=never") // by a redirect
	}
	args = append(args, "fetch", "-q", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--update-shallow", "--force", "--stdin")
	args = append(append(args, options...), "--", f.url)
	c := command{gitDir: f.dir, dir: f.dir, args: args, env: f.env, secrets: f.secrets}
	child := c.child()
	child.Stdin = strings.NewReader(refspecs)
	return c.run(ctx, child)
}

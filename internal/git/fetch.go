package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// keepRefs is how many of the last fetched commits stay reachable in a cache. They are what the next fetch builds on, and
// what a clean-up of the cache leaves alone.
const keepRefs = 32

// FetchCommit brings one commit, without its history, into the bare repository cacheDir and gives its hash. What to fetch
// is a full commit hash, the name of a branch, or "" for the remote's HEAD. The cache is made on demand, may serve several
// URLs, and survives a caller that is killed; calls on one cache wait for each other, also between processes. A commit
// hash that is already there costs no connection. Servers that give only the heads of branches are asked for more and
// more history until the commit is there.
//
// The error is ErrNotFound when the remote has no such branch, ErrNoCommit when it has no such commit (yet), ErrAuth,
// ErrUnreachable, or another.
func FetchCommit(ctx context.Context, cacheDir, url, commitOrBranch string) (sha string, err error) {
	f := fetcher{dir: cacheDir}
	f.url, f.secrets = separate(url)
	if strings.HasPrefix(f.url, "-") || f.url == "" {
		return "", fmt.Errorf("git fetch: %q is not an address of a repository", scrub(url))
	}
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return "", fmt.Errorf("make the git cache: %w", err)
	}
	unlock, err := lockFile(ctx, filepath.Join(cacheDir, "caur.lock"))
	if err != nil {
		return "", fmt.Errorf("lock the git cache %s: %w", cacheDir, err)
	}
	defer unlock()
	sha, err = f.fetch(ctx, commitOrBranch)
	if err == nil || ctx.Err() != nil || !broken(err) {
		return sha, err
	}
	if err := f.wipe(); err != nil {
		return "", fmt.Errorf("remove the broken git cache: %w", err)
	}
	return f.fetch(ctx, commitOrBranch)
}

type fetcher struct {
	dir, url string
	secrets  credentials
}

func (f fetcher) git(ctx context.Context, args ...string) (string, error) {
	out, err := command{gitDir: f.dir, dir: f.dir, args: args, secrets: f.secrets}.output(ctx)
	return strings.TrimSpace(string(out)), err
}

func (f fetcher) fetch(ctx context.Context, what string) (string, error) {
	if err := f.prepare(ctx); err != nil {
		return "", err
	}
	if !isHash(what) {
		return f.fetchBranch(ctx, what)
	}
	if !f.has(ctx, what) {
		if err := f.fetchHash(ctx, what); err != nil {
			return "", err
		}
	}
	return what, f.keep(ctx, what)
}

// prepare makes the repository, and removes the lock files of a git that was killed: whoever holds our own lock is alone.
func (f fetcher) prepare(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(f.dir, "HEAD")); errors.Is(err, fs.ErrNotExist) {
		_, err = f.git(ctx, "init", "-q", "--bare", "--template=")
		return err
	}
	for _, pattern := range []string{"*.lock", "refs/caur/*.lock", "refs/caur/*/*.lock", "objects/info/*.lock"} {
		stale, err := filepath.Glob(filepath.Join(f.dir, pattern))
		if err != nil {
			return err
		}
		for _, path := range stale {
			if filepath.Base(path) == "caur.lock" {
				continue
			}
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("remove a stale lock of the git cache: %w", err)
			}
		}
	}
	return nil
}

func (f fetcher) has(ctx context.Context, sha string) bool {
	_, err := f.git(ctx, "cat-file", "-e", sha+"^{tree}")
	return err == nil
}

// fetchFrom fetches the refspecs with these options of git-fetch(1).
func (f fetcher) fetchFrom(ctx context.Context, options []string, refspecs ...string) error {
	args := append([]string{
		"-c", "fetch.unpackLimit=1", // packs are on disk when git says so, single objects are not
		"fetch", "-q", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--update-shallow", "--force",
	}, options...)
	args = append(append(args, "--", f.url), refspecs...)
	_, err := f.git(ctx, args...)
	return err
}

const branchRef = "refs/caur/branch"

func (f fetcher) fetchBranch(ctx context.Context, branch string) (string, error) {
	ref := "HEAD"
	if branch != "" && branch != "HEAD" {
		ref = "refs/heads/" + strings.TrimPrefix(branch, "refs/heads/")
		if strings.HasPrefix(branch, "refs/") {
			ref = branch
		}
		if _, err := f.git(ctx, "check-ref-format", ref); err != nil {
			return "", fmt.Errorf("git fetch: %q is neither a commit hash nor the name of a branch", branch)
		}
	}
	refspec := ref + ":" + branchRef
	err := f.fetchFrom(ctx, []string{"--depth=1"}, refspec)
	if err != nil && strings.Contains(err.Error(), "does not support shallow") {
		err = f.fetchFrom(ctx, nil, refspec)
	}
	if err != nil {
		return "", err
	}
	sha, err := f.git(ctx, "rev-parse", "--verify", branchRef+"^{commit}")
	if err != nil {
		return "", err
	}
	return sha, f.keep(ctx, sha)
}

// fetchHash asks for the commit itself. Where the server gives only what its refs name, the history of all branches is
// fetched in growing steps; a server that cannot do shallow fetches at all gives everything.
func (f fetcher) fetchHash(ctx context.Context, sha string) error {
	first := f.fetchFrom(ctx, []string{"--depth=1"}, sha)
	if first == nil || errors.Is(first, ErrUnreachable) || errors.Is(first, ErrAuth) || ctx.Err() != nil {
		return first
	}
	const heads = "refs/heads/*:refs/caur/heads/*"
	steps := [][]string{{"--depth=50"}, {"--depth=1000"}, {"--depth=2147483647"}, nil}
	if strings.Contains(first.Error(), "not our ref") {
		steps = steps[:1] // the server would give it and has it not: perhaps it is about to be pushed
	}
	for _, options := range steps {
		err := f.fetchFrom(ctx, options, heads)
		if f.has(ctx, sha) {
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, ErrUnreachable) || errors.Is(err, ErrAuth) {
			return err
		}
	}
	return fmt.Errorf("commit %s in %s: %w: no branch has it: %w", sha, f.url, ErrNoCommit, first)
}

// keep makes the commit reachable under a name that sorts by time, and lets go of older ones.
func (f fetcher) keep(ctx context.Context, sha string) error {
	out, err := f.git(ctx, "for-each-ref", "--format=%(refname)", "refs/caur/keep/")
	if err != nil {
		return err
	}
	var update strings.Builder
	fmt.Fprintf(&update, "create refs/caur/keep/%020d-%s %s\n", time.Now().UnixNano(), sha, sha)
	var others []string
	for _, ref := range strings.Fields(out) {
		if strings.HasSuffix(ref, "-"+sha) {
			fmt.Fprintf(&update, "delete %s\n", ref)
			continue
		}
		others = append(others, ref)
	}
	for _, ref := range others[:max(0, len(others)-keepRefs+1)] {
		fmt.Fprintf(&update, "delete %s\n", ref)
	}
	c := command{gitDir: f.dir, dir: f.dir, args: []string{"update-ref", "--stdin"}}
	child := c.child()
	child.Stdin = strings.NewReader(update.String())
	if err := c.run(ctx, child); err != nil {
		return err
	}
	return f.tidy(ctx)
}

// tidy packs the cache when many fetches have left many small files, in the foreground so that our lock covers it.
func (f fetcher) tidy(ctx context.Context) error {
	_, err := f.git(ctx, "-c", "gc.auto=2000", "-c", "gc.autoPackLimit=30", "-c", "gc.autoDetach=false",
		"-c", "gc.cruftPacks=true", "-c", "gc.pruneExpire=2.days.ago", "gc", "--auto", "-q")
	return err
}

// broken says whether the cache itself is what fails: a power cut or a full disk can leave files that git cannot read.
func broken(err error) bool {
	return containsAny(err.Error(), "is empty", "corrupt", "bad object", "bad tree", "unable to read", "too short", "missing ",
		"did not receive expected object", "unresolved delta", "invalid object", "index file", "does not match index")
}

// wipe empties the cache except for our lock.
func (f fetcher) wipe() error {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == "caur.lock" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(f.dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// lockFile takes an exclusive lock on a file, which it makes. The kernel lets go of it when the process dies.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			_ = file.Close()
			return nil, err
		}
		select {
		case <-ctx.Done():
			_ = file.Close()
			return nil, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

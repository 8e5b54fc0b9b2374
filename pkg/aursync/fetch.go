package aursync

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/caur-build/caur/internal/git"
)

// fetchTimeout bounds one fetch of all packages.
const fetchTimeout = 10 * time.Minute

// Fetch brings the newest commit of each pkgbase from the mirror: one question for what there is, one fetch of it all.
// What the mirror does not have, or all of it where the mirror fails twice, is asked of the AUR itself as long as these
// are few. There is an answer for every pkgbase; the error is about this machine, or the end of ctx.
func (c *Client) Fetch(ctx context.Context, pkgbases []string) (map[string]*Fetched, error) {
	if len(pkgbases) == 0 {
		return map[string]*Fetched{}, nil
	}
	if err := c.checkGitDir(); err != nil {
		return nil, err
	}
	ids, failed := c.fromMirror(ctx, pkgbases)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var rest []string
	for _, name := range pkgbases {
		if failed[name] != nil && !errors.Is(failed[name], errName) {
			rest = append(rest, name)
		}
	}
	if len(rest) <= c.o.Direct {
		for _, name := range rest {
			id, err := c.fromAUR(ctx, name)
			if err != nil {
				failed[name] = fmt.Errorf("%w; and from the AUR: %w", failed[name], err)
				continue
			}
			ids[name] = id
			delete(failed, name)
		}
	}
	return c.readAll(ctx, pkgbases, ids, failed)
}

// FetchDirect brings the newest commit of each pkgbase from the AUR itself, one connection each: for the few that the mirror
// does not know yet. More than Options.Direct of them are refused, each with an error.
func (c *Client) FetchDirect(ctx context.Context, pkgbases []string) (map[string]*Fetched, error) {
	if len(pkgbases) == 0 {
		return map[string]*Fetched{}, nil
	}
	if err := c.checkGitDir(); err != nil {
		return nil, err
	}
	ids, failed := map[string]string{}, map[string]error{}
	for i, name := range pkgbases {
		if i >= c.o.Direct {
			failed[name] = errors.New("too many packages to ask the AUR itself for each")
			continue
		}
		if id, err := c.fromAUR(ctx, name); err != nil {
			failed[name] = err
		} else {
			ids[name] = id
		}
	}
	return c.readAll(ctx, pkgbases, ids, failed)
}

func (c *Client) checkGitDir() error {
	if c.o.GitDir == "" {
		return errors.New("there is no folder to fetch packages of the AUR into")
	}
	if err := os.MkdirAll(c.o.GitDir, 0o755); err != nil {
		return fmt.Errorf("make the folder to fetch packages of the AUR into: %w", err)
	}
	return nil
}

// errName is a pkgbase that can be no branch.
var errName = errors.New("no name of a package")

func legal(name string) error {
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '@' && r != '.' && r != '_' && r != '+' && r != '-' {
			return fmt.Errorf("%.80q is %w", name, errName)
		}
	}
	if name == "" || name[0] == '-' || name[0] == '.' {
		return fmt.Errorf("%.80q is %w", name, errName)
	}
	return nil
}

// fromMirror fetches the branches of the mirror into the repository; two tries.
func (c *Client) fromMirror(ctx context.Context, pkgbases []string) (ids map[string]string, failed map[string]error) {
	for try := 1; ; try++ {
		var err error
		if ids, failed, err = c.tryMirror(ctx, pkgbases); err == nil || ctx.Err() != nil {
			return ids, failed
		}
		if try == tries {
			for _, name := range pkgbases {
				if failed[name] == nil {
					failed[name] = fmt.Errorf("fetch from the mirror of the AUR: %w", err)
				}
			}
			return map[string]string{}, failed
		}
		timer := time.NewTimer(c.o.Retry)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, nil
		}
	}
}

// tryMirror gives an error when another try may help.
func (c *Client) tryMirror(ctx context.Context, pkgbases []string) (ids map[string]string, failed map[string]error, err error) {
	failed = map[string]error{}
	ctx, cancel := context.WithTimeoutCause(ctx, fetchTimeout, fmt.Errorf("no whole answer within %s", fetchTimeout))
	defer cancel()
	var queries []git.HeadQuery
	var names []string
	for _, name := range pkgbases {
		if failed[name] = legal(name); failed[name] == nil {
			delete(failed, name)
			names = append(names, name)
			queries = append(queries, git.HeadQuery{URL: c.o.MirrorURL, Ref: "refs/heads/" + name})
		}
	}
	var there []string
	for i, answer := range c.heads.Lookup(ctx, queries) {
		switch {
		case answer.Err == nil:
			there = append(there, names[i])
		case errors.Is(answer.Err, git.ErrUnreachable):
			return nil, failed, answer.Err
		default:
			failed[names[i]] = answer.Err
		}
	}
	ids, err = git.FetchBranches(ctx, c.o.GitDir, c.o.MirrorURL, there, git.BranchOptions{})
	return ids, failed, err
}

func (c *Client) fromAUR(ctx context.Context, name string) (id string, err error) {
	if err := legal(name); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("no whole answer within a minute"))
	defer cancel()
	const branch = "master" // of every package: the AUR takes no other
	ids, err := git.FetchBranches(ctx, c.o.GitDir, c.o.GitURL+"/"+url.PathEscape(name)+".git", []string{branch}, git.BranchOptions{Proxy: c.o.Proxy})
	return ids[branch], err
}

// readAll reads the files of what was fetched.
func (c *Client) readAll(ctx context.Context, pkgbases []string, ids map[string]string, failed map[string]error) (map[string]*Fetched, error) {
	all := make(map[string]*Fetched, len(pkgbases))
	var o *objects
	var lost *lostError
	for _, name := range pkgbases {
		if failed[name] != nil {
			all[name] = &Fetched{Err: failed[name]}
			continue
		}
		if o == nil {
			var err error
			if o, err = openObjects(ctx, git.Repo{Dir: c.o.GitDir}); err != nil {
				return nil, err
			}
		}
		got, err := o.readCommit(ids[name])
		if errors.As(err, &lost) {
			return nil, errors.Join(err, o.close())
		}
		if err != nil {
			got = &Fetched{Err: err}
		}
		all[name] = got
	}
	if o != nil {
		if err := o.close(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

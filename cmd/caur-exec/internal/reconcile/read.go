package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/caur-build/caur/internal/conf"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// Bounds of what is read from outside.
const (
	maxDatabase = 512 << 20 // bytes, packed
	maxFile     = 1 << 20   // bytes of one file of the source repository
	maxTotal    = 512 << 20 // bytes of all of them
)

// Published reads the version of each pkgbase in a repository database, a file or an http(s) address. Of a pkgbase whose packages differ the newest counts: split
// packages that are no longer built stay behind.
func Published(ctx context.Context, client *http.Client, where string) (map[string]string, error) {
	r, err := open(ctx, client, where)
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // nothing was written
	published := map[string]string{}
	err = syncdb.EachBase(io.LimitReader(r, maxDatabase), func(base, version string) error {
		if had, ok := published[base]; !ok || srcinfo.Vercmp(had, version) < 0 {
			published[base] = version
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("repository database %s: %w", plainly(where), err)
	}
	return published, nil
}

func open(ctx context.Context, client *http.Client, where string) (io.ReadCloser, error) {
	if !strings.HasPrefix(where, "https://") && !strings.HasPrefix(where, "http://") {
		f, err := os.Open(where)
		if err != nil {
			return nil, fmt.Errorf("repository database: %w", err)
		}
		return f, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, fmt.Errorf("repository database %s: not an address", plainly(where))
	}
	resp, err := client.Do(req)
	if err != nil {
		var inner *url.Error
		if errors.As(err, &inner) {
			err = inner.Err // the text of the outer one has the address with all its parts
		}
		return nil, fmt.Errorf("fetch repository database %s: %w", plainly(where), err)
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("fetch repository database %s: the server answers %s", plainly(where), resp.Status)
	}
	return resp.Body, nil
}

// plainly gives an address without user, password and query.
func plainly(where string) string {
	u, err := url.Parse(where)
	if err != nil || u.Host == "" {
		return where
	}
	return u.Scheme + "://" + u.Host + u.Path
}

// Packages reads all packages at the head of a branch ("" for HEAD) of a source repository; cache is a bare repository that is made on demand. What cannot be read is a warning.
func Packages(ctx context.Context, cache, where, branch string) (head string, packages []Package, warnings []string, err error) {
	if info, statErr := os.Stat(where); statErr == nil && info.IsDir() {
		if where, err = filepath.Abs(where); err != nil { // git runs elsewhere
			return "", nil, nil, fmt.Errorf("source repository: %w", err)
		}
	}
	head, err = git.FetchCommit(ctx, cache, where, branch)
	if err != nil {
		return "", nil, nil, fmt.Errorf("fetch the source repository: %w", err)
	}
	repo := git.Repo{Dir: cache}
	files, err := list(ctx, repo, head)
	if err != nil {
		return "", nil, nil, err
	}
	text, err := contents(ctx, repo, files)
	if err != nil {
		return "", nil, nil, err
	}
	for _, f := range files {
		if path.Base(f.path) != ".SRCINFO" {
			continue
		}
		p := Package{Dir: path.Dir(f.path)}
		if p.Info, _, err = srcinfo.Parse(f.path, text[f.path]); err != nil {
			warnings = append(warnings, err.Error())
			continue
		}
		settings := conf.Parse(p.Dir+"/.CI/config", text[p.Dir+"/.CI/config"])
		p.Class, _ = settings.Get("BUILDER_CLASS")
		if bump, ok := settings.Get("CI_PACKAGE_BUMP"); ok {
			if p.Bump, err = srcinfo.ParseBump(bump); err != nil {
				warnings = append(warnings, fmt.Sprintf("%s: CI_PACKAGE_BUMP: %v", settings.Name(), err))
			}
		}
		packages = append(packages, p)
	}
	return head, packages, warnings, nil
}

type file struct{ path, object string }

// list gives the files that matter, of directories at the top.
func list(ctx context.Context, repo git.Repo, commit string) (files []file, err error) {
	out, err := repo.Output(ctx, "ls-tree", "-r", "-z", "-l", commit)
	if err != nil {
		return nil, fmt.Errorf("list the source repository: %w", err)
	}
	total := int64(0)
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		meta, name, _ := strings.Cut(entry, "\t")
		f := strings.Fields(meta) // mode, type, object, size
		dir, inside, _ := strings.Cut(name, "/")
		if len(f) != 4 || f[1] != "blob" || f[0] == "120000" || inside != ".SRCINFO" && inside != ".CI/config" || !srcinfo.LegalName(dir) {
			continue
		}
		size, err := strconv.ParseInt(f[3], 10, 64)
		if err != nil || size > maxFile {
			continue
		}
		if total += size; total > maxTotal {
			return nil, fmt.Errorf("the .SRCINFO files of the source repository have more than %d bytes, which is taken for an attack", int64(maxTotal))
		}
		files = append(files, file{name, f[2]})
	}
	return files, nil
}

// contents reads the files with one git process.
func contents(ctx context.Context, repo git.Repo, files []file) (map[string][]byte, error) {
	var wanted strings.Builder
	for _, f := range files {
		wanted.WriteString(f.object + "\n")
	}
	out, err := repo.Feed(ctx, wanted.String(), "cat-file", "--batch")
	if err != nil {
		return nil, fmt.Errorf("read the source repository: %w", err)
	}
	text := make(map[string][]byte, len(files))
	for _, f := range files {
		header, rest, _ := bytes.Cut(out, []byte("\n"))
		parts := strings.Fields(string(header)) // object, type, size
		if len(parts) != 3 || parts[0] != f.object {
			return nil, fmt.Errorf("read %s of the source repository: git answers %.80q", f.path, header)
		}
		size, err := strconv.Atoi(parts[2])
		if err != nil || size < 0 || size+1 > len(rest) {
			return nil, fmt.Errorf("read %s of the source repository: git's answer is cut off", f.path)
		}
		text[f.path], out = rest[:size], rest[size+1:]
	}
	return text, nil
}

package aursync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
)

// maxDownload bounds the archive as it comes over the network; today it has 10 MB.
const maxDownload = 256 << 20

// fromArchive downloads the archive, or reads the kept one when the server says that it is still the newest.
func (c *Client) fromArchive(ctx context.Context, wants []Want) (*Snapshot, error) {
	return again(ctx, c.web, func() (*Snapshot, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, c.o.Timeout, fmt.Errorf("no whole answer within %s", c.o.Timeout))
		defer cancel()
		kept := c.kept()
		resp, err := c.askArchive(ctx, kept)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close() //nolint:errcheck // all that counts has been read
		if resp.StatusCode != http.StatusNotModified {
			return c.download(ctx, resp, wants)
		}
		snapshot, err := kept.read(wants)
		if err == nil {
			return snapshot, nil
		}
		// Disks fail, and CI caches are written by several jobs: begin anew.
		c.dropKept()
		if resp, err = c.askArchive(ctx, nil); err != nil {
			return nil, err
		}
		defer resp.Body.Close() //nolint:errcheck // all that counts has been read
		return c.download(ctx, resp, wants)
	})
}

func (c *Client) askArchive(ctx context.Context, k *kept) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.o.ArchiveURL, http.NoBody)
	if err != nil {
		return nil, errors.New("its address cannot be asked")
	}
	req.Header.Set("Accept-Encoding", "gzip") // said by us, so that the compressed bytes are ours to keep
	if k != nil {
		for name, value := range map[string]string{"If-None-Match": k.ETag, "If-Modified-Since": k.LastModified} {
			if value != "" {
				req.Header.Set(name, value)
			}
		}
	}
	resp, err := c.web.do(req)
	if err == nil && resp.StatusCode == http.StatusNotModified && k == nil {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s answers that nothing has changed, but was not asked that", clean(c.o.ArchiveURL))
	}
	return resp, err
}

// download reads an answer, and keeps it when it was good to its end.
func (c *Client) download(ctx context.Context, resp *http.Response, wants []Want) (*Snapshot, error) {
	body := &remembering{from: io.LimitReader(resp.Body, maxDownload)}
	var from io.Reader = body
	k := &kept{URL: c.o.ArchiveURL, ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified")}
	var file *renameio.PendingFile
	if c.o.CacheDir != "" && (k.ETag != "" || k.LastModified != "") {
		if err := os.MkdirAll(c.o.CacheDir, 0o755); err != nil {
			return nil, fmt.Errorf("make the folder to keep it in: %w", err)
		}
		var err error
		if file, err = renameio.NewPendingFile(c.archiveFile(), renameio.WithPermissions(0o644), renameio.WithTempDir(c.o.CacheDir)); err != nil {
			return nil, fmt.Errorf("keep it: %w", err)
		}
		defer file.Cleanup() //nolint:errcheck // has nothing to do when it was replaced
		from = io.TeeReader(body, file)
	}
	s := newSelection(wants)
	err := s.scan(from)
	switch {
	case body.err != nil && (ctx.Err() != nil || !errors.Is(body.err, io.ErrUnexpectedEOF)):
		return nil, c.web.failed(ctx, clean(c.o.ArchiveURL), body.err)
	case err != nil:
		return nil, err
	}
	snapshot, err := s.snapshot("archive")
	if err != nil {
		return nil, err
	}
	snapshot.Taken = serverTime(resp.Header)
	k.Taken = snapshot.Taken
	if file != nil {
		k.Size = body.n
		if err := c.keep(k, file); err != nil {
			return nil, fmt.Errorf("keep it: %w", err)
		}
	}
	return snapshot, nil
}

// remembering is a body that remembers how much was read, and why it could not be read on.
type remembering struct {
	from io.Reader
	n    int64
	err  error
}

func (r *remembering) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// serverTime is when an answer was made by the clock of who made it.
func serverTime(h http.Header) time.Time {
	for _, name := range []string{"Last-Modified", "Date"} {
		if t, err := http.ParseTime(h.Get(name)); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// kept is what is noted of the archive in the cache, in a file of its own beside it.
type kept struct {
	URL, ETag, LastModified string
	Taken                   time.Time
	Size                    int64 // of the archive: both files are written one after the other

	file string
}

func (c *Client) archiveFile() string {
	return filepath.Join(c.o.CacheDir, "packages-meta-ext-v1.json.gz")
}
func (c *Client) noteFile() string { return filepath.Join(c.o.CacheDir, "packages-meta-ext-v1.note") }

// kept gives what is in the cache; nil when there is nothing that fits together.
func (c *Client) kept() *kept {
	if c.o.CacheDir == "" {
		return nil
	}
	data, err := os.ReadFile(c.noteFile())
	if err != nil {
		return nil
	}
	k := kept{file: c.archiveFile()}
	about, err := os.Stat(k.file)
	if json.Unmarshal(data, &k) != nil || err != nil || about.Size() != k.Size || k.URL != c.o.ArchiveURL {
		c.dropKept()
		return nil
	}
	return &k
}

func (k *kept) read(wants []Want) (*Snapshot, error) {
	f, err := os.Open(k.file)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // is only read
	s := newSelection(wants)
	if err := s.scan(f); err != nil {
		return nil, err
	}
	snapshot, err := s.snapshot("archive")
	if err != nil {
		return nil, err
	}
	snapshot.Taken = k.Taken
	return snapshot, nil
}

// keep puts the archive in place. A crash in between leaves an archive without a note, which is not used.
func (c *Client) keep(k *kept, file *renameio.PendingFile) error {
	note, err := json.Marshal(k)
	if err != nil {
		return err
	}
	if err := os.Remove(c.noteFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return renameio.WriteFile(c.noteFile(), note, 0o644, renameio.WithTempDir(c.o.CacheDir))
}

func (c *Client) dropKept() {
	_ = os.Remove(c.noteFile())
	_ = os.Remove(c.archiveFile())
}

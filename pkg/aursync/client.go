package aursync

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caur-build/caur/internal/git"
)

// Where the AUR is, unless Options say otherwise.
const (
	DefaultArchiveURL = "https://aur.archlinux.org/packages-meta-ext-v1.json.gz"
	DefaultRPCURL     = "https://aur.archlinux.org/rpc"
	DefaultMirrorURL  = "https://github.com/archlinux/aur.git"
	DefaultGitURL     = "https://aur.archlinux.org"
)

// Options of New. The zero value asks the real AUR and keeps nothing.
type Options struct {
	ArchiveURL string // of the metadata archive; "": DefaultArchiveURL
	RPCURL     string // of the RPC interface, without "?"; "": DefaultRPCURL
	MirrorURL  string // a git repository with a branch for each pkgbase; "": DefaultMirrorURL
	GitURL     string // below which PKGBASE.git is the AUR's own repository; "": DefaultGitURL

	Proxy    string        // http(s) URL of a proxy to the AUR (the mirror is not the AUR); "": as the environment says
	CacheDir string        // for the archive, and for its ETag; "": every run downloads it
	GitDir   string        // bare repository to fetch into, made when it is missing; needed by Fetch only
	HTTP     *http.Client  // its Transport is used, whatever Proxy says; nil: one of our own
	Timeout  time.Duration // of one try of the archive, its body included; 0: 3 minutes
	Retry    time.Duration // pause between two tries; 0: 30 seconds
	Direct   int           // so many packages are asked of the AUR itself where the mirror fails; 0: 10, <0: none
}

// Want is a pkgbase whose metadata is wanted.
type Want struct {
	Pkgbase  string
	Pkgnames []string // as far as known: the RPC interface finds a pkgbase by its packages only
}

// Snapshot is what the AUR says at one time.
type Snapshot struct {
	Packages map[string]*Meta  // by pkgbase; what the AUR does not have is missing
	Moved    map[string]string // wanted pkgbase that is gone → the pkgbase that has a package of that name now
	From     string            // "archive" or "rpc"
	Fallback error             // why the archive could not be used; nil when it was
	Taken    time.Time         // when the AUR made the answer, by its clock; the zero time when it does not say
}

// Client asks the AUR. It is for several goroutines.
type Client struct {
	o     Options
	web   *web
	heads *git.Heads
}

// New checks the options. Close the client when it is not needed any more.
func New(o Options) (*Client, error) {
	for _, place := range []struct {
		url      *string
		standard string
	}{
		{&o.ArchiveURL, DefaultArchiveURL}, {&o.RPCURL, DefaultRPCURL}, {&o.MirrorURL, DefaultMirrorURL}, {&o.GitURL, DefaultGitURL},
	} {
		if *place.url == "" {
			*place.url = place.standard
		}
	}
	for _, address := range []string{o.ArchiveURL, o.RPCURL} {
		if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("%q is no http or https address of the AUR", clean(address))
		}
	}
	o.RPCURL = strings.TrimRight(o.RPCURL, "?")
	o.GitURL = strings.TrimRight(o.GitURL, "/")
	if o.Timeout <= 0 {
		o.Timeout = 3 * time.Minute
	}
	if o.Retry <= 0 {
		o.Retry = 30 * time.Second
	}
	if o.Direct == 0 {
		o.Direct = 10
	}
	w, err := newWeb(o)
	if err != nil {
		return nil, err
	}
	return &Client{o: o, web: w, heads: git.NewHeads(git.HeadsOptions{HTTP: o.HTTP, Wait: min(o.Retry, time.Second)})}, nil
}

// Close lets go of kept connections.
func (c *Client) Close() {
	c.web.client.CloseIdleConnections()
	c.heads.Close()
}

// Metadata asks for all of these: one download of the archive, or where that fails the RPC interface in batches. The
// error is that of both. A package is never taken for gone because an answer was cut short.
func (c *Client) Metadata(ctx context.Context, wants []Want) (*Snapshot, error) {
	snapshot, archiveErr := c.fromArchive(ctx, wants)
	if archiveErr == nil {
		return snapshot, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	snapshot, err := c.fromRPC(ctx, wants)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the AUR's metadata archive: %w", archiveErr), fmt.Errorf("the AUR's RPC interface: %w", err))
	}
	snapshot.Fallback = fmt.Errorf("the AUR's metadata archive: %w", archiveErr)
	return snapshot, nil
}

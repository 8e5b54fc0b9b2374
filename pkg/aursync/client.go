package aursync

import (
	"context"
	"errors"
	"net/http"
	"time"
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

	Proxy    string        // http(s) URL of a proxy for all of these; "": as the environment says
	CacheDir string        // for the archive, and for its ETag; "": every run downloads it
	GitDir   string        // bare repository to fetch into, made when it is missing; needed by Fetch only
	HTTP     *http.Client  // its Transport is used; nil: one of our own
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

// Client asks the AUR.
type Client struct{ o Options }

// New checks the options.
func New(o Options) (*Client, error) { return &Client{o: o}, nil }

// Metadata asks for all of these: one download of the archive, or where that fails the RPC interface.
func (c *Client) Metadata(ctx context.Context, wants []Want) (*Snapshot, error) {
	return nil, errors.New("not there yet")
}

// Fetch brings the newest commit of each pkgbase, in as few connections as possible.
func (c *Client) Fetch(ctx context.Context, pkgbases []string) (map[string]*Fetched, error) {
	return nil, errors.New("not there yet")
}

// FetchDirect brings them from the AUR itself, at most Options.Direct of them.
func (c *Client) FetchDirect(ctx context.Context, pkgbases []string) (map[string]*Fetched, error) {
	return nil, errors.New("not there yet")
}

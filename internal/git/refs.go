package git

import (
	"context"
	"net/http"
	"time"
)

// HeadQuery asks for the newest commit of a branch.
type HeadQuery struct {
	URL string
	Ref string // name of a branch, or a full name below refs/; "" is the remote's HEAD
}

// HeadAnswer is what a remote says.
type HeadAnswer struct {
	SHA string
	Err error // ErrNotFound, ErrAuth, ErrUnreachable or another
}

// HeadsOptions of NewHeads; the zero value is ready to use.
type HeadsOptions struct {
	HTTP     *http.Client  // its Transport is used; nil: one of our own
	Total    int           // connections at once; 0: 64
	PerHost  int           // of these to one host; 0: 16
	Programs int           // git processes at once, for what is not HTTP; 0: 8
	Timeout  time.Duration // of one request; 0: 20 seconds
	Tries    int           // of what may pass by itself; 0: 3
	Wait     time.Duration // before the second try, then growing; 0: 1 second
}

// Heads looks up heads of remote repositories. It is for several goroutines.
type Heads struct{ o HeadsOptions }

// NewHeads makes one.
func NewHeads(o HeadsOptions) *Heads { return &Heads{o: o} }

// Lookup asks all of these at once. The answers are in the order of the questions.
func (h *Heads) Lookup(ctx context.Context, queries []HeadQuery) []HeadAnswer {
	return make([]HeadAnswer, len(queries))
}

// Close lets go of the kept connections.
func (h *Heads) Close() {}

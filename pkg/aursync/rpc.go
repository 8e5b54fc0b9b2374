package aursync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/Jguer/aur/rpc"
)

// Bounds of one request of the RPC interface: the AUR refuses longer addresses.
const (
	rpcNames   = 125
	rpcBytes   = 4_000
	rpcTimeout = time.Minute
	rpcAnswer  = 32 << 20
)

// fromRPC asks in batches. The interface knows packages by their pkgname only: a pkgbase is asked for by one of its
// pkgnames, and by the others only where that one is gone.
func (c *Client) fromRPC(ctx context.Context, wants []Want) (*Snapshot, error) {
	s := newSelection(wants)
	var first []string
	for _, want := range wants {
		name := want.Pkgbase
		if len(want.Pkgnames) > 0 && !slices.Contains(want.Pkgnames, name) {
			name = want.Pkgnames[0]
		}
		first = append(first, name)
	}
	taken, err := c.askRPC(ctx, s, first)
	if err != nil {
		return nil, err
	}
	var second []string
	for i, want := range wants {
		if s.found[want.Pkgbase] == nil {
			second = append(second, slices.DeleteFunc(append([]string{want.Pkgbase}, want.Pkgnames...), func(name string) bool { return name == first[i] })...)
		}
	}
	if _, err := c.askRPC(ctx, s, second); err != nil {
		return nil, err
	}
	snapshot, err := s.snapshot("rpc")
	if err != nil {
		return nil, err
	}
	snapshot.Taken = taken
	return snapshot, nil
}

// askRPC gives the time of the first answer.
func (c *Client) askRPC(ctx context.Context, s *selection, names []string) (taken time.Time, err error) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	for batch := range batches(names) {
		at, err := again(ctx, c.web, func() (time.Time, error) { return c.askBatch(ctx, s, batch) })
		if err != nil {
			return time.Time{}, err
		}
		if taken.IsZero() {
			taken = at
		}
	}
	return taken, nil
}

// batches cuts names into requests that the AUR takes.
func batches(names []string) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		for len(names) > 0 {
			n, size := 0, 0
			for n < len(names) && n < rpcNames {
				size += len("&arg%5B%5D=") + len(names[n]) + 2*strings.Count(names[n], "+") + 2*strings.Count(names[n], "@")
				if n > 0 && size > rpcBytes {
					break
				}
				n++
			}
			if !yield(names[:n]) {
				return
			}
			names = names[n:]
		}
	}
}

func (c *Client) askBatch(ctx context.Context, s *selection, names []string) (time.Time, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, rpcTimeout, fmt.Errorf("no answer within %s", rpcTimeout))
	defer cancel()
	door := &rpcDoor{web: c.web}
	client := rpc.Client{BaseURL: c.o.RPCURL + "?", HTTPClient: door}
	packages, err := client.Info(ctx, names)
	switch {
	case door.err != nil: // with what the library makes of it, no more is known
		return time.Time{}, door.err
	case door.body != nil && door.body.err != nil:
		return time.Time{}, c.web.failed(ctx, clean(c.o.RPCURL), door.body.err)
	case err != nil:
		return time.Time{}, fmt.Errorf("%s: %s", clean(c.o.RPCURL), clean(err.Error()))
	}
	for i := range packages {
		s.entries++
		s.take(&packages[i])
	}
	return door.taken, nil
}

// rpcDoor is what the library sends its requests through: it adds what the library leaves out, which is looking at the
// status, a bound, and errors without the whole address.
type rpcDoor struct {
	web   *web
	taken time.Time
	body  *remembering
	err   error
}

// Do sends one request.
func (d *rpcDoor) Do(req *http.Request) (*http.Response, error) {
	resp, err := d.web.do(req)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.Join(&statusError{url: clean(req.URL.String()), status: resp.StatusCode}, resp.Body.Close())
	}
	if err != nil {
		d.err = err
		return nil, err
	}
	d.taken = serverTime(resp.Header)
	d.body = &remembering{from: io.LimitReader(resp.Body, rpcAnswer)}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{d.body, resp.Body}
	return resp, nil
}

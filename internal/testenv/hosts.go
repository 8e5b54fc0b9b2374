package testenv

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Page is what a host of Hosts answers to one request.
type Page struct {
	Status int // 0: 200
	Header http.Header
	Body   string
	Wants  http.Header // must be sent; an empty value: must not be sent
	Times  int         // how often it must be asked for; 0: at least once
	Hang   bool        // never answers; ends with the test
}

// Hosts serves the internet of a test: pages by "METHOD https://HOST/PATH?QUERY". Requests for anything else fail the
// test, as do requests without what a page wants, and pages that nobody asked for. Several pages of one address, kept in
// order, answer one request each, the last all that follow.
func Hosts(t testing.TB, pages map[string][]Page) http.RoundTripper {
	t.Helper()
	h := &hosts{t: t, pages: pages, asked: map[string]int{}, end: make(chan struct{})}
	server := httptest.NewServer(h)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	h.at = at.Host
	t.Cleanup(func() {
		close(h.end)
		server.CloseClientConnections()
		server.Close()
		h.finish()
	})
	return h
}

type hosts struct {
	t     testing.TB
	at    string // of the server that stands for all of them
	pages map[string][]Page
	end   chan struct{}

	mu    sync.Mutex
	asked map[string]int
}

// addressHeader carries the address that was meant from the round tripper to the server.
const addressHeader = "X-Testenv-Address"

// RoundTrip sends the request to the test's server, whatever host it is for.
func (h *hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := r.Clone(r.Context())
	sent.Header.Set(addressHeader, r.Method+" "+r.URL.String())
	sent.URL.Scheme, sent.URL.Host, sent.Host = "http", h.at, ""
	resp, err := http.DefaultTransport.RoundTrip(sent)
	if resp != nil {
		resp.Request = r
	}
	return resp, err
}

func (h *hosts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	address := r.Header.Get(addressHeader)
	p, err := h.page(address, r)
	if err != nil {
		h.t.Error(err)
		http.Error(w, "the test did not expect this", http.StatusTeapot)
		return
	}
	if p.Hang {
		select {
		case <-h.end:
		case <-r.Context().Done():
		}
		return
	}
	maps.Copy(w.Header(), p.Header)
	if p.Status != 0 {
		w.WriteHeader(p.Status)
	}
	_, _ = io.WriteString(w, p.Body)
}

// page gives the next page of an address, after a look at what was sent.
func (h *hosts) page(address string, r *http.Request) (Page, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.pages[address]
	if len(list) == 0 {
		return Page{}, fmt.Errorf("%s was asked for; there are\n  %s", address, strings.Join(slices.Sorted(maps.Keys(h.pages)), "\n  "))
	}
	p := list[min(h.asked[address], len(list)-1)]
	h.asked[address]++
	if r.Header.Get("User-Agent") == "" {
		return p, fmt.Errorf("%s: no user agent was sent", address)
	}
	for name, want := range p.Wants {
		if got := r.Header.Values(name); !slices.Equal(got, want) && (len(got) > 0 || want[0] != "") {
			return p, fmt.Errorf("%s: header %s is %q, not %q", address, name, got, want)
		}
	}
	return p, nil
}

// finish fails the test for pages that were asked for too seldom or too often.
func (h *hosts) finish() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for address, list := range h.pages {
		n, last := h.asked[address], list[len(list)-1]
		switch {
		case n < len(list):
			h.t.Errorf("%s was asked for %d times, not %d", address, n, len(list))
		case last.Times > 0 && n != len(list)-1+last.Times:
			h.t.Errorf("%s was asked for %d times, not %d", address, n, len(list)-1+last.Times)
		}
	}
}

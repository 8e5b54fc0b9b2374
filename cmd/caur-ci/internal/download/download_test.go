package download_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-ci/internal/download"
	"github.com/caur-build/caur/internal/testenv"
)

// naps notes the pauses between tries instead of making them.
type naps struct{ list []time.Duration }

func (n *naps) sleep(_ context.Context, d time.Duration) error {
	n.list = append(n.list, d)
	return nil
}

var noon = time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC)

func client(t *testing.T, pages map[string][]testenv.Page) (*download.Client, *naps) {
	t.Helper()
	n := &naps{}
	return download.New(download.Options{Transport: testenv.Hosts(t, pages), Sleep: n.sleep, Now: func() time.Time { return noon }}), n
}

const address = "https://example.org/x?key=hush"

func TestWhatMayPassIsTriedAgain(t *testing.T) {
	for name, first := range map[string]testenv.Page{
		"busy": {Status: 429}, "a fault of the server": {Status: 502}, "too slow for the server": {Status: 408},
		"half a body": {Header: http.Header{"Content-Length": {"100"}}, Body: "half"},
	} {
		t.Run(name, func(t *testing.T) {
			c, n := client(t, map[string][]testenv.Page{"GET " + address: {first, {Status: 500}, {Body: "fine", Times: 1}}})
			a, err := c.Get(t.Context(), download.Request{URL: address})
			if err != nil || string(a.Body) != "fine" || len(n.list) != 2 {
				t.Errorf("%v, %d pauses", err, len(n.list))
			}
		})
	}
}

func TestWhatDoesNotPassIsNotTriedAgain(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 410, 418, 204, 304} {
		c, n := client(t, map[string][]testenv.Page{"GET " + address: {{Status: status, Times: 1}}})
		_, err := c.Get(t.Context(), download.Request{URL: address})
		var said *download.StatusError
		if !errors.As(err, &said) || said.Status != status || len(n.list) != 0 {
			t.Errorf("%d: %v, %d pauses", status, err, len(n.list))
		}
	}
}

func TestTriesAreLimited(t *testing.T) {
	c, n := client(t, map[string][]testenv.Page{"GET " + address: {{Status: 503, Times: 3}}})
	_, err := c.Get(t.Context(), download.Request{URL: address})
	if err == nil || len(n.list) != 2 || n.list[1] <= 0 {
		t.Errorf("%v %v", err, n.list)
	}
}

func TestAServerThatSaysHowLongToWaitIsBelieved(t *testing.T) {
	for _, c := range []struct {
		header http.Header
		status int
		want   time.Duration
	}{
		{http.Header{"Retry-After": {"7"}}, 429, 7 * time.Second},
		{http.Header{"Retry-After": {noon.Add(30 * time.Second).Format(http.TimeFormat)}}, 503, 30 * time.Second},
		{http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {fmt.Sprint(noon.Add(time.Minute).Unix())}}, 403, time.Minute},
	} {
		web, n := client(t, map[string][]testenv.Page{"GET " + address: {{Status: c.status, Header: c.header}, {Body: "x"}}})
		if _, err := web.Get(t.Context(), download.Request{URL: address}); err != nil || !slices.Equal(n.list, []time.Duration{c.want}) {
			t.Errorf("%v: %v %v", c.header, err, n.list)
		}
	}
}

func TestNobodyWaitsAnHour(t *testing.T) {
	web, n := client(t, map[string][]testenv.Page{"GET " + address: {{Status: 429, Header: http.Header{"Retry-After": {"3600"}}, Times: 1}}})
	_, err := web.Get(t.Context(), download.Request{URL: address})
	if err == nil || !strings.Contains(err.Error(), "1h0m0s") || len(n.list) != 0 {
		t.Errorf("%v %v", err, n.list)
	}
}

func TestAnswersAreBounded(t *testing.T) {
	for size, fine := range map[int]bool{99: true, 100: true, 101: false, 100_000: false} {
		web, _ := client(t, map[string][]testenv.Page{"GET " + address: {{Body: strings.Repeat("x", size), Times: 1}}})
		a, err := web.Get(t.Context(), download.Request{URL: address, MaxBytes: 100})
		if fine != (err == nil) || !fine && !errors.Is(err, download.ErrTooLarge) || fine && len(a.Body) != size {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestABombInGzipIsBounded(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 10<<20))
	_ = z.Close()
	web, _ := client(t, map[string][]testenv.Page{"GET " + address: {{Header: http.Header{"Content-Encoding": {"gzip"}}, Body: bomb.String()}}})
	if _, err := web.Get(t.Context(), download.Request{URL: address, MaxBytes: 1 << 20}); !errors.Is(err, download.ErrTooLarge) {
		t.Error(err)
	}
}

func TestAHostThatNeverAnswersIsGivenUp(t *testing.T) {
	web := download.New(download.Options{Transport: testenv.Hosts(t, map[string][]testenv.Page{"GET " + address: {{Hang: true}}}), Tries: 1})
	_, err := web.Get(t.Context(), download.Request{URL: address, Timeout: 50 * time.Millisecond})
	if err == nil || err.Error() != "https://example.org/x: no whole answer within 50ms" {
		t.Error(err)
	}
}

func TestAStoppedRunEndsAtOnce(t *testing.T) {
	stop := errors.New("stopped by hand")
	ctx, cancel := context.WithCancelCause(t.Context())
	web := download.New(download.Options{
		Transport: testenv.Hosts(t, map[string][]testenv.Page{"GET " + address: {{Status: 500, Times: 1}}}),
		Sleep: func(ctx context.Context, _ time.Duration) error {
			cancel(stop)
			return context.Cause(ctx)
		},
	})
	if _, err := web.Get(ctx, download.Request{URL: address}); !errors.Is(err, stop) {
		t.Error(err)
	}
}

func TestRedirectsStayWhereTheyMayGo(t *testing.T) {
	to := func(target string) testenv.Page {
		return testenv.Page{Status: 302, Header: http.Header{"Location": {target}}, Times: 1}
	}
	for _, c := range []struct{ target, err string }{
		{"https://other.example/y", ""},
		{"/y", ""},
		{"http://example.org/y?token=hush", "redirected from https to http"},
		{"file:///etc/passwd", "redirected to a file address"},
		{"ftp://example.org/y", "redirected to a ftp address"},
	} {
		pages := map[string][]testenv.Page{"GET " + address: {to(c.target)}}
		if c.err == "" {
			target := c.target
			if target == "/y" {
				target = "https://example.org/y"
			}
			pages["GET "+target] = []testenv.Page{{Body: "there"}}
		}
		web, _ := client(t, pages)
		a, err := web.Get(t.Context(), download.Request{URL: address})
		switch {
		case c.err == "" && (err != nil || string(a.Body) != "there"):
			t.Errorf("%s: %v", c.target, err)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err) || strings.Contains(err.Error(), "hush")):
			t.Errorf("%s: %v", c.target, err)
		}
	}
}

func TestARedirectInACircleEnds(t *testing.T) {
	web, _ := client(t, map[string][]testenv.Page{"GET " + address: {{Status: 302, Header: http.Header{"Location": {address}}, Times: 11}}})
	if _, err := web.Get(t.Context(), download.Request{URL: address}); err == nil || !strings.Contains(err.Error(), "redirected more than 10 times") {
		t.Error(err)
	}
}

func TestTokensDoNotFollowToAnotherHost(t *testing.T) {
	for _, header := range []string{"Private-Token", "Authorization"} {
		web, _ := client(t, map[string][]testenv.Page{
			"GET https://a.example/x": {{Status: 307, Header: http.Header{"Location": {"https://b.example/x"}}, Wants: http.Header{header: {"hush"}}}},
			"GET https://b.example/x": {{Wants: http.Header{header: {""}}}},
		})
		if _, err := web.Get(t.Context(), download.Request{URL: "https://a.example/x", Header: http.Header{header: {"hush"}}}); err != nil {
			t.Error(err)
		}
	}
}

func TestARedirectCanBeTheAnswer(t *testing.T) {
	web, _ := client(t, map[string][]testenv.Page{"HEAD " + address: {{Status: 302, Header: http.Header{"Location": {"https://example.org/v1.2.tar.gz"}}}}})
	got := ""
	err := web.Head(t.Context(), download.Request{URL: address, Method: "HEAD", Final: true}, func(h http.Header) { got = h.Get("Location") })
	if err != nil || got != "https://example.org/v1.2.tar.gz" {
		t.Errorf("%v %q", err, got)
	}
}

func TestOnlyHTTPIsAskedAndNothingSecretIsSaid(t *testing.T) {
	web := download.New(download.Options{Tries: 1, Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("no way to https://u:hush@h/?k=hush")
		},
	}})
	for _, address := range []string{
		"file:///etc/passwd", "ftp://u:hush@example.org/x", "x", "", "https:///x", "https://u:hush@example.org/x?key=hush#hush",
		"http://u:hush@exa mple.org/?key=hush",
	} {
		_, err := web.Get(t.Context(), download.Request{URL: address})
		if err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestWhatTakesTheStreamDecidesAboutItsErrors(t *testing.T) {
	mine := errors.New("mine")
	for _, c := range []struct {
		err   error
		tries int
	}{{mine, 1}, {fmt.Errorf("cut: %w", io.ErrUnexpectedEOF), 3}} {
		web, _ := client(t, map[string][]testenv.Page{"GET " + address: {{Body: "x", Times: c.tries}}})
		err := web.Stream(t.Context(), download.Request{URL: address}, func(http.Header, io.Reader) error { return c.err })
		if !errors.Is(err, c.err) {
			t.Error(err)
		}
	}
}

func TestARealServerIsAskedAsAPerson(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = fmt.Fprint(w, r.Method, r.Header.Get("User-Agent"), r.Header.Get("X"), string(body))
	}))
	defer server.Close()
	web := download.New(download.Options{UserAgent: "caur/1"})
	a, err := web.Get(t.Context(), download.Request{URL: server.URL, Method: "POST", Header: http.Header{"X": {"x"}}, Body: "b"})
	if err != nil || string(a.Body) != "POSTcaur/1xb" {
		t.Errorf("%v %s", err, a.Body)
	}
}

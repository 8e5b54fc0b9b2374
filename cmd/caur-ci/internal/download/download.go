// Package download gets things over HTTP from servers that may be slow, wrong or hostile.
//
// Every request has a time limit and a bound on what is read. What may pass by itself (no connection, 429, 5xx, half a
// body) is tried again with growing pauses; a server that says how long to wait (Retry-After) is believed as long as that
// is bearable. Redirects stay on HTTP, never lead from https to http, and take no token to another host. Errors name the
// address without user, password and query, since any of these may hold a secret.
package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/caur-build/caur/internal/redirects"
)

// Defaults of a Request and bounds of waiting.
const (
	defaultMaxBytes = 16 << 20
	defaultTimeout  = 60 * time.Second
	maxRetryAfter   = 90 * time.Second // a server that wants more fails this run; the next one asks again
	maxRedirects    = 10
)

// ErrTooLarge is an answer with more bytes than the request allows.
var ErrTooLarge = errors.New("the answer is too large")

// Client makes requests. It is for several goroutines.
type Client struct {
	http  *http.Client
	tries int
	wait  time.Duration
	sleep func(context.Context, time.Duration) error
	agent string
	now   func() time.Time
}

// Options of New; the zero value is ready to use.
type Options struct {
	Transport http.RoundTripper                          // nil: http.DefaultTransport, which honours the proxy variables
	Tries     int                                        // at least 1; 0: 3
	Wait      time.Duration                              // before the second try, doubled each time; 0: one second
	Sleep     func(context.Context, time.Duration) error // nil: waits for real
	Now       func() time.Time                           // nil: time.Now
	UserAgent string                                     // "": caur-ci
}

// New makes a client.
func New(o Options) *Client {
	c := &Client{tries: o.Tries, wait: o.Wait, sleep: o.Sleep, agent: o.UserAgent, now: o.Now}
	if c.tries < 1 {
		c.tries = 3
	}
	if c.wait <= 0 {
		c.wait = time.Second
	}
	if c.sleep == nil {
		c.sleep = sleep
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.agent == "" {
		c.agent = "caur-ci"
	}
	c.http = &http.Client{Transport: o.Transport, CheckRedirect: redirects.AtMost(maxRedirects)}
	return c
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Request is what to get.
type Request struct {
	URL      string
	Method   string // "": GET
	Header   http.Header
	Body     string        // of a POST
	MaxBytes int64         // of the answer; 0: 16 MiB
	Timeout  time.Duration // of one try, the body included; 0: one minute
	Final    bool          // give a redirect as the answer instead of following it
}

// StatusError is an answer that is no success.
type StatusError struct {
	URL    string // without anything secret
	Status int
	Wanted time.Duration // the server wants to be left alone that long (Retry-After); 0: it does not say
}

// Error says what the status means for who asks.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s answers %d %s", e.URL, e.Status, http.StatusText(e.Status))
	if e.Wanted > 0 {
		text += fmt.Sprintf(" and wants to be asked again in %s", e.Wanted.Round(time.Second))
	}
	return text
}

// Answer is a whole answer.
type Answer struct {
	Header http.Header
	Body   []byte
}

// Get gives the whole answer of a request.
func (c *Client) Get(ctx context.Context, r Request) (*Answer, error) {
	var a Answer
	err := c.Stream(ctx, r, func(h http.Header, body io.Reader) error {
		var err error
		a.Header = h
		a.Body, err = io.ReadAll(body)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &a, nil
}

// Head gives the header of an answer, of whatever method, and leaves the body alone.
func (c *Client) Head(ctx context.Context, r Request, take func(http.Header)) error {
	return c.Stream(ctx, r, func(h http.Header, _ io.Reader) error {
		take(h)
		return nil
	})
}

// Stream hands the answer over while it arrives. A try that breaks off, or for whose content take gives an error that
// wraps io.ErrUnexpectedEOF, is followed by another: take begins anew each time. Other errors of take end it.
func (c *Client) Stream(ctx context.Context, r Request, take func(http.Header, io.Reader) error) error {
	where, err := check(r.URL)
	if err != nil {
		return err
	}
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval = c.wait
	for try := 1; ; try++ {
		err := c.once(ctx, r, where, take)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		again, after := c.again(err)
		if !again || try == c.tries {
			return err
		}
		if after <= 0 {
			after = pause.NextBackOff()
		}
		if err := c.sleep(ctx, after); err != nil {
			return err
		}
	}
}

// again says whether another try may help, and when the server wants it.
func (c *Client) again(err error) (bool, time.Duration) {
	var status *StatusError
	switch {
	case errors.As(err, &status):
		busy := status.Status == http.StatusTooManyRequests || status.Status == http.StatusRequestTimeout || status.Status >= 500 ||
			status.Status == http.StatusForbidden && status.Wanted > 0
		return busy && status.Wanted <= maxRetryAfter, status.Wanted
	case errors.Is(err, ErrTooLarge):
		return false, 0
	}
	var broken *transferError
	return errors.As(err, &broken) || errors.Is(err, io.ErrUnexpectedEOF), 0
}

// transferError is a connection that cannot be made or breaks.
type transferError struct {
	url string
	err error
}

func (e *transferError) Error() string { return e.url + ": " + e.err.Error() }
func (e *transferError) Unwrap() error { return e.err }

func (c *Client) once(ctx context.Context, r Request, where string, take func(http.Header, io.Reader) error) error {
	limit := r.Timeout
	if limit <= 0 {
		limit = defaultTimeout
	}
	late := fmt.Errorf("no whole answer within %s", limit)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	req, err := c.request(ctx, r)
	if err != nil {
		return fmt.Errorf("%s: %w", where, plain(err))
	}
	client := c.http
	if r.Final {
		client = &http.Client{Transport: c.http.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	resp, err := client.Do(req)
	if err != nil {
		return failed(ctx, where, err)
	}
	defer resp.Body.Close() //nolint:errcheck // what was read is all that counts
	redirect := r.Final && resp.StatusCode >= 300 && resp.StatusCode < 400
	if resp.StatusCode != http.StatusOK && !redirect {
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection can be used again
		return &StatusError{URL: where, Status: resp.StatusCode, Wanted: c.retryAfter(resp.Header)}
	}
	most := r.MaxBytes
	if most <= 0 {
		most = defaultMaxBytes
	}
	body := &bounded{from: resp.Body, left: most, ctx: ctx, url: where}
	if err := take(resp.Header, body); err != nil {
		if body.err != nil {
			return body.err
		}
		return fmt.Errorf("%s: %w", where, err)
	}
	return body.err
}

func (c *Client) request(ctx context.Context, r Request) (*http.Request, error) {
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(ctx, method, r.URL, strings.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	for name, values := range r.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", c.agent)
	}
	return req, nil
}

// bounded reads a body up to its bound, and remembers why it could not be read on.
type bounded struct {
	from io.Reader
	left int64
	ctx  context.Context
	url  string
	err  error
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.from.Read(p)
	if int64(n) > b.left {
		b.err = fmt.Errorf("%s: %w", b.url, ErrTooLarge)
		return 0, b.err
	}
	b.left -= int64(n)
	if err != nil && err != io.EOF {
		b.err = failed(b.ctx, b.url, err)
		return n, b.err
	}
	return n, err
}

func failed(ctx context.Context, where string, err error) error {
	var odd *redirects.Error
	switch {
	case errors.As(err, &odd):
		return fmt.Errorf("%s: %w", where, odd)
	case ctx.Err() != nil:
		return &transferError{where, context.Cause(ctx)}
	}
	return &transferError{where, plain(err)}
}

// retryAfter reads the seconds or the time that a server names, or what GitHub says of a used-up limit.
func (c *Client) retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 {
		return min(time.Duration(seconds), 1<<30) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(c.now()))
	}
	if h.Get("X-Ratelimit-Remaining") == "0" {
		if at, err := strconv.ParseInt(h.Get("X-Ratelimit-Reset"), 10, 64); err == nil {
			return max(time.Second, time.Unix(at, 0).Sub(c.now()))
		}
	}
	return 0
}

// check refuses what is no address of an HTTP server, and gives it without what may be secret.
func check(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", errors.New("an address that cannot be read")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("%s is no http or https address", Clean(address))
	}
	return Clean(address), nil
}

var secretPart = regexp.MustCompile(`//[^/@\s"]*@|[?#][^\s"]*`)

// Clean is an address, or a text with addresses, without user, password, query and fragment.
func Clean(text string) string {
	return secretPart.ReplaceAllStringFunc(text, func(s string) string {
		if strings.HasPrefix(s, "//") {
			return "//"
		}
		return ""
	})
}

// plain takes the address out of errors of net/http, which print it whole.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if text := err.Error(); Clean(text) != text {
		return errors.New(Clean(text))
	}
	return err
}

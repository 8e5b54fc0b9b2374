package forge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/caur-build/caur/internal/settings"
)

const (
	defaultMaxWait = 10 * time.Minute
	defaultTimeout = time.Minute

	maxTries  = 6
	maxAnswer = 128 << 20 // a page of 100 requests with the largest descriptions is less, unless each character is escaped
	retryBase = 500 * time.Millisecond
	retryMost = 30 * time.Second

	secondaryWait = time.Minute // what GitHub's documentation asks for where an answer does not say how long
)

// transport is all that happens between a client library and the network: the token, time limits, rate limits, repeats.
// Both libraries have ideas of their own about rate limits (one ignores Retry-After, the other refuses by itself without
// asking); they never see the headers that would wake them.
type transport struct {
	base    http.RoundTripper
	api     *url.URL
	header  string // that carries the token
	scheme  string // before the token in that header, "" or "Bearer "
	token   settings.Secret
	now     func() time.Time
	sleep   func(context.Context, time.Duration) error
	timeout time.Duration

	mu      sync.Mutex
	left    time.Duration // that may still be waited
	blocked time.Time     // no request before this time
}

func newTransport(cfg Config, api *url.URL) *transport {
	t := &transport{
		base: cfg.Transport, api: api, header: "PRIVATE-TOKEN", token: cfg.Token, now: cfg.Now, sleep: cfg.Sleep,
		timeout: cfg.Timeout, left: cfg.MaxWait,
	}
	if cfg.Kind == GitHub {
		t.header, t.scheme = "Authorization", "Bearer "
	}
	if t.base == nil {
		t.base = http.DefaultTransport
	}
	if t.now == nil {
		t.now = time.Now
	}
	if t.sleep == nil {
		t.sleep = sleep
	}
	if t.timeout == 0 {
		t.timeout = defaultTimeout
	}
	if t.left == 0 {
		t.left = defaultMaxWait
	}
	return t
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

// client gives an HTTP client that follows redirects only where they mean the same request.
func (t *transport) client() *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		const most = 5
		if len(via) > most {
			return fmt.Errorf("more than %d redirects", most)
		}
		if first := via[0]; first.Method != req.Method {
			return fmt.Errorf("the forge sends this %s to https://%s%s: has the project moved? correct its address",
				first.Method, req.URL.Host, req.URL.Path)
		}
		return nil
	}}
}

// RoundTrip implements http.RoundTripper. The body of the answer is in memory already.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	body, err := requestBody(req)
	if err != nil {
		return nil, err
	}
	delays := &backoff.ExponentialBackOff{
		InitialInterval: retryBase, Multiplier: 2, RandomizationFactor: 0.2, MaxInterval: retryMost,
	}
	for try := 1; ; try++ {
		if err := t.waitForLimit(ctx); err != nil {
			return nil, err
		}
		resp, err := t.once(req, body)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		wait, told, again := t.again(req, resp, err)
		if !again || try == maxTries {
			return hideLimits(resp), err
		}
		if !told {
			wait = delays.NextBackOff()
		}
		switch waitErr := t.wait(ctx, wait); {
		case waitErr == nil:
		case !told && ctx.Err() == nil: // what failed says more than that we may not wait any longer
			return hideLimits(resp), err
		default:
			return nil, waitErr
		}
	}
}

func requestBody(req *http.Request) ([]byte, error) {
	if req.Body == nil {
		return nil, nil
	}
	body, err := io.ReadAll(req.Body)
	return body, errors.Join(err, req.Body.Close())
}

// once sends a copy of req, and reads the whole answer within the time limit.
func (t *transport) once(req *http.Request, body []byte) (*http.Response, error) {
	ctx, cancel := context.WithTimeoutCause(req.Context(), t.timeout, fmt.Errorf("no answer within %v", t.timeout))
	defer cancel()
	out := req.Clone(ctx)
	out.Body = nil
	if body != nil {
		out.Body = io.NopCloser(bytes.NewReader(body))
	}
	out.Header.Del(t.header)
	if sameOrigin(out.URL, t.api) {
		out.Header.Set(t.header, t.scheme+t.token.Reveal())
	}
	resp, err := t.base.RoundTrip(out)
	if err != nil {
		return nil, timedOut(ctx, err)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	_ = resp.Body.Close()
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", timedOut(ctx, err))
	}
	if len(data) > maxAnswer {
		return nil, fmt.Errorf("the answer is larger than %d MiB", maxAnswer>>20)
	}
	resp.Body = &memory{Reader: bytes.NewReader(data), data: data}
	resp.Request = req // not the one with the token
	t.learn(resp)
	return resp, nil
}

// memory is the body of an answer that was read whole.
type memory struct {
	*bytes.Reader
	data []byte
}

// Close implements io.Closer.
func (*memory) Close() error { return nil }

// bodyOf gives the body of an answer of once, also when it was read already.
func bodyOf(resp *http.Response) []byte {
	if m, ok := resp.Body.(*memory); ok {
		return m.data
	}
	return nil
}

func timedOut(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func sameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Host, b.Host)
}

// again decides whether to repeat a request, and whether the forge told after how long. What may have been acted on is
// repeated only when doing it twice is doing it once.
func (t *transport) again(req *http.Request, resp *http.Response, err error) (wait time.Duration, told, again bool) {
	repeatable := req.Method != http.MethodPost
	if err != nil {
		var op *net.OpError
		neverSent := errors.As(err, &op) && op.Op == "dial"
		return 0, false, repeatable || neverSent
	}
	wait, told = t.retryAfter(resp)
	switch resp.StatusCode {
	case http.StatusTooManyRequests:
		again = true
	case http.StatusForbidden: // GitHub's way to say 429, sometimes in words only
		if !told && strings.Contains(string(bodyOf(resp)), "secondary rate limit") {
			wait, told = secondaryWait, true
		}
		again = told
	case http.StatusServiceUnavailable:
		again = repeatable || told
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		again = repeatable
	}
	return wait, told, again
}

// retryAfter reads when the forge wants to be asked again: Retry-After, or the reset of a limit that is used up.
func (t *transport) retryAfter(resp *http.Response) (time.Duration, bool) {
	now := t.serverTime(resp)
	if text := resp.Header.Get("Retry-After"); text != "" {
		if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 {
			return max(time.Duration(seconds)*time.Second, time.Second), true
		}
		if at, err := http.ParseTime(text); err == nil {
			return max(at.Sub(now), time.Second), true
		}
	}
	for _, prefix := range []string{"X-Ratelimit-", "Ratelimit-"} {
		if resp.Header.Get(prefix+"Remaining") != "0" {
			continue
		}
		if epoch, err := strconv.ParseInt(resp.Header.Get(prefix+"Reset"), 10, 64); err == nil {
			return max(time.Unix(epoch, 0).Sub(now), time.Second), true
		}
	}
	return 0, false
}

// serverTime is the time of the server, whose clock the times of limits are of.
func (t *transport) serverTime(resp *http.Response) time.Time {
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		return at
	}
	return t.now()
}

// learn remembers a limit that the last request has used up.
func (t *transport) learn(resp *http.Response) {
	if resp.StatusCode >= http.StatusBadRequest {
		return
	}
	if after, told := t.retryAfter(resp); told {
		t.mu.Lock()
		t.blocked = t.now().Add(after)
		t.mu.Unlock()
	}
}

// hideLimits takes away the headers that the libraries act on in ways of their own.
func hideLimits(resp *http.Response) *http.Response {
	if resp == nil {
		return nil
	}
	for _, name := range [...]string{
		"Ratelimit-Limit", "Ratelimit-Remaining", "Ratelimit-Reset", "Retry-After",
		"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", "X-Ratelimit-Used",
	} {
		resp.Header.Del(name)
	}
	return resp
}

// waitForLimit waits until a limit that is known to be used up begins anew.
func (t *transport) waitForLimit(ctx context.Context) error {
	t.mu.Lock()
	wait := t.blocked.Sub(t.now())
	t.mu.Unlock()
	if wait <= 0 {
		return nil
	}
	return t.wait(ctx, wait)
}

// wait waits, and takes it from what may be waited in all.
func (t *transport) wait(ctx context.Context, d time.Duration) error {
	t.mu.Lock()
	enough := d <= t.left
	if enough {
		t.left -= d
	}
	t.mu.Unlock()
	if !enough {
		return &LimitError{Host: t.api.Host, Until: t.now().Add(d), Wait: d}
	}
	return t.sleep(ctx, d)
}

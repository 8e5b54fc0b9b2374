package aursync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/caur-build/caur/internal/redirects"
)

const (
	tries         = 2
	maxRetryAfter = 2 * time.Minute // a server that wants more is left alone in this run
	maxRedirects  = 5
	userAgent     = "caur-ci (+https://github.com/caur-build/caur)"
)

// web makes requests of the AUR.
type web struct {
	client *http.Client
	retry  time.Duration
}

func newWeb(o Options) (*web, error) {
	w := &web{client: &http.Client{CheckRedirect: redirects.AtMost(maxRedirects)}, retry: o.Retry}
	if o.HTTP != nil {
		w.client.Transport = o.HTTP.Transport
		return w, nil
	}
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		t = &http.Transport{Proxy: http.ProxyFromEnvironment}
	}
	t = t.Clone()
	t.ResponseHeaderTimeout = time.Minute
	if o.Proxy != "" {
		u, err := url.Parse(o.Proxy)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, errors.New("the proxy to the AUR must be an http or https URL: see CI_AUR_PROXY")
		}
		t.Proxy = http.ProxyURL(u)
	}
	w.client.Transport = t
	return w, nil
}

// statusError is an answer that is no success.
type statusError struct {
	url    string
	status int
	wait   time.Duration
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("%s answers %d %s", e.url, e.status, http.StatusText(e.status))
	if e.wait > 0 {
		text += fmt.Sprintf(" and wants to be asked again in %s", e.wait)
	}
	return text
}

// passes says whether it may be better later.
func (e *statusError) passes() bool {
	return e.status == http.StatusTooManyRequests || e.status == http.StatusRequestTimeout || e.status >= 500
}

// passingError is a failure of the connection, which another try may mend.
type passingError struct{ err error }

func (e *passingError) Error() string { return e.err.Error() }
func (e *passingError) Unwrap() error { return e.err }

// laterError carries the pause that a server wants to backoff.
type laterError struct {
	*statusError
	pause backoff.RetryAfterError
}

func (e *laterError) Unwrap() []error { return []error{e.statusError, &e.pause} }

// again calls do until it succeeds, fails for good, or has failed often enough.
func again[T any](ctx context.Context, w *web, do func() (T, error)) (T, error) {
	result, err := backoff.Retry(ctx, func() (T, error) {
		v, err := do()
		var status *statusError
		var passing *passingError
		switch {
		case err == nil || errors.As(err, &passing):
		case errors.As(err, &status) && status.passes() && status.wait <= maxRetryAfter:
			if status.wait > 0 {
				err = &laterError{status, backoff.RetryAfterError{Duration: status.wait}}
			}
		default:
			err = backoff.Permanent(err)
		}
		return v, err
	}, backoff.WithBackOff(backoff.NewConstantBackOff(w.retry)), backoff.WithMaxTries(tries), backoff.WithMaxElapsedTime(0))
	var permanent *backoff.PermanentError
	var later *laterError
	switch {
	case errors.As(err, &permanent):
		err = permanent.Err
	case errors.As(err, &later):
		err = later.statusError
	}
	return result, err
}

// do sends a GET; the answer has status 200 or 304. Errors hold no query, user or password.
func (w *web) do(req *http.Request) (*http.Response, error) {
	req.Header.Set("User-Agent", userAgent)
	where := clean(req.URL.String())
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, w.failed(req.Context(), where, err)
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNotModified {
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection can be used again
		_ = resp.Body.Close()
		return nil, &statusError{where, resp.StatusCode, retryAfter(resp)}
	}
	return resp, nil
}

// failed takes an error of net/http apart, which holds the whole address.
func (w *web) failed(ctx context.Context, where string, err error) error {
	var wrong *redirects.Error
	if errors.As(err, &wrong) {
		return fmt.Errorf("%s %w", where, wrong)
	}
	if ctx.Err() != nil {
		return &passingError{fmt.Errorf("%s: %w", where, context.Cause(ctx))}
	}
	var address *url.Error
	if errors.As(err, &address) {
		err = address.Err
	}
	if text := err.Error(); clean(text) != text {
		err = errors.New(clean(text))
	}
	return &passingError{fmt.Errorf("%s: %w", where, err)}
}

func retryAfter(resp *http.Response) time.Duration {
	value := resp.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 {
		return min(time.Duration(seconds), 1<<30) * time.Second
	}
	at, err := http.ParseTime(value)
	if now, dateErr := http.ParseTime(resp.Header.Get("Date")); err == nil && dateErr == nil {
		return max(0, at.Sub(now)) // both by the server's clock
	}
	return 0
}

var secretPart = regexp.MustCompile(`//[^/@\s"]*@|[?#][^\s"]*`)

// clean is an address, or a text with addresses, without user, password, query and fragment.
func clean(text string) string {
	return secretPart.ReplaceAllStringFunc(text, func(s string) string {
		if s[0] == '/' {
			return "//"
		}
		return ""
	})
}

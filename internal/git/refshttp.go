package git

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/caur-build/caur/internal/redirects"
)

const (
	// maxListing bounds what is read of a list of refs, whatever the server sends: a million refs. What was asked for
	// stands early in it (HEAD is the first of all), and reading ends when it is found.
	maxListing = 64 << 20
	// maxLeftover is how much of an answer is read in vain so that its connection can be used again.
	maxLeftover = 128 << 10
	// maxRetryAfter is the longest pause that a server may ask for; who wants more is left alone in this run.
	maxRetryAfter = 2 * time.Minute
	maxRedirects  = 5

	advertisementType = "application/x-git-upload-pack-advertisement"
	resultType        = "application/x-git-upload-pack-result"
)

// errOther is an answer that is none of the protocol spoken: another way to ask may help.
var errOther = errors.New("the answer is not one of a git server")

// askHTTP asks a server for refs. The shortest way is one POST in version 2 without asking for the capabilities before,
// which every server that knows version 2 takes; whatever is not a complete answer to that (an old server, a redirect, a
// repository with SHA-256 names, a missing ref) is asked again the way that gitprotocol-http(5) describes.
func (h *Heads) askHTTP(ctx context.Context, at *host, q *question) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval = h.o.Wait
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		q.forget()
		return struct{}{}, retriable(h.askOnce(ctx, at, q))
	}, backoff.WithBackOff(pause), backoff.WithMaxTries(uint(h.o.Tries)), backoff.WithMaxElapsedTime(0))
	var after *laterError
	if errors.As(err, &after) { // the pause itself says nothing to people
		err = after.err
	}
	var permanent *backoff.PermanentError
	if errors.As(err, &permanent) {
		err = permanent.Err
	}
	return err
}

// laterError carries the pause that a server wants to backoff, beside the error itself.
type laterError struct {
	err  error
	wait backoff.RetryAfterError
}

func (e *laterError) Error() string   { return e.err.Error() }
func (e *laterError) Unwrap() []error { return []error{e.err, &e.wait} }

// retriable tells backoff what another try may help with.
func retriable(err error) error {
	var status *statusError
	var late *lateError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &status) && status.passes():
		if status.wait > maxRetryAfter {
			return backoff.Permanent(err)
		}
		if status.wait > 0 {
			return &laterError{err, backoff.RetryAfterError{Duration: status.wait}}
		}
		return err
	case errors.As(err, &late): // it took long enough
		return backoff.Permanent(err)
	case errors.Is(err, ErrUnreachable):
		return err
	}
	return backoff.Permanent(err)
}

func (h *Heads) askOnce(ctx context.Context, at *host, q *question) error {
	base := strings.TrimRight(q.address, "/")
	if at.asks.Load() {
		_, err := h.askLong(ctx, base, q)
		return err
	}
	err := h.postRefs(ctx, base, "", q)
	if err == nil && q.complete() {
		return nil
	}
	if ctx.Err() != nil || errors.Is(err, ErrUnreachable) && !errors.Is(err, errOther) {
		return err
	}
	var status *statusError
	refused := errors.As(err, &status) && errors.Is(err, errOther) && status.status/100 != 3 // a redirect says nothing about other repositories
	q.forget()
	modern, err := h.askLong(ctx, base, q)
	if err == nil && (!modern || refused) {
		at.asks.Store(true)
	}
	return err
}

// askLong reads the advertisement, and asks in version 2 when it offers that; an older one lists the refs itself.
func (h *Heads) askLong(ctx context.Context, base string, q *question) (modern bool, err error) {
	ctx, cancel := h.limit(ctx)
	defer cancel()
	resp, err := h.send(ctx, http.MethodGet, base+"/info/refs?service=git-upload-pack", "")
	if err != nil {
		return false, err
	}
	defer finish(resp)
	final := strings.TrimSuffix(withoutQuery(resp.Request.URL), "/info/refs")
	body := io.LimitReader(resp.Body, maxListing)
	if mediaType(resp) != advertisementType {
		return false, h.readDumb(ctx, final, body, q)
	}
	format, err := readAdvertisement(newPackets(body), q)
	if err != nil || format == "" {
		return false, transferred(ctx, err)
	}
	return true, h.postRefs(ctx, final, format, q)
}

func withoutQuery(u *url.URL) string {
	plain := *u
	plain.RawQuery, plain.Fragment = "", ""
	return plain.String()
}

// postRefs asks in version 2. format is the object format that the server has told, "" when it was not asked.
func (h *Heads) postRefs(ctx context.Context, base, format string, q *question) error {
	ctx, cancel := h.limit(ctx)
	defer cancel()
	resp, err := h.send(ctx, http.MethodPost, base+"/git-upload-pack", lsRefs(q.refs, format))
	if err != nil {
		return err
	}
	defer finish(resp)
	if mediaType(resp) != resultType {
		return errOther
	}
	p := newPackets(io.LimitReader(resp.Body, maxListing))
	for {
		line, err := p.next()
		if errors.Is(err, errFlush) {
			return nil
		}
		if err != nil { // an old server, or a connection that broke
			return fmt.Errorf("%w: %w", errOther, transferred(ctx, err))
		}
		sha, rest, _ := strings.Cut(string(line), " ")
		ref, _, _ := strings.Cut(rest, " ")
		if !isHash(sha) && sha != "unborn" {
			return fmt.Errorf("%w: %.60q", errOther, line)
		}
		if q.note(sha, ref) {
			return nil
		}
	}
}

// readAdvertisement reads the answer to info/refs. In version 2 it gives the object format; before, there is none to give,
// and the refs are noted.
func readAdvertisement(p *packets, q *question) (format string, err error) {
	line, err := p.next()
	if err == nil && string(line) == "# service=git-upload-pack" { // http-backend leaves it out in version 2, others do not
		if _, err = p.next(); !errors.Is(err, errFlush) {
			return "", errOther
		}
		line, err = p.next()
	}
	if err == nil && string(line) == "version 2" {
		return readCapabilities(p)
	}
	if err == nil && string(line) == "version 1" {
		line, err = p.next()
	}
	for ; err == nil; line, err = p.next() {
		entry, _, _ := bytes.Cut(line, []byte{0}) // after the first ref: what the server can do
		sha, ref, _ := strings.Cut(string(entry), " ")
		if !isHash(sha) && !strings.HasPrefix(sha, "shallow") {
			return "", fmt.Errorf("%w: %.60q", errOther, entry)
		}
		if q.note(sha, ref) {
			return "", nil
		}
	}
	if errors.Is(err, errFlush) {
		err = nil
	}
	return "", err
}

func readCapabilities(p *packets) (format string, err error) {
	format = "sha1"
	for {
		line, err := p.next()
		if errors.Is(err, errFlush) {
			return format, nil
		}
		if err != nil {
			return "", err
		}
		if value, is := strings.CutPrefix(string(line), "object-format="); is {
			format = value
		}
	}
}

// readDumb reads the list of a server that gives files only (gitprotocol-http(5), "dumb"): lines of ID, tab, name.
func (h *Heads) readDumb(ctx context.Context, base string, list io.Reader, q *question) error {
	head := ""
	if _, wanted := q.found["HEAD"]; wanted {
		resp, err := h.send(ctx, http.MethodGet, base+"/HEAD", "")
		if err != nil {
			return err
		}
		defer finish(resp)
		text, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
		if err != nil {
			return transferred(ctx, err)
		}
		content := strings.TrimSpace(string(text))
		q.note(content, "HEAD") // detached
		head, _ = strings.CutPrefix(content, "ref: ")
	}
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		sha, ref, ok := strings.Cut(lines.Text(), "\t")
		if !ok || !isHash(sha) {
			return errOther
		}
		done := q.note(sha, ref)
		if ref == head {
			done = q.note(sha, "HEAD")
		}
		if done {
			return nil
		}
	}
	return transferred(ctx, lines.Err())
}

// limit is the time limit of one request with its answer.
func (h *Heads) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, h.o.Timeout, &lateError{h.o.Timeout})
}

type lateError struct{ limit time.Duration }

func (e *lateError) Error() string { return fmt.Sprintf("no answer within %s", e.limit) }

// send makes a request and gives the answer when it is a good one.
func (h *Heads) send(ctx context.Context, method, address, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		return nil, errors.New("this address cannot be asked")
	}
	req.Header.Set("Git-Protocol", "version=2")
	req.Header.Set("User-Agent", "git/caur")
	client := h.client
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-git-upload-pack-request")
		req.Header.Set("Accept", resultType)
		// A followed redirect would turn the POST into a GET.
		plain := *client
		plain.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		client = &plain
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, transferred(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer finish(resp)
		return nil, &statusError{resp.StatusCode, retryAfter(resp)}
	}
	return resp, nil
}

// finish makes the connection of an answer free again when little of it is left to read.
func finish(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, maxLeftover)
	_ = resp.Body.Close()
}

func mediaType(resp *http.Response) string {
	kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	return strings.TrimSpace(kind)
}

// statusError is an answer that is no success.
type statusError struct {
	status int
	wait   time.Duration // that the server wants before the next try; 0 when it does not say
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("HTTP status %d %s", e.status, http.StatusText(e.status))
	if e.wait > 0 {
		text += fmt.Sprintf(", to be asked again in %s", e.wait)
	}
	return e.Unwrap().Error() + ": " + text
}

// Unwrap gives the kind of failure.
func (e *statusError) Unwrap() error {
	switch {
	case e.passes():
		return ErrUnreachable
	case e.status == http.StatusUnauthorized || e.status == http.StatusForbidden:
		return ErrAuth // GitHub says this of a repository that does not exist
	case e.status == http.StatusNotFound || e.status == http.StatusGone:
		return ErrNotFound
	}
	return errOther
}

// passes says whether it may be better later.
func (e *statusError) passes() bool {
	return e.status == http.StatusTooManyRequests || e.status == http.StatusRequestTimeout || e.status >= 500 ||
		e.status == http.StatusForbidden && e.wait > 0
}

func retryAfter(resp *http.Response) time.Duration {
	value := resp.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 {
		return min(time.Duration(seconds), 1<<30) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// transferred explains an error of a connection. Errors of net/http hold the whole address: they are taken apart.
func transferred(ctx context.Context, err error) error {
	var refused *refusal
	var wrong *redirects.Error
	var late *lateError
	switch {
	case err == nil:
		return nil
	case errors.As(context.Cause(ctx), &late):
		return fmt.Errorf("%w: %w", ErrUnreachable, late)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &wrong):
		return wrong
	case errors.As(err, &refused) || errors.Is(err, errOther):
		return err
	}
	var address *url.Error
	if errors.As(err, &address) {
		err = address.Err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

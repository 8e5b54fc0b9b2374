package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/caur-build/caur/internal/redirects"
)

// HeadQuery asks for the newest commit of a branch.
type HeadQuery struct {
	URL string
	Ref string // name of a branch, or a full name below refs/; "" is the remote's HEAD
}

// HeadAnswer is what a remote says.
type HeadAnswer struct {
	SHA string
	Err error // ErrNotFound, ErrAuth, ErrUnreachable or another; names the remote without credentials
}

// HeadsOptions of NewHeads; the zero value is ready to use.
type HeadsOptions struct {
	HTTP     *http.Client  // its Transport is used, and closed by Close; nil: one of our own
	Total    int           // connections at once; 0: 64
	PerHost  int           // of these to one host; 0: 16
	Programs int           // git processes at once, for what is not HTTP; 0: 8
	Timeout  time.Duration // of one request or process; 0: 20 seconds
	Tries    int           // of what may pass by itself; 0: 3
	Wait     time.Duration // before the second try, then growing; 0: 1 second
}

// deadAfter is how many unanswered questions in a row make a host dead for the rest of the life of Heads. Without it a
// hundred packages from one host that does not answer would each wait for their own time limit.
const deadAfter = 3

// Heads looks up heads of remote repositories without a process each: git's protocol version 2 over HTTP, the refs of a
// repository in one request, connections kept alive. It is for several goroutines.
type Heads struct {
	o        HeadsOptions
	client   *http.Client
	total    *semaphore.Weighted
	programs *semaphore.Weighted
	open     atomic.Int64 // connections of our own transport

	mu    sync.Mutex
	hosts map[string]*host
}

// host is what is known of one server.
type host struct {
	slots  *semaphore.Weighted
	asks   atomic.Bool  // it wants the capability advertisement to be asked for first
	silent atomic.Int32 // questions in a row that it did not answer
}

// NewHeads makes one. Close it when it is not needed any more.
func NewHeads(o HeadsOptions) *Heads {
	o.Total = defaultTo(o.Total, 64)
	o.PerHost = min(defaultTo(o.PerHost, 16), o.Total)
	o.Programs = defaultTo(o.Programs, 8)
	o.Timeout = defaultTo(o.Timeout, 20*time.Second)
	o.Tries = defaultTo(o.Tries, 3)
	o.Wait = defaultTo(o.Wait, time.Second)
	h := &Heads{
		o: o, hosts: map[string]*host{},
		total: semaphore.NewWeighted(int64(o.Total)), programs: semaphore.NewWeighted(int64(o.Programs)),
	}
	h.client = &http.Client{Transport: h.transport(), CheckRedirect: redirects.AtMost(maxRedirects)}
	if o.HTTP != nil {
		h.client.Transport = o.HTTP.Transport
	}
	return h
}

func defaultTo[T int | time.Duration](v, standard T) T {
	if v <= 0 {
		return standard
	}
	return v
}

// transport keeps connections alive, but never more than Total: those in use are bounded by our own slots, and before
// one is added to a full house the idle ones go.
func (h *Heads) transport() *http.Transport {
	dialer := &net.Dialer{Timeout: h.o.Timeout, KeepAlive: 30 * time.Second}
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: h.o.Timeout,
		MaxIdleConns: h.o.Total, MaxIdleConnsPerHost: h.o.PerHost, MaxConnsPerHost: h.o.PerHost, IdleConnTimeout: 30 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if h.open.Add(1) > int64(h.o.Total) {
			t.CloseIdleConnections()
		}
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			h.open.Add(-1)
			return nil, err
		}
		return &counted{Conn: conn, open: &h.open}, nil
	}
	return t
}

type counted struct {
	net.Conn
	once sync.Once
	open *atomic.Int64
}

func (c *counted) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// Close lets go of the kept connections.
func (h *Heads) Close() { h.client.CloseIdleConnections() }

// question is all that is asked of one remote.
type question struct {
	address string
	refs    []string // full names and HEAD, each once
	found   map[string]string
	err     error // of the whole question
}

// Lookup asks all of these at once, each remote once. The answers are in the order of the questions.
func (h *Heads) Lookup(ctx context.Context, queries []HeadQuery) []HeadAnswer {
	answers := make([]HeadAnswer, len(queries))
	byURL := map[string]*question{}
	for i, q := range queries {
		ref, err := fullRef(q.Ref)
		if err != nil {
			answers[i].Err = fmt.Errorf("%s: %w", shown(q.URL), err)
			continue
		}
		one := byURL[q.URL]
		if one == nil {
			one = &question{address: q.URL, found: map[string]string{}}
			byURL[q.URL] = one
		}
		if _, there := one.found[ref]; !there {
			one.found[ref] = ""
			one.refs = append(one.refs, ref)
		}
	}
	var wg sync.WaitGroup
	for _, one := range byURL {
		wg.Go(func() { h.ask(ctx, one) })
	}
	wg.Wait()
	for i, q := range queries {
		if answers[i].Err == nil {
			answers[i] = byURL[q.URL].answer(q)
		}
	}
	return answers
}

func (q *question) answer(query HeadQuery) HeadAnswer {
	ref, _ := fullRef(query.Ref) // was right before
	switch {
	case q.err != nil:
		return HeadAnswer{Err: fmt.Errorf("%s: %w", shown(q.address), q.err)}
	case q.found[ref] == "":
		return HeadAnswer{Err: fmt.Errorf("%s: it has no %s: %w", shown(q.address), ref, ErrNotFound)}
	}
	return HeadAnswer{SHA: q.found[ref]}
}

// note takes over what a remote says of a ref; it tells whether all that was asked for is known.
func (q *question) note(sha, ref string) (complete bool) {
	if known, wanted := q.found[ref]; !wanted || known != "" || !isHash(sha) {
		return false
	}
	q.found[ref] = sha
	return q.complete()
}

func (q *question) complete() bool {
	for _, sha := range q.found {
		if sha == "" {
			return false
		}
	}
	return true
}

func (q *question) forget() {
	for ref := range q.found {
		q.found[ref] = ""
	}
}

func (h *Heads) ask(ctx context.Context, q *question) {
	defer func() {
		if p := recover(); p != nil {
			q.err = fmt.Errorf("asking for its refs failed: %v", p)
		}
	}()
	kind, name, err := remoteKind(q.address)
	if err != nil {
		q.err = err
		return
	}
	at := h.host(kind + name)
	slots := []*semaphore.Weighted{at.slots, h.total}
	if kind == byProgram {
		slots = []*semaphore.Weighted{at.slots, h.programs}
	}
	for _, s := range slots {
		if err := s.Acquire(ctx, 1); err != nil {
			q.err = context.Cause(ctx)
			return
		}
		defer s.Release(1)
	}
	if name != "" && at.silent.Load() >= deadAfter {
		q.err = fmt.Errorf("%w: %s did not answer %d times in a row, so it was not asked again", ErrUnreachable, name, deadAfter)
		return
	}
	if kind == byProgram {
		q.err = h.askProgram(ctx, q)
	} else {
		q.err = h.askHTTP(ctx, at, q)
	}
	if silent(q.err) {
		at.silent.Add(1)
	} else if ctx.Err() == nil {
		at.silent.Store(0)
	}
}

func (h *Heads) host(name string) *host {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.hosts[name]
	if at == nil {
		at = &host{slots: semaphore.NewWeighted(int64(h.o.PerHost))}
		h.hosts[name] = at
	}
	return at
}

// silent says whether an error is about the host: it gives no answer, or wants to be left alone. An answer that one
// repository is broken is not.
func silent(err error) bool {
	var status *statusError
	if errors.As(err, &status) {
		return status.status == http.StatusTooManyRequests || status.status == http.StatusServiceUnavailable
	}
	return errors.Is(err, ErrUnreachable)
}

// refName is what git-check-ref-format(1) lets pass, without the rules that have no harm in a question.
var refName = regexp.MustCompile(`^[^\x00-\x20\x7f~^:?*\[\\]+$`)

// fullRef gives the full name of a branch.
func fullRef(name string) (string, error) {
	switch {
	case name == "" || name == "HEAD":
		return "HEAD", nil
	case !refName.MatchString(name) || len(name) > 1024 || strings.HasPrefix(name, "-") || strings.Contains(name, "..") ||
		strings.Contains(name, "@{") || strings.HasSuffix(name, ".lock") || strings.HasSuffix(name, "/") || strings.HasSuffix(name, "."):
		return "", fmt.Errorf("%.80q is no name of a branch", name)
	case strings.HasPrefix(name, "refs/"):
		return name, nil
	}
	return "refs/heads/" + name, nil
}

// How a remote is asked.
const (
	byHTTP    = "http "
	byProgram = "program "
)

var scpAddress = regexp.MustCompile(`^(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?([A-Za-z0-9][A-Za-z0-9.-]*):[^:\s-][^:\s]*$`)

// remoteKind says how to ask a remote, and its host. Everything that would make git run a remote helper is refused:
// TRANSPORT::ADDRESS, and schemes that git has no transport of its own for.
func remoteKind(address string) (kind, name string, err error) {
	refused := func(why string) (string, string, error) {
		return "", "", fmt.Errorf("%s, so it was not asked", why)
	}
	if address == "" || strings.HasPrefix(address, "-") || strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return refused("this is no address of a repository")
	}
	if !strings.Contains(address, "://") {
		if m := scpAddress.FindStringSubmatch(address); m != nil {
			return byProgram, m[1], nil
		}
		if filepath.IsAbs(address) {
			return byProgram, "", nil
		}
		return refused("this is no address of a repository that git itself can reach")
	}
	u, err := url.Parse(address)
	if err != nil {
		return refused("this address cannot be read")
	}
	if strings.HasPrefix(u.Host, "-") || strings.HasPrefix(u.User.Username(), "-") {
		return refused("this address holds an option of a program")
	}
	if _, with := u.User.Password(); with && u.Scheme != "http" && u.Scheme != "https" {
		return refused("its scheme takes no password")
	}
	switch u.Scheme {
	case "http", "https":
		if u.Host == "" {
			return refused("this address names no host")
		}
		return byHTTP, u.Host, nil
	case "git", "ssh", "git+ssh", "ssh+git", "file":
		if strings.HasPrefix(address, u.Scheme+"://") { // not git::TRANSPORT://…
			return byProgram, u.Host, nil
		}
	}
	return refused("its scheme " + u.Scheme + " needs a program besides git")
}

// shown is an address as errors show it: without credentials and query.
func shown(address string) string {
	address, _, _ = strings.Cut(address, "?")
	address, _, _ = strings.Cut(address, "#")
	return scrub(address)
}

// refWriter takes the output of git ls-remote line by line, and keeps only what was asked for.
type refWriter struct {
	q    *question
	rest []byte
}

func (w *refWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			if len(w.rest)+len(p) > maxPacket {
				return 0, errors.New("git ls-remote printed a line without end")
			}
			w.rest = append(w.rest, p...)
			break
		}
		w.rest = append(w.rest, p[:end]...)
		if sha, ref, ok := strings.Cut(string(w.rest), "\t"); ok {
			w.q.note(sha, ref)
		}
		w.rest, p = w.rest[:0], p[end+1:]
	}
	return n, nil
}

// askProgram asks with the git program, for git://, ssh:// and local repositories.
func (h *Heads) askProgram(ctx context.Context, q *question) error {
	ctx, cancel := h.limit(ctx)
	defer cancel()
	clean, secrets := separate(q.address)
	args := append([]string{"ls-remote", "-q", "--", clean}, q.refs...)
	c := command{args: args, secrets: secrets}
	child := c.child()
	child.Stdout = &refWriter{q: q}
	err := c.run(ctx, child)
	var late *lateError
	if err != nil && errors.As(context.Cause(ctx), &late) {
		return fmt.Errorf("%w: %w", ErrUnreachable, late)
	}
	return err
}

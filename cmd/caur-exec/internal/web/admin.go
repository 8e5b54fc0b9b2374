package web

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/pkg/queue"
)

const (
	sessionCookie = "caur_admin"
	sessionTime   = 12 * time.Hour
	wrongTokens   = 10 // a minute, from everywhere: a token is never guessed, and never looked for quickly
	auditShown    = 200
)

// admin checks who may change the queue. Its sessions are signed with the token: they need no memory, and a new token
// ends them all.
type admin struct {
	token   [sha256.Size]byte
	key     [sha256.Size]byte
	enabled bool
	now     func() time.Time
	cross   *http.CrossOriginProtection

	mu     sync.Mutex
	wrong  int
	minute time.Time
}

var (
	errToken   = errors.New("the administrator's token is missing or wrong")
	errTooMany = errors.New("too many wrong tokens, try again in a minute")
)

func newAdmin(token settings.Secret) *admin {
	return &admin{token: sha256.Sum256([]byte(token.Reveal())), key: sha256.Sum256([]byte("caur web session\x00" + token.Reveal())),
		enabled: !token.IsZero(), now: time.Now, cross: http.NewCrossOriginProtection()}
}

// checkToken compares in constant time; too many wrong ones lock everybody out for the rest of a minute.
func (a *admin) checkToken(token string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := a.now(); now.Sub(a.minute) >= time.Minute {
		a.minute, a.wrong = now, 0
	}
	if a.wrong >= wrongTokens {
		return errTooMany
	}
	sum := sha256.Sum256([]byte(token)) // of one length, so that the comparison tells nothing about the token's
	if !a.enabled || subtle.ConstantTimeCompare(sum[:], a.token[:]) != 1 {
		a.wrong++
		return errToken
	}
	return nil
}

func (a *admin) sign(expires string) string {
	mac := hmac.New(sha256.New, a.key[:])
	mac.Write([]byte(expires))
	return hex.EncodeToString(mac.Sum(nil))
}

// session makes a cookie. It has no path: that of the page is right below every reverse proxy.
func (a *admin) session(r *http.Request) *http.Cookie {
	expires := strconv.FormatInt(a.now().Add(sessionTime).Unix(), 10)
	return &http.Cookie{Name: sessionCookie, Value: expires + "." + a.sign(expires), MaxAge: int(sessionTime.Seconds()), HttpOnly: true,
		SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https"}
}

// loggedIn says whether a request carries a session that is valid.
func (a *admin) loggedIn(r *http.Request) bool {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil || !a.enabled {
		return false
	}
	expires, mac, _ := strings.Cut(cookie.Value, ".")
	end, err := strconv.ParseInt(expires, 10, 64)
	return err == nil && hmac.Equal([]byte(mac), []byte(a.sign(expires))) && a.now().Unix() < end
}

// ownForm says whether a form came from a page of this site: a browser says so in one of two headers, and what has
// neither is no browser that got the cookie from us.
func (a *admin) ownForm(r *http.Request) bool {
	return (r.Header.Get("Sec-Fetch-Site") != "" || r.Header.Get("Origin") != "") && a.cross.Check(r) == nil
}

// actionRequest is what the API takes.
type actionRequest struct {
	Target   string `json:"target"`             // a job id, a task id or a builder's name
	Priority int    `json:"priority,omitempty"` // for prioritise
}

// actionBody is what it answers.
type actionBody struct {
	Action string `json:"action"`
	Target string `json:"target"`
	Result string `json:"result"`
}

var errAction = errors.New("not an action: cancel, retry, release, prioritise, drain, undrain")

var targetSyntax = regexp.MustCompile(`^[\x21-\x7e][\x20-\x7e]{0,599}$`)

// act does what an administrator asks for, and writes down that it was asked for and what became of it.
func (s *Server) act(ctx context.Context, actor, action string, req actionRequest) error {
	if !targetSyntax.MatchString(req.Target) {
		return fmt.Errorf("%w; target: not a job or builder", errAction)
	}
	q := s.opt.Control
	var err error
	shown := action
	switch action {
	case "cancel":
		err = q.Cancel(ctx, req.Target)
	case "retry":
		_, err = q.RetryEnded(ctx, req.Target)
	case "release":
		err = q.Release(ctx, req.Target)
	case "prioritise":
		shown = fmt.Sprintf("prioritise %d", req.Priority)
		err = q.Prioritise(ctx, req.Target, req.Priority)
	case "drain", "undrain":
		err = q.Drain(ctx, req.Target, action == "drain")
	default:
		return errAction
	}
	s.opt.Queue.forget()
	entry := queue.AuditEntry{Actor: actor, Action: shown, Target: req.Target, Result: "done"}
	if err != nil {
		entry.Result = err.Error()
	}
	s.opt.Log.Info("administrator", "actor", actor, "action", shown, "target", req.Target, "error", err)
	if auditErr := q.Audit(ctx, entry); auditErr != nil {
		return errors.Join(err, auditErr)
	}
	return err
}

// actor says who asks, as far as that is known.
func actor(r *http.Request, how string) string {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	if via := r.Header.Get("X-Forwarded-For"); via != "" {
		host += " for " + via
	}
	return how + " from " + host
}

// refuse answers for an error of the administrator's routes.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var bad *http.MaxBytesError
	switch {
	case errors.Is(err, errToken):
		w.Header().Set("WWW-Authenticate", `Bearer realm="caur"`)
		text(w, http.StatusUnauthorized, err.Error())
	case errors.Is(err, errTooMany):
		w.Header().Set("Retry-After", "60")
		text(w, http.StatusTooManyRequests, err.Error())
	case errors.Is(err, errAction), errors.As(err, &bad):
		text(w, http.StatusBadRequest, err.Error())
	case errors.Is(err, queue.ErrNotFound):
		text(w, http.StatusNotFound, err.Error())
	default:
		s.unavailable(w, r, err)
	}
}

func (s *Server) bearer(r *http.Request) error {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return s.admin.checkToken(token)
}

// adminAPI does one action. The token is in a header, which no form of another site can set.
func (s *Server) adminAPI(w http.ResponseWriter, r *http.Request) {
	if err := s.bearer(r); err != nil {
		s.refuse(w, r, err)
		return
	}
	var req actionRequest
	in := json.NewDecoder(r.Body)
	in.DisallowUnknownFields()
	if err := in.Decode(&req); err != nil {
		text(w, http.StatusBadRequest, "the body is not such a request: JSON with target, and priority for prioritise")
		return
	}
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		text(w, http.StatusBadRequest, "more than one request in the body")
		return
	}
	action := r.PathValue("action")
	if err := s.act(r.Context(), actor(r, "API"), action, req); err != nil {
		s.refuse(w, r, err)
		return
	}
	s.answerJSON(w, r, actionBody{action, req.Target, "done"})
}

func (s *Server) auditJSON(w http.ResponseWriter, r *http.Request) {
	if err := s.bearer(r); err != nil {
		s.refuse(w, r, err)
		return
	}
	entries, err := s.opt.Control.AuditLog(r.Context(), auditShown)
	if err != nil {
		s.unavailable(w, r, err)
		return
	}
	if entries == nil {
		entries = []queue.AuditEntry{}
	}
	s.answerJSON(w, r, entries)
}

func (s *Server) adminPage(w http.ResponseWriter, r *http.Request) {
	data := struct {
		Head
		Audit []queue.AuditEntry
	}{Head: s.head(r, "Administration", "admin")}
	if data.Admin {
		var err error
		if data.Audit, err = s.opt.Control.AuditLog(r.Context(), auditShown); err != nil {
			s.unavailable(w, r, err)
			return
		}
	}
	s.render(w, r, "admin.html", data)
}

// backSyntax is where a form may lead: a page of this site, relative.
var backSyntax = regexp.MustCompile(`^(?:\./|[a-z]+\.html(?:\?[A-Za-z0-9=&%._+-]*)?)$`)

// adminForm takes the forms of pages.
func (s *Server) adminForm(w http.ResponseWriter, r *http.Request) {
	if !s.admin.ownForm(r) {
		text(w, http.StatusForbidden, "this form came from another site")
		return
	}
	if err := r.ParseForm(); err != nil {
		text(w, http.StatusBadRequest, "not a form of this site")
		return
	}
	form := r.PostForm
	back := form.Get("back")
	if !backSyntax.MatchString(back) {
		back = "admin.html"
	}
	switch action := form.Get("action"); {
	case action == "login":
		if err := s.admin.checkToken(form.Get("token")); err != nil {
			s.refuse(w, r, err)
			return
		}
		http.SetCookie(w, s.admin.session(r))
	case !s.admin.loggedIn(r):
		s.refuse(w, r, errToken)
		return
	case action == "logout":
		http.SetCookie(w, &http.Cookie{Name: sessionCookie, MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	default:
		priority, err := strconv.Atoi(form.Get("priority"))
		if err != nil && form.Get("priority") != "" {
			err = fmt.Errorf("%w; priority: not a number", errAction)
		} else {
			err = s.act(r.Context(), actor(r, "page"), action, actionRequest{form.Get("target"), priority})
		}
		if err != nil {
			s.refuse(w, r, err)
			return
		}
	}
	w.Header().Set("Location", back) // relative; http.Redirect would make it absolute
	w.WriteHeader(http.StatusSeeOther)
}

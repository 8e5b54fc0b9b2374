package forge

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ErrHeadMoved says that a request holds another commit than the one that was to be merged.
var ErrHeadMoved = errors.New("the branch has moved since it was looked at; read the request again")

// errConflict says that the branch has an open request already.
var errConflict = errors.New("the branch has an open request")

// MissingError names the settings without which there is no forge. Nothing was asked.
type MissingError struct {
	Variables []string // names of environment variables, all of which are needed
	Forge     string   // "" when it is not known which one
}

func (e *MissingError) Error() string {
	if e.Forge == "" {
		return "no forge for review requests: set CI_PROJECT_ID, CI_API_V4_URL and ACCESS_TOKEN (GitLab), or " +
			"GITHUB_REPOSITORY and ACCESS_TOKEN (GitHub)"
	}
	return fmt.Sprintf("review requests on %s need %s: set it in the settings of the pipeline", e.Forge, strings.Join(e.Variables, " and "))
}

// LimitError says that the forge asks to wait longer than a run may.
type LimitError struct {
	Host  string
	Until time.Time
	Wait  time.Duration
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("the rate limit of %s is used up until %s (%v), longer than this run may wait; the next run goes on",
		e.Host, e.Until.UTC().Format(time.RFC3339), e.Wait.Round(time.Second))
}

// StatusError is a refusal of the forge.
type StatusError struct {
	Status  int
	Method  string
	Path    string // of the URL; no query
	Message string // of the forge, shortened, one line
	Hint    string // what to do about it, "" when that is not known
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s %s: %d", e.Method, e.Path, e.Status)
	if e.Message != "" {
		text += " " + e.Message
	}
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	return text
}

// status gives the status of a refusal, 0 when err is none.
func status(err error) int {
	var refused *StatusError
	if errors.As(err, &refused) {
		return refused.Status
	}
	return 0
}

// unsure reports whether a request that failed so may have been acted on.
func unsure(err error) bool {
	var refused *StatusError
	var limit *LimitError
	switch {
	case errors.As(err, &refused):
		return refused.Status >= http.StatusInternalServerError
	case errors.As(err, &limit):
		return false
	}
	return true
}

// refusal describes an answer that is none; message is what the library made of it.
func (t *transport) refusal(resp *http.Response, message, hint string) error {
	e := &StatusError{Status: resp.StatusCode, Hint: hint}
	if resp.Request != nil {
		e.Method, e.Path = resp.Request.Method, resp.Request.URL.Path
	}
	if secret := t.token.Reveal(); secret != "" {
		message = strings.ReplaceAll(message, secret, "***")
	}
	e.Message = oneLine(message)
	return e
}

// withoutQuery takes from an error of net/http the parts of the URL that may hold secrets.
func withoutQuery(err error) error {
	var failed *url.Error
	if !errors.As(err, &failed) {
		return err
	}
	where := "the forge"
	if u, parseErr := url.Parse(failed.URL); parseErr == nil {
		where = (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
	}
	return fmt.Errorf("%s %s: %w", failed.Op, where, failed.Err)
}

// oneLine makes the text of a server fit for a log.
func oneLine(text string) string {
	const most = 300
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if len(text) <= most {
		return text
	}
	end := most
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

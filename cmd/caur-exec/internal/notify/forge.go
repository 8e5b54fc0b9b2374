package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/pkg/queue"
)

// status is what a forge shows beside a commit for one package.
type status struct {
	SHA         string    `json:"sha"`
	Pipeline    string    `json:"pipeline,omitempty"`
	Context     string    `json:"context"`
	State       string    `json:"state"` // of GitLab
	Description string    `json:"description"`
	TargetURL   string    `json:"target_url"`
	Time        time.Time `json:"time"`
}

// ends says that nothing more comes of this run: a later status begins a new one.
func (s status) ends() bool { return s.State != "pending" && s.State != "running" }

// describe gives state and description of an event, as executor.md section 6 words them; ok is false for events that change neither.
func describe(e queue.Event) (state, description string, ok bool) {
	switch e.Kind {
	case queue.EventQueued:
		return "pending", "Waiting for builder...", true
	case queue.EventStarted:
		return "running", "Build in progress...", true
	case queue.EventRequeued:
		if strings.Contains(e.Message, "shuts down") {
			return "canceled", "Builder shutdown requested.", true
		}
		return "canceled", "Build canceled.", true // the lease ran out, or the builder asks for another try
	case queue.EventEnded:
	default:
		return "", "", false
	}
	switch e.Status {
	case queue.Success:
		return "success", "Package successfully deployed.", true
	case queue.AlreadyBuilt:
		return "canceled", "Build skipped because package was already built.", true
	case queue.Skipped:
		return "canceled", "Build skipped intentionally via build tools.", true
	case queue.TimedOut:
		return "failed", "Build timed out.", true
	case queue.Canceled:
		if strings.Contains(e.Message, "replaced") {
			return "canceled", "Build canceled and replaced.", true
		}
		return "canceled", "Build canceled.", true
	}
	return "failed", "Build failed.", true
}

// forge sends the commit statuses of one source repo.
type forge struct {
	kind      string // gitlab, github
	endpoint  string // address up to the commit
	token     settings.Secret
	checkName string
	client    *http.Client
}

// statuses are what an event says to the forge, oldest first: a job that was given back ends for the forge and waits anew, because GitLab lets nothing
// that runs wait again.
func (f *forge) statuses(e queue.Event, links links) []status {
	if e.Job == nil {
		return nil
	}
	sha, pipeline, _ := strings.Cut(e.Job.Commit, ":")
	log := links.log(*e.Job)
	state, description, ok := describe(e)
	if !ok || sha == "" || log == "" {
		return nil
	}
	s := status{SHA: sha, Pipeline: pipeline, State: state, Description: description, TargetURL: log, Time: e.Time,
		Context: strings.ReplaceAll(f.checkName, "%pkgbase%", e.Job.Pkgbase)}
	if e.Kind != queue.EventRequeued {
		return []status{s}
	}
	again := s
	again.State, again.Description, _ = describe(queue.Event{Kind: queue.EventQueued})
	return []status{s, again}
}

// entries are the statuses of an event as entries for the outbox.
func (f *forge) entries(target string, e queue.Event, links links) []entry {
	var all []entry
	for _, s := range f.statuses(e, links) {
		k := replaceable
		if s.ends() {
			k = final
		}
		all = append(all, newEntry(target, s.SHA+"/"+s.Pipeline+"/"+strings.ReplaceAll(s.Context, "#", "%23"), k, s))
	}
	return all
}

// send posts one status.
func (f *forge) send(ctx context.Context, s status) error {
	body, header := f.gitlab(s)
	if f.kind == "github" {
		body, header = f.github(s)
	}
	header.Set("Content-Type", "application/json")
	answer, err := postJSON(ctx, f.client, f.endpoint+url.PathEscape(s.SHA), header, body)
	var refused *sendError
	if f.kind == "gitlab" && errors.As(err, &refused) && refused.code == http.StatusBadRequest && bytes.Contains(answer, []byte("Cannot transition status")) {
		return nil // it has this state, or a later one: the status was sent before and the answer lost
	}
	return err
}

func (f *forge) gitlab(s status) (any, http.Header) {
	body := map[string]any{"state": s.State, "context": s.Context, "target_url": s.TargetURL, "description": s.Description}
	if id, err := strconv.ParseInt(s.Pipeline, 10, 64); err == nil {
		body["pipeline_id"] = id
	}
	return body, http.Header{"Private-Token": {f.token.Reveal()}}
}

// GitHub knows neither running nor canceled: what was not built because it need not be is a success.
func (f *forge) github(s status) (any, http.Header) {
	state := map[string]string{"pending": "pending", "running": "pending", "success": "success", "failed": "failure"}[s.State]
	switch {
	case state != "":
	case strings.HasPrefix(s.Description, "Build skipped"):
		state = "success"
	default:
		state = "error"
	}
	header := http.Header{"Authorization": {"Bearer " + f.token.Reveal()}, "Accept": {"application/vnd.github+json"}, "X-Github-Api-Version": {"2022-11-28"}}
	return map[string]any{"state": state, "context": s.Context, "target_url": s.TargetURL, "description": s.Description}, header
}

// sendError is why a message was not taken.
type sendError struct {
	code   int // of HTTP; 0 when no answer came
	final  bool
	after  time.Duration // the target asked to be left alone so long
	reason string
}

func (e *sendError) Error() string { return e.reason }

const maxAnswer = 64 << 10

// postJSON sends and judges the answer. The error names the host, never the rest of the address.
func postJSON(ctx context.Context, client *http.Client, address string, header http.Header, body any) ([]byte, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode a message: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(data))
	if err != nil {
		return nil, errors.New("the address of a target is not one") // the text of the error holds it
	}
	for name, values := range header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", "caur")
	res, err := client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, &sendError{reason: fmt.Sprintf("post to %s: %v", req.URL.Host, err)}
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, &sendError{reason: fmt.Sprintf("post to %s: read the answer: %v", req.URL.Host, err)}
	}
	if res.StatusCode/100 == 2 {
		return answer, nil
	}
	return answer, &sendError{code: res.StatusCode, final: hopeless(res.StatusCode), after: retryAfter(res.Header),
		reason: fmt.Sprintf("post to %s: %s: %s", req.URL.Host, res.Status, excerpt(answer))}
}

// hopeless: the same message would be refused again. Credentials (401, 403, 407) can be mended, and so can the rest.
func hopeless(code int) bool {
	switch code {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone, http.StatusRequestEntityTooLarge,
		http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// retryAfter reads Retry-After, and of GitHub the time when its limit is lifted.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil {
		if when, err := http.ParseTime(h.Get("Retry-After")); err == nil {
			return time.Until(when)
		}
		if h.Get("X-Ratelimit-Remaining") == "0" {
			if unix, err := strconv.ParseInt(h.Get("X-Ratelimit-Reset"), 10, 64); err == nil {
				return time.Until(time.Unix(unix, 0))
			}
		}
		return 0
	}
	return time.Duration(seconds) * time.Second
}

func excerpt(answer []byte) string {
	return shorten(strings.Join(strings.Fields(strings.ToValidUTF8(string(answer), "")), " "), 200)
}

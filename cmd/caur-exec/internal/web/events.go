package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/history"
	"github.com/caur-build/caur/pkg/queue"
)

// heartbeat keeps proxies from closing a quiet stream of events, and finds clients that have gone.
const heartbeat = 15 * time.Second

var eventSyntax = regexp.MustCompile(`^[0-9]{1,16}(-[0-9]{1,16})?$`)

// eventBody is one event for front ends.
type eventBody struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind"`
	Time     time.Time `json:"time"`
	JobID    string    `json:"job_id,omitempty"`
	Pkgbase  string    `json:"pkgbase,omitempty"`
	Job      int64     `json:"timestamp,omitempty"` // of the job: names its log
	Builder  string    `json:"builder,omitempty"`
	Status   *int      `json:"status,omitempty"` // of "ended": numbers of the executor
	Message  string    `json:"message,omitempty"`
	Seconds  float64   `json:"seconds,omitempty"` // that the build took
	FailedBy string    `json:"failure,omitempty"` // class of the failure
}

func eventOf(e queue.Event) eventBody {
	body := eventBody{ID: e.ID, Kind: string(e.Kind), Time: e.Time.UTC(), JobID: e.JobID, Builder: e.Builder, Message: e.Message, Seconds: e.Duration.Seconds()}
	if e.Job != nil {
		body.Pkgbase, body.Job = e.Job.Pkgbase, e.Job.Timestamp
	}
	if e.Kind == queue.EventEnded {
		status := int(e.Status)
		body.Status = &status
	}
	if e.Failure != nil {
		body.FailedBy = e.Failure.Class
	}
	return body
}

// events sends what happens to jobs from the history's feed: one reader of Redis serves all. Each client takes events at its
// own pace; one that does not read is dropped, one that fell far behind is told of a gap.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	after := r.Header.Get("Last-Event-ID")
	if after == "" {
		after = r.URL.Query().Get("after")
	}
	only := r.URL.Query().Get("pkgbase")
	if after != "" && !eventSyntax.MatchString(after) || only != "" && !validName(only) {
		text(w, http.StatusBadRequest, "not an event's ID or a package name")
		return
	}
	if after == "" {
		after = "$"
	}
	if !s.takeSlot(w, s.listeners) {
		return
	}
	defer func() { <-s.listeners }()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no")
	out := newEventWriter(w, s.limits.write)
	out.comment("caur")
	timer := time.NewTimer(heartbeat)
	defer timer.Stop()
	for out.err == nil {
		events, last, gap, more := s.opt.History.Feed(after)
		after = last
		if gap {
			out.event("gap", "", eventBody{Kind: "gap", Time: time.Now().UTC()})
		}
		for _, e := range events {
			if only == "" || e.Job != nil && e.Job.Pkgbase == only {
				out.event(string(e.Kind), e.ID, eventOf(e))
			}
		}
		if len(events) > 0 {
			continue
		}
		select {
		case <-more:
		case <-timer.C:
			out.comment("")
			timer.Reset(heartbeat)
		case <-r.Context().Done():
			return
		case <-s.ending.Done():
			return
		}
	}
}

// takeSlot takes one of a bounded number of places, or answers that there is none.
func (s *Server) takeSlot(w http.ResponseWriter, slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	default:
		w.Header().Del("Content-Length")
		w.Header().Set("Retry-After", "10")
		text(w, http.StatusServiceUnavailable, "too many clients are being served, try again soon")
		return false
	}
}

// eventWriter writes server-sent events. Its first error stays.
type eventWriter struct {
	w     http.ResponseWriter
	out   *http.ResponseController
	limit time.Duration
	err   error
}

func newEventWriter(w http.ResponseWriter, limit time.Duration) *eventWriter {
	return &eventWriter{w: w, out: http.NewResponseController(w), limit: limit}
}

func (e *eventWriter) send(format string, args ...any) {
	if e.err == nil {
		e.err = e.out.SetWriteDeadline(time.Now().Add(e.limit))
	}
	if e.err == nil {
		_, e.err = fmt.Fprintf(e.w, format, args...)
	}
	if e.err == nil {
		e.err = e.out.Flush()
	}
}

func (e *eventWriter) comment(line string) { e.send(": %s\n\n", line) }

// event sends a value as JSON, which has no line breaks of its own.
func (e *eventWriter) event(kind, id string, value any) {
	data, err := json.Marshal(value)
	if err != nil {
		e.err = err
		return
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	e.send("%sevent: %s\ndata: %s\n\n", id, kind, data)
}

// buildBody is a past build for front ends.
type buildBody struct {
	JobID     string    `json:"job_id"`
	Timestamp int64     `json:"timestamp"`
	Builder   string    `json:"builder"`
	Ended     time.Time `json:"ended"`
	Seconds   float64   `json:"seconds"`
	Status    int       `json:"status"`
	Text      string    `json:"status_text"`
	Class     string    `json:"failure,omitempty"`
	Lines     []string  `json:"failure_lines,omitempty"`
}

func buildsOf(builds []*history.Build) []buildBody {
	bodies := make([]buildBody, 0, len(builds))
	for _, b := range builds {
		body := buildBody{JobID: b.Job.ID(), Timestamp: b.Job.Timestamp, Builder: b.Builder, Ended: b.Ended.UTC(), Seconds: b.Duration.Seconds(),
			Status: int(b.Status), Text: b.Status.String(), Class: b.Class()}
		if b.Failure != nil {
			body.Lines = b.Failure.Lines
		}
		bodies = append(bodies, body)
	}
	return bodies
}

func (s *Server) packageJSON(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("pkgbase")
	if _, ok := logKey(w, name, "0"); ok {
		s.answerJSON(w, r, buildsOf(s.opt.History.Package(name)))
	}
}

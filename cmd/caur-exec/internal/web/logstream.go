package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/caur-build/caur/cmd/caur-exec/internal/buildlog"
)

// part is what of a log a client wants: from a byte on, up to another, or to the END with to < 0.
type part struct {
	from, to int64 // to is the first byte that is not wanted
	code     int
}

// errRange says that a log does not reach as far as a client wants.
var errRange = errors.New("the log does not reach that far")

// partOf reads ?offset=N and the header Range with one range. "bytes=N-" of a log that still grows is ignored, as RFC 9110
// allows: it has no length to state. Several ranges and other units are ignored, too.
func partOf(r *http.Request, info buildlog.Info) (part, error) {
	whole := part{0, -1, http.StatusOK}
	if v := r.URL.Query().Get("offset"); v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 0 || n > info.Size {
			return whole, errRange
		}
		return part{n, -1, http.StatusOK}, nil
	}
	spec, isRange := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if !isRange || !dash {
		return whole, nil
	}
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	switch {
	case first == "" && err2 == nil && to >= 0: // the last bytes
		if to == 0 || info.Size == 0 {
			return whole, errRange
		}
		return part{max(0, info.Size-to), info.Size, http.StatusPartialContent}, nil
	case err1 != nil || from < 0 || last != "" && (err2 != nil || to < from):
		return whole, nil
	case last == "" && info.Ended.IsZero():
		return whole, nil
	case from >= info.Size:
		return whole, errRange
	case last == "":
		return part{from, info.Size, http.StatusPartialContent}, nil
	}
	return part{from, min(to+1, info.Size), http.StatusPartialContent}, nil
}

// follow reads a log for a client as long as it and the server live.
func (s *Server) follow(r *http.Request, key buildlog.Key, from int64) (*buildlog.Follower, func(), error) {
	ctx, cancel := context.WithCancel(r.Context())
	release := context.AfterFunc(s.ending, cancel)
	follower, err := s.opt.Logs.Follow(ctx, key, from)
	if err != nil {
		release()
		cancel()
		return nil, nil, err
	}
	return follower, func() {
		_ = follower.Close() // gives no error
		release()
		cancel()
	}, nil
}

// stream sends a part of a log. Each piece goes out at once; a client that does not read it in time is dropped.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, key buildlog.Key, p part) {
	if !s.takeSlot(w, s.streams) {
		return
	}
	defer func() { <-s.streams }()
	follower, done, err := s.follow(r, key, p.from)
	if err != nil {
		w.Header().Del("Content-Length")
		s.noLog(w, r, err)
		return
	}
	defer done()

	out := http.NewResponseController(w)
	w.WriteHeader(p.code)
	for at := p.from; p.to < 0 || at < p.to; {
		if err = out.SetWriteDeadline(time.Now().Add(s.limits.write)); err == nil {
			err = out.Flush()
		}
		if err != nil {
			return // the client has gone
		}
		data, err := follower.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			if p.to >= 0 {
				data = data[:min(int64(len(data)), p.to-at)]
			}
			at += int64(len(data))
			if err = out.SetWriteDeadline(time.Now().Add(s.limits.write)); err == nil {
				_, err = w.Write(data)
			}
		}
		if err != nil {
			s.opt.Log.Debug("log stream ended early", "log", key.String(), "error", err)
			panic(http.ErrAbortHandler) // a normal end would look like the log's
		}
	}
}

// endBody is the event that ends a log.
type endBody struct {
	Status *int `json:"status"` // null when nobody told
}

// streamEvents sends a log as server-sent events: "log" with text as a JSON string, "end" with the job's status. The ID of an
// event is the byte after it, so that Last-Event-ID is where to go on.
func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request, key buildlog.Key, from int64) {
	if !s.takeSlot(w, s.streams) {
		return
	}
	defer func() { <-s.streams }()
	follower, done, err := s.follow(r, key, from)
	if err != nil {
		s.noLog(w, r, err)
		return
	}
	defer done()
	w.Header().Set("Content-Type", sse)
	out := newEventWriter(w, s.limits.write)
	out.comment("log")
	var rest []byte // of a character whose end has not come
	for at := from; out.err == nil; {
		data, err := follower.Next()
		if errors.Is(err, io.EOF) {
			out.event("end", strconv.FormatInt(at, 10), endBody{s.status(r.Context(), key)})
			return
		}
		if err != nil {
			return // the client comes back with the ID of the last event
		}
		data = append(rest[:len(rest):len(rest)], data...)
		whole := wholeRunes(data)
		at += int64(whole)
		rest = append([]byte(nil), data[whole:]...)
		if whole > 0 {
			out.event("log", strconv.FormatInt(at, 10), string(data[:whole]))
		}
	}
}

// wholeRunes gives how much of data does not end within a character.
func wholeRunes(data []byte) int {
	for i := 1; i < utf8.UTFMax && i <= len(data); i++ {
		if b := data[len(data)-i]; utf8.RuneStart(b) {
			if !utf8.FullRune(data[len(data)-i:]) {
				return len(data) - i
			}
			break
		}
	}
	return len(data)
}

// status is how the job of a log ended; nil when nobody told.
func (s *Server) status(ctx context.Context, key buildlog.Key) *int {
	info, err := s.opt.Logs.Info(ctx, key)
	if err != nil || info.Ended.IsZero() {
		return nil
	}
	return &info.Status
}

// timesBody says when a log was how long.
type timesBody struct {
	Size    int64     `json:"size"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	Status  *int      `json:"status,omitempty"` // of the job, once the log has ended
	Marks   [][]int64 `json:"marks"`            // pairs of byte and Unix milliseconds
}

func (s *Server) logTimes(w http.ResponseWriter, r *http.Request) {
	key, ok := logKey(w, r.PathValue("pkgbase"), r.PathValue("timestamp"))
	if !ok {
		return
	}
	info, err := s.opt.Logs.Info(r.Context(), key)
	if err != nil {
		s.noLog(w, r, err)
		return
	}
	marks, err := s.opt.Logs.Times(r.Context(), key)
	if err != nil {
		s.unavailable(w, r, err)
		return
	}
	body := timesBody{Size: info.Size, Started: info.Started.UTC(), Marks: make([][]int64, 0, len(marks))}
	if !info.Ended.IsZero() {
		body.Ended, body.Status = info.Ended.UTC(), &info.Status
	}
	for _, m := range marks {
		body.Marks = append(body.Marks, []int64{m.Offset, m.Time.UnixMilli()})
	}
	s.answerJSON(w, r, body)
}

package web

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"github.com/caur-build/caur/pkg/queue"
)

// shape makes the body of a JSON route from the queue.
type shape struct {
	name string
	of   func(*queue.Snapshot, *Settings) any
}

var (
	stats    = shape{"stats", func(q *queue.Snapshot, s *Settings) any { return statsOf(q, s) }}
	packages = shape{"packages", func(q *queue.Snapshot, _ *Settings) any { return packagesOf(q) }}
	metrics  = shape{"metrics", func(q *queue.Snapshot, _ *Settings) any { return metricsOf(q) }}
)

// queueJSON serves a shape, encoded once for each reading of the queue.
func (s *Server) queueJSON(shape shape) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := s.opt.Queue.get(r.Context())
		if err != nil {
			s.unavailable(w, r, err)
			return
		}
		body, ok := v.json.Load(shape.name)
		if !ok {
			encoded, err := json.Marshal(shape.of(v.queue, &s.opt.Settings))
			if err != nil {
				s.unavailable(w, r, err)
				return
			}
			body, _ = v.json.LoadOrStore(shape.name, encoded)
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Length", strconv.Itoa(len(body.([]byte))))
		_, _ = w.Write(body.([]byte)) // the client may have gone
	}
}

type (
	statsBody struct {
		Active     activeList  `json:"active"`
		Waiting    waitingList `json:"waiting"`
		Idle       idleList    `json:"idle"`
		Publishing waitingList `json:"publishing"` // not in today's
	}
	activeList struct {
		Count    int         `json:"count"`
		Packages []activeJob `json:"packages"`
	}
	activeJob struct {
		Name    string `json:"name"`
		Node    string `json:"node"`
		Class   class  `json:"build_class"`
		LiveLog string `json:"liveLog"`
	}
	waitingList struct {
		Count    int          `json:"count"`
		Packages []waitingJob `json:"packages"`
	}
	waitingJob struct {
		Name  string `json:"name"`
		Class class  `json:"build_class"`
	}
	idleList struct {
		Count int        `json:"count"`
		Nodes []idleNode `json:"nodes"`
	}
	idleNode struct {
		Name  string `json:"name"`
		Class class  `json:"build_class"`
	}
	packageInfo struct {
		Arch      string `json:"arch"`
		Class     class  `json:"build_class"`
		SrcRepo   string `json:"srcrepo"`
		Timestamp int64  `json:"timestamp"`
	}
	counts struct {
		Completed int64 `json:"completed"`
		Failed    int64 `json:"failed"`
	}
	metricsBody struct {
		Builder  counts `json:"builder_queue"`
		Database counts `json:"database_queue"`
	}
)

// class is a number in JSON when it is one, as front ends expect, else the name of a builder. Empty is class 1.
type class string

func (c class) MarshalJSON() ([]byte, error) {
	if c == "" {
		return []byte("1"), nil
	}
	if n, err := strconv.ParseUint(string(c), 10, 32); err == nil {
		return strconv.AppendUint(nil, n, 10), nil
	}
	return json.Marshal(string(c))
}

func statsOf(q *queue.Snapshot, s *Settings) statsBody {
	body := statsBody{ // empty lists, never null: front ends call map on them
		Active:     activeList{len(q.Running), make([]activeJob, 0, len(q.Running))},
		Waiting:    waitingList{len(q.Waiting), make([]waitingJob, 0, len(q.Waiting))},
		Publishing: waitingList{0, []waitingJob{}},
		Idle:       idleList{0, []idleNode{}},
	}
	for _, j := range q.Running {
		body.Active.Packages = append(body.Active.Packages, activeJob{j.Job.ID(), j.Builder, class(j.Job.Class), logLink(s.LogsURL, j.Job)})
	}
	for _, j := range q.Waiting {
		body.Waiting.Packages = append(body.Waiting.Packages, waitingJob{j.Job.ID(), class(j.Job.Class)})
	}
	for _, j := range q.Publishing {
		if j.Job != nil {
			body.Publishing.Packages = append(body.Publishing.Packages, waitingJob{j.Job.ID(), class(j.Job.Class)})
		}
	}
	body.Publishing.Count = len(body.Publishing.Packages)
	for _, b := range q.Builders {
		if b.Busy == 0 {
			body.Idle.Nodes = append(body.Idle.Nodes, idleNode{b.Builder.Name, class(b.Builder.Class)})
		}
	}
	body.Idle.Count = len(body.Idle.Nodes)
	return body
}

func packagesOf(q *queue.Snapshot) []map[string]packageInfo {
	list := make([]map[string]packageInfo, 0, len(q.Running)+len(q.Waiting))
	add := func(j queue.Job) {
		list = append(list, map[string]packageInfo{j.Pkgbase: {j.Arch, class(j.Class), j.SourceRepo, j.Timestamp}})
	}
	for _, j := range q.Running {
		add(j.Job)
	}
	for _, j := range q.Waiting {
		add(j.Job)
	}
	return list
}

func metricsOf(q *queue.Snapshot) metricsBody {
	c := q.Counters
	return metricsBody{counts{c.BuilderCompleted, c.BuilderFailed}, counts{c.DatabaseCompleted, c.DatabaseFailed}}
}

// logLink is the address of a job's log page: below LOGS_URL, or relative to the overview.
func logLink(logsURL string, j queue.Job) string {
	if logsURL == "" {
		logsURL = "logs.html"
	}
	return logsURL + "?timestamp=" + strconv.FormatInt(j.Timestamp, 10) + "&id=" + url.QueryEscape(j.Pkgbase)
}

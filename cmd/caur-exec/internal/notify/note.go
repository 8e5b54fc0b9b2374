package notify

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/caur-build/caur/pkg/queue"
)

// Topic is what a target may choose to hear of.
type Topic string

// The topics.
const (
	TopicSuccess Topic = "success" // a package was deployed
	TopicFailed  Topic = "failed"  // a build or its publishing failed, timed out, or broke
	TopicSkipped Topic = "skipped" // already built, skipped, canceled
	TopicCleanup Topic = "cleanup" // a clean-up ended
	TopicTest    Topic = "test"    // asked for by hand; nobody chooses it
)

var topics = []Topic{TopicSuccess, TopicFailed, TopicSkipped, TopicCleanup}

// Note is what people are told: how a job or a clean-up ended.
type Note struct {
	Topic     Topic          `json:"topic"`
	Status    queue.Status   `json:"status"`
	Repo      string         `json:"repo"`
	Arch      string         `json:"arch,omitempty"`
	Pkgbase   string         `json:"pkgbase,omitempty"`
	Builder   string         `json:"builder,omitempty"`
	Message   string         `json:"message,omitempty"`
	Failure   *queue.Failure `json:"failure,omitempty"`
	Duration  time.Duration  `json:"duration,omitempty"`
	LogURL    string         `json:"log_url,omitempty"`
	CommitURL string         `json:"commit_url,omitempty"`
	Time      time.Time      `json:"time"`
}

// noteOf makes the note of an event that ended something; ok is false for other events.
func noteOf(e queue.Event, links links) (n Note, ok bool) {
	if e.Kind != queue.EventEnded {
		return Note{}, false
	}
	n = Note{Status: e.Status, Builder: e.Builder, Message: e.Message, Failure: e.Failure, Duration: e.Duration, Time: e.Time}
	if e.Cleanup != nil {
		n.Topic, n.Repo, n.Arch = TopicCleanup, e.Cleanup.TargetRepo, e.Cleanup.Arch
		return n, true
	}
	if e.Job == nil {
		return Note{}, false
	}
	switch e.Status {
	case queue.Success:
		n.Topic = TopicSuccess
	case queue.Failed, queue.TimedOut, queue.SoftwareFailure:
		n.Topic = TopicFailed
	default:
		n.Topic = TopicSkipped
	}
	n.Repo, n.Arch, n.Pkgbase = e.Job.TargetRepo, e.Job.Arch, e.Job.Pkgbase
	n.LogURL, n.CommitURL = links.log(*e.Job), links.commit(*e.Job)
	return n, true
}

// links makes the addresses in messages.
type links struct {
	logsURL string
	sources map[string]queue.SourceRepo
	forges  map[string]string // source repo → "github" or "gitlab", where known
}

// log is the page that shows the log of a job; empty without LOGS_URL.
func (l links) log(j queue.Job) string {
	u, err := url.Parse(l.logsURL)
	if l.logsURL == "" || err != nil {
		return ""
	}
	q := u.Query()
	q.Set("timestamp", strconv.FormatInt(j.Timestamp, 10))
	q.Set("id", j.Pkgbase)
	u.RawQuery = q.Encode() // a + in a name becomes %2B: as it stands it would be read as a space
	return u.String()
}

// commit is the page of a commit on its forge; empty where that has none.
func (l links) commit(j queue.Job) string {
	sha, _, _ := strings.Cut(j.Commit, ":")
	web, ok := webURL(l.sources[j.SourceRepo].URL)
	if sha == "" || !ok {
		return ""
	}
	path := "/-/commit/"
	if l.forges[j.SourceRepo] == "github" || l.forges[j.SourceRepo] == "" && web.Hostname() == "github.com" {
		path = "/commit/"
	}
	return web.String() + path + url.PathEscape(sha)
}

// webURL is the page of a repository of which git has an address: without user, password and .git.
func webURL(address string) (*url.URL, bool) {
	if host, path, scp := strings.Cut(address, ":"); scp && !strings.Contains(address, "://") && strings.Contains(host, "@") {
		address = "ssh://" + host + "/" + strings.TrimPrefix(path, "/")
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return nil, false
	}
	web := &url.URL{Scheme: "https", Host: u.Hostname(), Path: strings.TrimSuffix(strings.TrimRight(u.Path, "/"), ".git")}
	switch u.Scheme {
	case "http", "https":
		web.Scheme, web.Host = u.Scheme, u.Host
	case "ssh", "git+ssh", "git":
	default:
		return nil, false
	}
	return web, true
}

// heading is the first line of a message, as executor.md section 6 words it.
func (n Note) heading() string {
	switch {
	case n.Topic == TopicTest:
		return "👋 caur can reach you here"
	case n.Topic == TopicCleanup && n.Status == queue.Success:
		return "✅ Cleanup job for " + n.Repo + " finished successfully"
	case n.Topic == TopicCleanup:
		return "🚫 Cleanup job " + n.Repo + " failed to remove packages"
	}
	switch n.Status {
	case queue.Success:
		return "📣 New deployment to " + n.Repo
	case queue.TimedOut:
		return "⏳ Build for " + n.Repo + " failed due to a timeout"
	case queue.SoftwareFailure:
		return "💥 The code blew up while deploying to " + n.Repo
	case queue.Failed:
		return "🚨 Failed deploying to " + n.Repo
	}
	return "⏭ Not deployed to " + n.Repo + ": " + n.Status.String()
}

// title is a line without pictures: for subjects and lists.
func (n Note) title() string {
	switch n.Topic {
	case TopicTest:
		return "caur: a test"
	case TopicCleanup:
		return fmt.Sprintf("%s: clean-up ended as %s", n.Repo, n.Status)
	}
	title := fmt.Sprintf("%s: %s (%s) %s", n.Repo, n.Pkgbase, n.Arch, n.Status)
	if class := n.class(); class != "" {
		title += ", " + class
	}
	return title
}

func (n Note) class() string {
	if n.Failure == nil || n.Topic != TopicFailed {
		return ""
	}
	return n.Failure.Class
}

func (n Note) lines() []string {
	if n.Failure == nil || n.Topic != TopicFailed {
		return nil
	}
	return n.Failure.Lines
}

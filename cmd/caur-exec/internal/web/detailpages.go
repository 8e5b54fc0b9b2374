package web

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/buildlog"
	"github.com/caur-build/caur/cmd/caur-exec/internal/history"
	"github.com/caur-build/caur/pkg/queue"
)

const (
	maxBuilder   = 200 // bytes of a builder's name
	searchShown  = 100
	builderShown = 100
)

// logPage shows a log in a terminal view. The log itself is fetched by the page's script, or read as plain text.
func (s *Server) logPage(w http.ResponseWriter, r *http.Request) {
	id, stamp := r.URL.Query().Get("id"), r.URL.Query().Get("timestamp")
	if stamp == "" {
		if _, ok := logKey(w, id, "0"); !ok {
			return
		}
		// Settled once: should the page lose its connection, it must go on with the same log.
		newest, err := s.opt.Logs.Newest(r.Context(), id)
		switch {
		case err == nil:
			stamp = strconv.FormatInt(newest.Timestamp, 10)
		case !errors.Is(err, buildlog.ErrNotFound):
			s.unavailable(w, r, err)
			return
		}
	}
	data := struct {
		Head
		Pkgbase, Source string
		Queued          time.Time
	}{Head: s.head(r, "Log of "+id, "log"), Pkgbase: id, Source: "api/logs/" + id}
	if stamp != "" {
		key, ok := logKey(w, id, stamp)
		if !ok {
			return
		}
		data.Source += "/" + strconv.FormatInt(key.Timestamp, 10)
		data.Queued = time.UnixMilli(key.Timestamp).UTC()
	}
	s.render(w, r, "log.html", data)
}

// inRepo is the version of a package in one repository.
type inRepo struct{ Repo, Arch, Version string }

// classCount is how often builds failed for one reason.
type classCount struct {
	Class string
	Count int
}

type packageData struct {
	Head
	Name      string
	Builds    []*history.Build
	Chart     *chart
	Classes   []classCount
	Usual     time.Duration
	Good, Bad int
	Running   []queue.RunningJob
	Waiting   []queue.WaitingJob
	Published []inRepo
	KnowsRepo bool
}

// packagePage shows what is known of a package: where it is, how it was built, how that went.
func (s *Server) packagePage(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	if _, ok := logKey(w, name, "0"); !ok {
		return
	}
	v, err := s.opt.Queue.get(r.Context())
	if err != nil {
		s.unavailable(w, r, err)
		return
	}
	d := packageData{Head: s.head(r, name, "package"), Name: name, Builds: s.opt.History.Package(name), KnowsRepo: s.versions.known()}
	d.Chart = newChart(d.Builds)
	places := map[[2]string]bool{}
	place := func(j queue.Job) { places[[2]string{j.TargetRepo, j.Arch}] = true }
	for _, b := range d.Builds {
		place(b.Job)
		switch {
		case b.Bad():
			d.Bad++
			d.Classes = countClass(d.Classes, b.Class())
		case b.Status == queue.Success:
			d.Good++
			if d.Usual == 0 {
				d.Usual = s.opt.History.Expected(b.Job.Arch, name)
			}
		}
	}
	for _, j := range v.queue.Running {
		if j.Job.Pkgbase == name {
			d.Running = append(d.Running, j)
			place(j.Job)
		}
	}
	for _, j := range v.queue.Waiting {
		if j.Job.Pkgbase == name {
			d.Waiting = append(d.Waiting, j)
			place(j.Job)
		}
	}
	if d.Published, err = s.published(places, name); err != nil {
		s.opt.Log.Warn("the repositories cannot be read for a page", "error", err)
		d.KnowsRepo = false
	}
	s.render(w, r, "package.html", d)
}

func countClass(counts []classCount, class string) []classCount {
	i := slices.IndexFunc(counts, func(c classCount) bool { return c.Class == class })
	if i < 0 {
		return append(counts, classCount{class, 1})
	}
	counts[i].Count++
	return counts
}

func (s *Server) published(places map[[2]string]bool, name string) ([]inRepo, error) {
	var list []inRepo
	for p := range places {
		version, err := s.versions.of(p[0], p[1], name)
		if err != nil {
			return nil, err
		}
		list = append(list, inRepo{p[0], p[1], version})
	}
	slices.SortFunc(list, func(a, b inRepo) int { return strings.Compare(a.Repo+"/"+a.Arch, b.Repo+"/"+b.Arch) })
	return list, nil
}

// builderPage shows a builder: what it does and what it did.
func (s *Server) builderPage(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("name")
	if name == "" || len(name) > maxBuilder || strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c > '~' }) {
		text(w, http.StatusBadRequest, "not a builder's name")
		return
	}
	d, err := s.queueData(r, name, "builder")
	if err != nil {
		s.unavailable(w, r, err)
		return
	}
	d.Runs = slices.DeleteFunc(d.Runs, func(j runningRow) bool { return j.Builder != name })
	d.Recent = s.opt.History.Recent(time.Time{}, builderShown, func(b *history.Build) bool { return b.Builder == name })
	data := struct {
		queueData
		Name      string
		Known     *queue.BuilderState
		Chart     *chart
		Good, Bad int
	}{queueData: d, Name: name, Chart: newChart(d.Recent)}
	for _, b := range d.Recent {
		if b.Bad() {
			data.Bad++
		} else if b.Status == queue.Success {
			data.Good++
		}
	}
	if i := slices.IndexFunc(d.Builders, func(b queue.BuilderState) bool { return b.Builder.Name == name }); i >= 0 {
		data.Known = &d.Builders[i]
	}
	s.render(w, r, "builder.html", data)
}

// failuresPage groups what failed in the last day by why.
func (s *Server) failuresPage(w http.ResponseWriter, r *http.Request) {
	data := struct {
		Head
		Groups     []history.Group
		Total      int
		HistoryErr bool
	}{Head: s.head(r, "Failures of the last 24 hours", "failures"), HistoryErr: s.opt.History.Err() != nil}
	data.Groups = s.opt.History.Failures(data.Now.Add(-day))
	for _, g := range data.Groups {
		data.Total += len(g.Builds)
	}
	s.render(w, r, "failures.html", data)
}

// searchPage looks for packages and builders by name.
func (s *Server) searchPage(w http.ResponseWriter, r *http.Request) {
	v, err := s.opt.Queue.get(r.Context())
	if err != nil {
		s.unavailable(w, r, err)
		return
	}
	data := struct {
		Head
		Packages, Builders []string
	}{Head: s.head(r, "Search", "search")}
	if data.Query = query(r); data.Query != "" {
		data.Packages = s.opt.History.Search(data.Query, searchShown)
		add := func(j queue.Job) {
			if strings.Contains(j.Pkgbase, data.Query) && len(data.Packages) < searchShown && !slices.Contains(data.Packages, j.Pkgbase) {
				data.Packages = append(data.Packages, j.Pkgbase)
			}
		}
		for _, j := range v.queue.Running {
			add(j.Job)
		}
		for _, j := range v.queue.Waiting {
			add(j.Job)
		}
		for _, b := range v.queue.Builders {
			if strings.Contains(strings.ToLower(b.Builder.Name), data.Query) {
				data.Builders = append(data.Builders, b.Builder.Name)
			}
		}
	}
	s.render(w, r, "search.html", data)
}

package metrics

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/caur-build/caur/pkg/queue"
)

const sizeEvery = 5 * time.Minute

// publishing is what the database role alone knows.
type publishing struct {
	seconds *prometheus.HistogramVec
	retries *prometheus.CounterVec
	sizes   *repoSizes
}

// Publishing adds the metrics of the database role: call Published and Retried from it, and let WatchSizes run.
func (m *Metrics) Publishing(repoPath string, targetRepos []string) {
	m.publish = &publishing{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "caur_publish_seconds", Help: "Duration of publishing a delivery or a clean-up, by how it ended.",
			Buckets: []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}}, []string{"target_repo", "status"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "caur_publish_retries_total",
			Help: "Attempts to publish that failed because of this machine, and were repeated."}, []string{"target_repo"}),
		sizes: &repoSizes{path: repoPath, repos: targetRepos, log: m.log},
	}
	for _, repo := range targetRepos { // so that rates are right from the first failure on
		m.publish.retries.WithLabelValues(repo)
		for _, s := range []queue.Status{queue.Success, queue.Failed, queue.SoftwareFailure} {
			m.publish.seconds.WithLabelValues(repo, s.String())
		}
	}
	m.registry.MustRegister(m.publish.seconds, m.publish.retries, m.publish.sizes)
}

// Published notes that a delivery or clean-up ended. It does nothing without Publishing, and on no Metrics at all.
func (m *Metrics) Published(repo string, status queue.Status, took time.Duration) {
	if m != nil && m.publish != nil {
		m.publish.seconds.WithLabelValues(m.publish.sizes.known(repo), status.String()).Observe(took.Seconds())
	}
}

// Retried notes that an attempt to publish is repeated.
func (m *Metrics) Retried(repo string) {
	if m != nil && m.publish != nil {
		m.publish.retries.WithLabelValues(m.publish.sizes.known(repo)).Inc()
	}
}

// WatchSizes measures the repositories until ctx ends.
func (m *Metrics) WatchSizes(ctx context.Context) error {
	if m.publish == nil {
		return nil
	}
	t := time.NewTicker(sizeEvery)
	defer t.Stop()
	for {
		m.publish.sizes.measure()
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// repoSizes are the package files of the target repos, and of their archives.
type repoSizes struct {
	path  string
	repos []string
	log   *slog.Logger

	mu   sync.Mutex
	last map[[2]string]size // repo and architecture
}

type size struct {
	packages int
	bytes    int64
}

// known keeps labels to the target repos that are configured.
func (s *repoSizes) known(repo string) string {
	for _, r := range s.repos {
		if r == repo {
			return r
		}
	}
	return other
}

func (s *repoSizes) measure() {
	all := map[[2]string]size{}
	for _, repo := range s.repos {
		dirs, err := os.ReadDir(filepath.Join(s.path, repo))
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) { // nothing is published yet
				s.log.Warn("cannot measure a repository", "repo", repo, "error", err)
			}
			continue
		}
		for _, dir := range dirs {
			if !dir.IsDir() || strings.HasPrefix(dir.Name(), ".") {
				continue
			}
			n, err := measure(filepath.Join(s.path, repo, dir.Name()))
			if err != nil {
				s.log.Warn("cannot measure a repository", "repo", repo, "error", err)
				continue
			}
			all[[2]string{repo, dir.Name()}] = n
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = all
}

func measure(dir string) (size, error) {
	var n size
	files, err := os.ReadDir(dir)
	for _, f := range files {
		if !f.Type().IsRegular() || !strings.Contains(f.Name(), ".pkg.tar") {
			continue
		}
		info, err := f.Info()
		if err != nil {
			continue // it was removed meanwhile
		}
		n.bytes += info.Size()
		if !strings.HasSuffix(f.Name(), ".sig") {
			n.packages++
		}
	}
	return n, err
}

var (
	packagesDesc = prometheus.NewDesc("caur_repository_packages", "Package files of a target repo; arch is archive for those that were superseded.", []string{"target_repo", "arch"}, nil)
	bytesDesc    = prometheus.NewDesc("caur_repository_bytes", "Size of those files and their signatures.", []string{"target_repo", "arch"}, nil)
)

// Describe is of prometheus.Collector.
func (s *repoSizes) Describe(ch chan<- *prometheus.Desc) { ch <- packagesDesc; ch <- bytesDesc }

// Collect is of prometheus.Collector.
func (s *repoSizes) Collect(ch chan<- prometheus.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at, n := range s.last {
		ch <- prometheus.MustNewConstMetric(packagesDesc, prometheus.GaugeValue, float64(n.packages), at[0], at[1])
		ch <- prometheus.MustNewConstMetric(bytesDesc, prometheus.GaugeValue, float64(n.bytes), at[0], at[1])
	}
}

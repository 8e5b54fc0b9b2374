package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
	"github.com/caur-build/caur/cmd/caur-exec/internal/failure"
	"github.com/caur-build/caur/cmd/caur-exec/internal/makepkg"
	"github.com/caur-build/caur/internal/childproc"
	"github.com/caur-build/caur/pkg/queue"
)

// build runs the container and says what its end means.
func (j *job) build(ctx context.Context) (queue.Result, error) {
	request := j.request()
	data, err := json.MarshalIndent(request, "", "  ")
	if err != nil {
		return queue.Result{}, err
	}
	if err := os.WriteFile(j.path("request.json"), append(data, '\n'), 0o644); err != nil {
		return queue.Result{}, fmt.Errorf("write the build request: %w", err)
	}
	limit := j.config.Limit(time.Duration(j.b.Timeout)*time.Second) + makepkg.Overhead
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errOutside)
	defer cancel()
	j.b.reached(stepCreate, j.lease.Job.Pkgbase)
	code, err := j.b.engine.Run(ctx, j.spec(request), j.out)
	j.facts = failure.Facts{Code: code, TimedOut: errors.Is(err, errOutside), DiskFull: errors.Is(err, container.ErrDisk)}
	if j.facts.DiskFull {
		return queue.Result{Status: queue.Failed, Message: err.Error()}, nil
	}
	if errors.Is(err, errOutside) {
		return queue.Result{Status: queue.TimedOut, Message: errOutside.Error()}, nil
	}
	if err != nil {
		return queue.Result{}, err
	}
	r := outcome(code, j.b.CodeSkip)
	if r.Status != queue.Success {
		return r, nil
	}
	names, ignored, err := takeResults(j.lease.Job, j.path("out"), j.path("taken"))
	if err != nil {
		return queue.Result{}, err
	}
	j.b.reached(stepCollected, j.lease.Job.Pkgbase)
	for _, text := range ignored {
		fmt.Fprintf(j.out, "==> caur: not delivered: %s\n", text)
	}
	if j.files = names; len(names) == 0 {
		return queue.Result{Status: queue.Failed, Message: "the build ended well but left no package of this job"}, nil
	}
	return r, nil
}

// outcome translates the exit code of caur-exec build (executor.md section 2).
func outcome(code, codeSkip int) queue.Result {
	switch code {
	case makepkg.CodeOK:
		return queue.Result{Status: queue.Success}
	case makepkg.CodeAlreadyBuilt:
		return queue.Result{Status: queue.AlreadyBuilt}
	case codeSkip:
		return queue.Result{Status: queue.Skipped}
	case makepkg.CodeTimedOut:
		return queue.Result{Status: queue.TimedOut, Message: "the time limit of the build is over"}
	case makepkg.CodeDependencies:
		return queue.Result{Status: queue.Failed, Message: "a dependency could not be installed"}
	case 4: // E_USER_FUNCTION_FAILED of makepkg(8)
		return queue.Result{Status: queue.Failed, Message: "a function of the PKGBUILD failed"}
	case 137:
		return queue.Result{Status: queue.Failed, Message: "the build was killed; the memory limit may be too low (BUILDER_LIMITS_RAM)"}
	}
	return queue.Result{Status: queue.Failed, Message: fmt.Sprintf("the build ended with status %d", code)}
}

// request is what the container is told: paths as it sees them, and nothing secret.
func (j *job) request() makepkg.Request {
	b, job := j.b, j.lease.Job
	r := makepkg.Request{
		Pkgbase: job.Pkgbase, Pkgnames: pkgnames(job), Arch: job.Arch,
		SourceDir: j.path("source"), WorkDir: j.path("work"), OutputDir: j.path("out"),
		Packager: j.advert.Packager, Mirror: job.ArchMirror, Keyrings: j.target.ExtraKeyrings,
		Jobs: int(math.Ceil(b.CPUs)), Timeout: makepkg.Duration(time.Duration(b.Timeout) * time.Second),
		CodeSkip: b.CodeSkip, BuildUser: b.BuildUser, LogURL: j.logURL(), OwnRoot: b.engine.OwnRoot(),
	}
	if r.Arch == "any" {
		r.Arch = "" // a job for every architecture is built on the default one
	}
	if r.OwnRoot {
		r.WorkDir = "/build" // short, and the same everywhere: it ends up in .BUILDINFO
	}
	if j.cache != nil {
		r.SourceCacheDir = j.cache.dir
	}
	for _, extra := range j.target.ExtraRepos {
		repo := makepkg.Repo{Name: extra.Name, Servers: extra.Servers, SigLevel: b.ExtraSigLevel}
		if extra.Name == job.TargetRepo {
			r.TargetRepo = &repo
			continue
		}
		r.ExtraRepos = append(r.ExtraRepos, repo)
	}
	if dir := j.localRepo(); dir != "" {
		server := url.URL{Scheme: "file", Path: dir}
		r.TargetRepo = &makepkg.Repo{Name: job.TargetRepo, Servers: []string{server.String()}, SigLevel: b.RepoSigLevel}
	}
	return r
}

// localRepo is the target repository's directory when it is on this machine and has a database; the build then sees what
// was published a moment ago.
func (j *job) localRepo() string {
	job := j.lease.Job
	if j.b.RepoPath == "" {
		return ""
	}
	dir := filepath.Join(j.b.RepoPath, job.TargetRepo, job.Arch)
	if _, err := os.Stat(filepath.Join(dir, job.TargetRepo+".db")); err != nil {
		return ""
	}
	return dir
}

// logURL is the page of the log, for the hooks of the package.
func (j *job) logURL() string {
	if j.advert.LogsURL == "" {
		return ""
	}
	query := url.Values{"timestamp": {strconv.FormatInt(j.lease.Job.Timestamp, 10)}, "id": {j.lease.Job.Pkgbase}}
	return j.advert.LogsURL + "?" + query.Encode()
}

// spec is the container. Paths are the same inside and outside, so that one request serves every engine.
func (j *job) spec(r makepkg.Request) container.Spec {
	b := j.b
	same := func(path string, readOnly bool) container.Mount {
		return container.Mount{Source: path, Target: path, ReadOnly: readOnly}
	}
	s := container.Spec{
		Name: containerName(b.Hostname, j.lease.Token), Owner: b.Hostname, Image: b.Image, Executable: b.Executable,
		Command: []string{"build", "--request", j.path("request.json")}, Env: b.buildEnv(),
		Mounts:  []container.Mount{same(j.path("source"), true), same(j.path("request.json"), true), same(j.path("out"), false)},
		Hide:    b.hidden(),
		Scratch: j.path("scratch"), Network: b.BuildNetwork, Grace: stopGrace,
		Privileges: j.config.Privileges,
		Limits:     container.Limits{CPUs: b.CPUs, MemoryMiB: b.MemoryMiB, Pids: b.Pids, DiskMiB: b.DiskMiB},
	}
	if s.Image == "" {
		s.Image = j.advert.Image
	}
	if j.cache != nil {
		s.Mounts = append(s.Mounts, same(j.cache.dir, false))
	}
	if dir := j.localRepo(); dir != "" {
		s.Mounts = append(s.Mounts, same(dir, true))
	}
	for _, entry := range b.ExtraMounts {
		source, target := extraMount(entry)
		s.Mounts = append(s.Mounts, container.Mount{Source: source, Target: target, ReadOnly: true})
	}
	return s
}

// buildEnv is the environment of every build: paths, and proxies where this machine needs them.
func (b *builder) buildEnv() []string {
	env := childproc.MinimalEnv("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root")
	return slices.DeleteFunc(env, func(v string) bool {
		// Paths of this machine mean nothing in an image.
		return strings.HasPrefix(v, "TMPDIR=") || b.Settings.Engine != "none" && strings.HasPrefix(v, "SSL_CERT_")
	})
}

// hidden is what no build may see of this machine, where it sees the machine at all.
func (b *builder) hidden() []string {
	list := []string{b.places.shared, filepath.Dir(b.places.builds), b.places.caches, b.LandingPath, b.GPGPath, b.SSHKeyFile}
	list = append(list, b.Hide...)
	return slices.DeleteFunc(list, func(path string) bool { return path == "" })
}

// containerName makes a name that every engine takes.
func containerName(hostname string, token int64) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, hostname)
	return fmt.Sprintf("caur-%s-%d", clean, token)
}

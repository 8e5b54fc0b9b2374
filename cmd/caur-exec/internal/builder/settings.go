// Package builder is the builder role: it claims jobs, runs each in a container, and delivers the packages.
//
// A job that was claimed always ends: delivered, finished with a status, or given back. The lease is renewed while the
// build runs; when it is lost or cancelled the container is stopped and nothing is delivered.
package builder

import (
	"runtime"
	"time"
)

// Settings of the builder role; names as in executor.md section 2.
type Settings struct {
	Hostname string   `env:"BUILDER_HOSTNAME, required" help:"name of this builder, unique in the installation"`
	Class    string   `env:"BUILDER_CLASS, default=2" help:"class: a number takes jobs of a numeric class up to it, a name only its own jobs"`
	Timeout  int      `env:"BUILDER_TIMEOUT, default=3600" help:"seconds a build may take; BUILDER_EXTRA_TIMEOUT of a package multiplies it"`
	Arches   []string `env:"BUILDER_ARCHES" help:"architectures to build, separated by commas (default: that of this machine)"`
	Jobs     int      `env:"BUILDER_JOBS, default=1" help:"builds at once"`

	Engine       string  `env:"CONTAINER_ENGINE, default=docker" help:"docker, podman or none"`
	Socket       string  `env:"DOCKER_SOCKET" help:"API socket of the engine"`
	Image        string  `env:"BUILDER_IMAGE" help:"image of build containers; default what the database role advertises"`
	Pull         string  `env:"BUILDER_PULL, default=auto" help:"auto pulls the image at most every two hours, never does not"`
	Overlay      string  `env:"BUILDER_OVERLAY, default=auto" help:"engine none: build in an overlay over /: auto, always or never"`
	CPUs         float64 `env:"BUILDER_LIMITS_CPUS" help:"cpus of one build, 0 for all"`
	MemoryMiB    int64   `env:"BUILDER_LIMITS_RAM" help:"memory of one build in MiB, 0 for all"`
	Pids         int64   `env:"BUILDER_LIMITS_PIDS, default=16384" help:"processes of one build"`
	BuildUser    string  `env:"BUILDER_BUILD_USER, default=builder" help:"unprivileged user of makepkg inside the container"`
	CodeSkip     int     `env:"CI_CODE_SKIP, default=123" help:"status with which prepare skips a build"`
	BuildNetwork string  `env:"CI_BUILD_NETWORK" help:"none: no network at all in a build"`

	SharedPath      string `env:"SHARED_PATH, required" help:"directory for builds and caches, as the engine sees it"`
	SrcdestCache    string `env:"BUILDER_SRCDEST_CACHE_OVERRIDE" help:"directory of the source caches"`
	BuildDirHost    string `env:"BUILDER_BUILD_DIR_HOST" help:"build directory as the engine sees it"`
	BuildDirManager string `env:"BUILDER_BUILD_DIR_MANAGER" help:"build directory as this process sees it (default: /shared/build when that is where SHARED_PATH is mounted)"`

	RepoPath      string `env:"REPO_PATH" help:"repository directory of the database role, when it is on this machine"`
	RepoSigLevel  string `env:"BUILDER_REPO_SIGLEVEL, default=Never" help:"pacman's SigLevel for the local target repository"`
	ExtraSigLevel string `env:"BUILDER_EXTRA_SIGLEVEL" help:"pacman's SigLevel for extra repositories (default: that of the image)"`

	DatabaseHost string `env:"DATABASE_HOST" help:"overrides the advertised host of the landing zone"`
	DatabasePort int    `env:"DATABASE_PORT" help:"overrides the advertised port"`
	DatabaseUser string `env:"DATABASE_USER" help:"overrides the advertised user"`

	LandingZone string `env:"LANDING_ZONE_PATH" help:"landing zone, when it is on this machine: packages are moved there"`
	KeyFile     string `env:"SSH_KEY_FILE, default=/app/sshkey" help:"private SSH key for the landing zone"`
	KnownHosts  string `env:"SSH_KNOWN_HOSTS" help:"known_hosts file with the host key of the landing zone"`

	// Hide names further paths of this machine that a build in an overlay must not see, such as the directory of the
	// signing key; set by the program, not by a variable.
	Hide []string

	LeaseTTL time.Duration `env:"BUILDER_LEASE, default=2m" help:"how long the queue waits for a sign of life"`
}

// arches are the architectures that this machine can build, in pacman's words.
func (s Settings) arches() []string {
	if len(s.Arches) > 0 {
		return s.Arches
	}
	switch runtime.GOARCH {
	case "amd64":
		return []string{"x86_64"}
	case "arm64":
		return []string{"aarch64"}
	}
	return []string{runtime.GOARCH}
}

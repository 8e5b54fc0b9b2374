package builder

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/caur-build/caur/internal/settings"
)

// Settings of the builder role; names as in executor.md section 2.
type Settings struct {
	Hostname string   `env:"BUILDER_HOSTNAME, required" help:"name of this builder, unique in the installation"`
	Class    string   `env:"BUILDER_CLASS, default=2" help:"a number takes jobs of a numeric class up to it, a name only its own jobs"`
	Arches   []string `env:"BUILDER_ARCHES" help:"architectures that are built here, comma-separated (default: that of this machine)"`
	Timeout  int      `env:"BUILDER_TIMEOUT, default=3600" help:"seconds a build may take; BUILDER_EXTRA_TIMEOUT of a package multiplies it"`
	Jobs     int      `env:"BUILDER_JOBS, default=1" help:"builds at once"`

	Engine       string   `env:"CONTAINER_ENGINE, default=docker" help:"docker, podman or none"`
	Socket       string   `env:"DOCKER_SOCKET" help:"API socket of the engine"`
	Image        string   `env:"BUILDER_IMAGE" help:"image of build containers (default: what the database role advertises)"`
	Pull         string   `env:"BUILDER_PULL, default=auto" help:"auto pulls the image at most every two hours, never does not"`
	Overlay      string   `env:"BUILDER_OVERLAY, default=auto" help:"engine none: build in an overlay over /: auto, always or never"`
	CPUs         float64  `env:"BUILDER_LIMITS_CPUS" help:"cpus of one build, 0 for all"`
	MemoryMiB    int64    `env:"BUILDER_LIMITS_RAM" help:"memory of one build in MiB, 0 for all"`
	Pids         int64    `env:"BUILDER_LIMITS_PIDS, default=16384" help:"processes of one build"`
	DiskMiB      int64    `env:"BUILDER_LIMITS_DISK" help:"what one build may write, in MiB, 0 for all that is there; looked at every few seconds"`
	Egress       string   `env:"BUILDER_EGRESS, default=auto" help:"docker, podman: what builds reach. public: the internet, no private address, nor this machine, or the build fails; auto: so where a packet filter can be set; all: everything"`
	EgressAllow  []string `env:"BUILDER_EGRESS_ALLOW" help:"private networks that builds may reach all the same, such as that of a mirror: 10.0.0.5/32, comma-separated"`
	BuildUser    string   `env:"BUILDER_BUILD_USER, default=builder" help:"unprivileged user of makepkg inside the container"`
	CodeSkip     int      `env:"CI_CODE_SKIP, default=123" help:"status with which prepare skips a build"`
	Privileges   []string `env:"BUILDER_ALLOW_PRIVILEGES, default=sudo" help:"what packages may ask for with BUILDER_PRIVILEGES: sudo, names of capabilities (SYS_ADMIN lets a build reach the machine), or all; comma-separated"`
	BuildNetwork string   `env:"CI_BUILD_NETWORK" help:"none: no network in builds"`

	SharedPath      string   `env:"SHARED_PATH, required" help:"directory for builds and caches, as the engine sees it"`
	SrcdestCache    string   `env:"BUILDER_SRCDEST_CACHE_OVERRIDE" help:"directory of the source caches (default: srcdest_cached in SHARED_PATH)"`
	CacheMaxGB      float64  `env:"BUILDER_CACHE_MAX_GB" help:"size of all source caches in GB; the least recently used go first (default: no limit). Unused ones go after 30 days"`
	BuildDirHost    string   `env:"BUILDER_BUILD_DIR_HOST" help:"build directory as the engine sees it (default: build in SHARED_PATH)"`
	BuildDirManager string   `env:"BUILDER_BUILD_DIR_MANAGER" help:"build directory as this process sees it (default: the same, or /shared/build where SHARED_PATH is mounted at /shared)"`
	ExtraMounts     []string `env:"BUILDER_EXTRA_MOUNTS" help:"directories that every build sees, read-only: DIR, or DIR:WHERE for another place in the build, comma-separated"`
	Hide            []string `env:"BUILDER_HIDE" help:"engine none: what no build may see of this machine, comma-separated"`

	RepoPath      string `env:"REPO_PATH" help:"repository directory of the database role, when it is on this machine"`
	LandingPath   string `env:"LANDING_ZONE_PATH" help:"landing zone, when it is on this machine"`
	GPGPath       string `env:"GPG_PATH" help:"GnuPG home of the database role, when it is on this machine: no build sees it"`
	RepoSigLevel  string `env:"BUILDER_REPO_SIGLEVEL, default=Never" help:"pacman's SigLevel for the repository below REPO_PATH"`
	ExtraSigLevel string `env:"BUILDER_EXTRA_SIGLEVEL" help:"pacman's SigLevel for extra repositories (default: that of the image)"`

	DatabaseHost string          `env:"DATABASE_HOST" help:"host of the landing zone (default: what the database role advertises)"`
	DatabasePort int             `env:"DATABASE_PORT" help:"port of its SSH server"`
	DatabaseUser string          `env:"DATABASE_USER" help:"user there"`
	SSHKey       settings.Secret `env:"SSH_KEY" help:"private key for SSH, in PEM; wins over SSH_KEY_FILE"`
	SSHKeyFile   string          `env:"SSH_KEY_FILE, default=/app/sshkey" help:"file with the private key for SSH"`
	KnownHosts   string          `env:"SSH_KNOWN_HOSTS, default=/app/known_hosts" help:"known_hosts file with the pinned keys of SSH servers"`

	RetryAfter time.Duration `env:"BUILDER_RETRY_AFTER, default=15m" help:"when a build whose sources or mirror did not answer is tried once more; 0s: never"`
	LeaseTTL   time.Duration `env:"BUILDER_LEASE, default=2m" help:"how long the queue waits for a sign of life"`
}

// Check says what is wrong with the values, for settings.Load.
func (s *Settings) Check() []string {
	var out []string
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	wrong(strings.ContainsAny(s.Hostname, "/\\ \t\n\x00") || strings.HasPrefix(s.Hostname, "."),
		"BUILDER_HOSTNAME=%q: must be a plain name", s.Hostname)
	wrong(s.Class == "" || strings.ContainsAny(s.Class, "/\\ \t\n\x00"), "BUILDER_CLASS=%q: must be a number or a name", s.Class)
	wrong(s.Timeout < 1, "BUILDER_TIMEOUT=%d: must be at least 1 (seconds)", s.Timeout)
	wrong(s.Jobs < 1 || s.Jobs > 256, "BUILDER_JOBS=%d: must be from 1 to 256", s.Jobs)
	wrong(s.CPUs < 0, "BUILDER_LIMITS_CPUS=%v: must not be negative", s.CPUs)
	wrong(s.MemoryMiB < 0, "BUILDER_LIMITS_RAM=%d: must not be negative", s.MemoryMiB)
	wrong(!(s.CacheMaxGB >= 0 && s.CacheMaxGB <= 1e6), "BUILDER_CACHE_MAX_GB=%v: must be from 0 to 1000000", s.CacheMaxGB)
	wrong(s.DiskMiB < 0, "BUILDER_LIMITS_DISK=%d: must not be negative", s.DiskMiB)
	for _, text := range s.EgressAllow {
		p, err := netip.ParsePrefix(text)
		wrong(err != nil || !p.Addr().Is4(), "BUILDER_EGRESS_ALLOW=%q: must be an IPv4 network such as 10.0.0.5/32", text)
	}
	wrong(s.Pids < 0, "BUILDER_LIMITS_PIDS=%d: must not be negative", s.Pids)
	wrong(s.CodeSkip < 1 || s.CodeSkip > 255, "CI_CODE_SKIP=%d: must be from 1 to 255", s.CodeSkip)
	wrong(s.LeaseTTL < 10*time.Second, "BUILDER_LEASE=%v: must be at least 10s", s.LeaseTTL)
	wrong(s.RetryAfter < 0 || s.RetryAfter > 7*24*time.Hour, "BUILDER_RETRY_AFTER=%v: must be from 0s to 168h", s.RetryAfter)
	for _, v := range []struct{ name, value, allowed string }{
		{"CONTAINER_ENGINE", s.Engine, "docker podman none"}, {"BUILDER_PULL", s.Pull, "auto never"},
		{"BUILDER_OVERLAY", s.Overlay, "auto always never"}, {"BUILDER_EGRESS", s.Egress, "auto public all"}, {"CI_BUILD_NETWORK", s.BuildNetwork, "none"},
	} {
		wrong(v.value != "" && !strings.Contains(" "+v.allowed+" ", " "+v.value+" "),
			"%s=%q: must be one of: %s", v.name, v.value, strings.ReplaceAll(v.allowed, " ", ", "))
	}
	paths := map[string][]string{
		"SHARED_PATH": {s.SharedPath}, "BUILDER_SRCDEST_CACHE_OVERRIDE": {s.SrcdestCache}, "BUILDER_BUILD_DIR_HOST": {s.BuildDirHost},
		"BUILDER_BUILD_DIR_MANAGER": {s.BuildDirManager}, "REPO_PATH": {s.RepoPath}, "LANDING_ZONE_PATH": {s.LandingPath},
		"BUILDER_HIDE": s.Hide,
	}
	for _, mount := range s.ExtraMounts {
		source, target := extraMount(mount)
		paths["BUILDER_EXTRA_MOUNTS"] = append(paths["BUILDER_EXTRA_MOUNTS"], source, target)
	}
	for _, name := range []string{
		"SHARED_PATH", "BUILDER_SRCDEST_CACHE_OVERRIDE", "BUILDER_BUILD_DIR_HOST", "BUILDER_BUILD_DIR_MANAGER", "REPO_PATH",
		"LANDING_ZONE_PATH", "BUILDER_EXTRA_MOUNTS", "BUILDER_HIDE",
	} {
		for _, path := range paths[name] {
			wrong(path != "" && !filepath.IsAbs(path), "%s=%q: must be an absolute path", name, path)
		}
	}
	return out
}

// arches are the architectures to ask for, in pacman's words.
func (s *Settings) arches() []string {
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

// extraMount takes an entry of BUILDER_EXTRA_MOUNTS apart.
func extraMount(entry string) (source, target string) {
	source, target, other := strings.Cut(entry, ":")
	if !other {
		return entry, entry
	}
	return source, target
}

package database

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/caur-build/caur/cmd/caur-exec/internal/publish"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/pkg/queue"
)

// Settings of the database role; names as in executor.md section 4.
type Settings struct {
	Host string `env:"DATABASE_HOST" help:"host of the landing zone, as builders reach it over SFTP"`
	Port int    `env:"DATABASE_PORT, default=22" help:"port of its SSH server"`
	User string `env:"DATABASE_USER" help:"user of builders on that server"`

	RepoPath       string `env:"REPO_PATH, required" help:"directory of the target repos"`
	LandingPath    string `env:"LANDING_ZONE_PATH, required" help:"directory where packages arrive"`
	AdvertisedPath string `env:"LANDING_ZONE_ADVERTISED_PATH" help:"that directory as builders see it over SFTP (default: LANDING_ZONE_PATH)"`

	GPGPath        string          `env:"GPG_PATH" help:"GnuPG home with the secret signing key"`
	GPGKey         string          `env:"GPGKEY" help:"fingerprint of the signing key (default: the first usable one)"`
	SigningKeyFile string          `env:"SIGNING_KEY_FILE" help:"file with the secret signing key; instead of GPG_PATH"`
	Passphrase     settings.Secret `env:"GPG_PASSPHRASE" help:"passphrase of the signing key"`
	SignDB         bool            `env:"REPO_SIGN_DB, default=false" help:"sign the databases too"`

	SourceRepos string `env:"PACKAGE_REPOS, required" help:"source repos as JSON: {\"NAME\": {\"url\": \"https://…\"}}"`
	TargetRepos string `env:"PACKAGE_TARGET_REPOS, required" help:"target repos as JSON: {\"NAME\": {\"extra_repos\": [{\"name\": \"…\", \"servers\": [\"…\"]}], \"extra_keyrings\": [\"https://…\"]}}"`
	Image       string `env:"BUILDER_IMAGE" help:"image of build containers, for builders without a setting of their own"`
	Packager    string `env:"PACKAGER" help:"PACKAGER of the packages, NAME <ADDRESS>"`
	LogsURL     string `env:"LOGS_URL" help:"address of the page that shows a log"`

	OnDepFailure string `env:"QUEUE_ON_DEP_FAILURE, default=build" help:"what becomes of jobs whose dependency failed: build, hold (wait until it was built) or skip"`
	Weights      string `env:"QUEUE_WEIGHTS" help:"shares of build time between target repos as JSON: {\"NAME\": 2}; 1 where not named"`

	Hostname string        `env:"DATABASE_HOSTNAME" help:"name of this process in the queue (default: host name and process id)"`
	LeaseTTL time.Duration `env:"DATABASE_LEASE, default=2m" help:"how long the queue waits for a sign of life"`
}

// Check says what is wrong with the values, each problem with the name of its setting.
func (s *Settings) Check() []string {
	_, problems := parseSources(s.SourceRepos)
	_, more := parseTargets(s.TargetRepos)
	problems = append(problems, more...)
	_, more = parseWeights(s.Weights)
	problems = append(problems, more...)
	if !slices.Contains([]string{"build", "hold", "skip"}, s.OnDepFailure) {
		problems = append(problems, "QUEUE_ON_DEP_FAILURE: build, hold or skip")
	}
	if (s.GPGPath == "") == (s.SigningKeyFile == "") {
		problems = append(problems, "GPG_PATH: set it, or SIGNING_KEY_FILE, and not both")
	}
	if s.Port < 1 || s.Port > 65535 {
		problems = append(problems, "DATABASE_PORT: not a port")
	}
	if s.LeaseTTL < time.Second {
		problems = append(problems, "DATABASE_LEASE: at least one second, such as 2m")
	}
	return problems
}

// TargetRepoNames are the target repos, sorted.
func (s *Settings) TargetRepoNames() []string {
	targets, _ := parseTargets(s.TargetRepos)
	return slices.Sorted(maps.Keys(targets))
}

// advert is what builders are told.
func (s *Settings) advert() queue.Advert {
	sources, _ := parseSources(s.SourceRepos)
	targets, _ := parseTargets(s.TargetRepos)
	weights, _ := parseWeights(s.Weights)
	path := s.AdvertisedPath
	if path == "" {
		path = s.LandingPath
	}
	return queue.Advert{
		Image: s.Image, Packager: s.Packager, LogsURL: s.LogsURL,
		Landing:     queue.Landing{Host: s.Host, Port: s.Port, User: s.User, Path: path},
		SourceRepos: sources, TargetRepos: targets, OnDepFailure: s.OnDepFailure, Weights: weights,
	}
}

func (s *Settings) signer(ctx context.Context) (publish.Signer, error) {
	if s.SigningKeyFile != "" {
		return publish.NewKeyFile(s.SigningKeyFile, s.Passphrase)
	}
	return publish.NewGPG(ctx, s.GPGPath, s.GPGKey, s.Passphrase)
}

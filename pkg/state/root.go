package state

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/caur-build/caur/internal/conf"
	"github.com/caur-build/caur/internal/settings"
)

// RepoConfig is .ci/config with the environment on top (pipeline.md section 1, root keys).
type RepoConfig struct {
	BuildRepo string // BUILD_REPO: source repo of a job
	RepoName  string // REPO_NAME: target repo

	GitAuthorName, GitAuthorEmail string // "" where nobody says

	RedisHost    string
	RedisPort    int
	RedisSSHHost string // "" connects directly
	RedisSSHPort int
	RedisSSHUser string

	HumanReview         bool
	HumanReviewAssignee string // GitLab user id or GitHub login
	NVCheckerReview     bool
	ReviewCritical      bool          // a critical finding always needs review (CI_REVIEW_CRITICAL=always)
	UpdateCooldown      time.Duration // a change younger than that waits
	AdoptionDays        int           // an AUR account changed less long ago makes a change major

	ManageAUR        bool
	OverwriteCommits bool
	CloneDelay       time.Duration // between two clones from one host
	MaxParallel      int           // packages checked at once
	CodeSkip         int           // exit status of prepare that skips a build

	LibDBs           []string // URLs of pacman databases
	RebuildTriggers  []string // pkgbases whose change rebuilds every package
	RebuildBlacklist []string // pkgbases that never cause a rebuild
	DefaultClass     string   // "" is none

	TemplateEnableUpdates bool
	TemplateRepo          string // "" is the template inside this program

	redisURL, aurProxy settings.Secret
	values             map[string]settings.Secret
}

// RedisURL is REDIS_URL, "" where it is not set. It may hold a password, which is why it is no field.
func (c *RepoConfig) RedisURL() string { return c.redisURL.Reveal() }

// AURProxy is CI_AUR_PROXY, "" where it is not set. It may hold a password.
func (c *RepoConfig) AURProxy() string { return c.aurProxy.Reveal() }

// Lookup gives what environment or file say for a root key, not the default; ok is
// false where neither does. It lets other settings (of Redis) fall back to .ci/config.
func (c *RepoConfig) Lookup(key string) (value string, ok bool) {
	secret, ok := c.values[key]
	return secret.Reveal(), ok
}

// ParseRepoConfig reads .ci/config; data may be nil where there is none. env (nil: none) is
// asked first for every root key; an empty variable counts as unset. Problems are remarks on
// the file. The error is an *Error with every wrong value.
func ParseRepoConfig(name string, data []byte, env func(string) (string, bool)) (*RepoConfig, []Problem, error) {
	file := conf.Parse(name, data)
	c := &RepoConfig{values: make(map[string]settings.Secret)}
	list, wrong := fill(c, rootTable, file, env)
	for i := range rootTable {
		if value, _, _, ok := lookup(rootTable[i].Name, file, env); ok {
			c.values[rootTable[i].Name] = settings.NewSecret(value)
		}
	}
	list = append(list, remarks(file, rootTable, func(key string) string {
		switch {
		case has(packageTable, key):
			return "into the .CI/config of a package"
		case slices.Contains(stateKeys, key):
			return "on the state branch"
		case strings.HasSuffix(key, "PASSWORD") || strings.HasSuffix(key, "TOKEN"):
			return "into a protected variable of the pipeline, never into a file of the repository"
		}
		return ""
	})...)
	sortProblems(list)
	if len(wrong) > 0 {
		sortProblems(wrong)
		return nil, list, &Error{wrong}
	}
	return c, list, nil
}

func rootSettings() []setting[RepoConfig] {
	type c = RepoConfig
	return []setting[c]{
		{Key{Name: "BUILD_REPO", Default: "chaotic-aur", Help: "source repository as the executor knows it"}, name(func(c *c) *string { return &c.BuildRepo })},
		{Key{Name: "REPO_NAME", Default: "chaotic-aur", Help: "target repository: the pacman repository that packages are deployed to"}, name(func(c *c) *string { return &c.RepoName })},
		{Key{Name: "GIT_AUTHOR_NAME", Help: "author of automated commits"}, text(func(c *c) *string { return &c.GitAuthorName })},
		{Key{Name: "GIT_AUTHOR_EMAIL", Help: "address of the author of automated commits"}, text(func(c *c) *string { return &c.GitAuthorEmail })},
		{Key{Name: "REDIS_URL", Help: "redis://, rediss:// or unix://; wins over host and port", secret: true}, setRedisURL},
		{Key{Name: "REDIS_HOST", Default: "localhost", Help: "host of Redis"}, text(func(c *c) *string { return &c.RedisHost })},
		{Key{Name: "REDIS_PORT", Default: "6379", Help: "port of Redis"}, integer(1, 65535, func(c *c) *int { return &c.RedisPort })},
		{Key{Name: "REDIS_SSH_HOST", Help: "reach Redis through an SSH tunnel to this host; empty connects directly"}, text(func(c *c) *string { return &c.RedisSSHHost })},
		{Key{Name: "REDIS_SSH_PORT", Default: "22", Help: "port of the SSH server"}, integer(1, 65535, func(c *c) *int { return &c.RedisSSHPort })},
		{Key{Name: "REDIS_SSH_USER", Help: "user of the SSH tunnel"}, text(func(c *c) *string { return &c.RedisSSHUser })},
		{Key{Name: "CI_HUMAN_REVIEW", Default: "false", Help: "changes other than version, pkgrel and checksums go to a merge request", bool: true}, boolean(func(c *c) *bool { return &c.HumanReview })},
		{Key{Name: "CI_HUMAN_REVIEW_ASSIGNEE", Help: "GitLab user id or GitHub login that merge requests are assigned to"}, text(func(c *c) *string { return &c.HumanReviewAssignee })},
		{Key{Name: "CI_NVCHECKER_REVIEW", Default: "true", Help: "updates found by nvchecker always need a merge request", bool: true}, boolean(func(c *c) *bool { return &c.NVCheckerReview })},
		{Key{Name: "CI_REVIEW_CRITICAL", Default: "always", Help: "always: a critical finding needs review whoever maintains the package; never: trust decides"}, setReviewCritical},
		{Key{Name: "CI_UPDATE_COOLDOWN", Default: "0", Help: "hours that a change waits before it is taken over"}, duration(time.Hour, "hours", func(c *c) *time.Duration { return &c.UpdateCooldown })},
		{Key{Name: "CI_ADOPTION_DAYS", Default: "14", Help: "days after an adoption in which every change needs review"}, integer(0, 3650, func(c *c) *int { return &c.AdoptionDays })},
		{Key{Name: "CI_MANAGE_AUR", Default: "false", Help: "allow pushing to the AUR; each package opts in as well", bool: true}, boolean(func(c *c) *bool { return &c.ManageAUR })},
		{Key{Name: "CI_OVERWRITE_COMMITS", Default: "false", Help: "replace the previous automated commit instead of adding one", bool: true}, boolean(func(c *c) *bool { return &c.OverwriteCommits })},
		{Key{Name: "CI_CLONE_DELAY", Default: "0", Help: "seconds between two clones from one host"}, duration(time.Second, "seconds", func(c *c) *time.Duration { return &c.CloneDelay })},
		{Key{Name: "CI_AUR_PROXY", Help: "HTTP(S) proxy for requests to the AUR only", secret: true}, setAURProxy},
		{Key{Name: "CI_LIB_DB", Help: "URLs, separated by blanks, of pacman databases that are watched for new versions"}, urls(func(c *c) *[]string { return &c.LibDBs })},
		{Key{Name: "CI_REBUILD_TRIGGERS", Help: "packages, joined with colons, whose change rebuilds every package"}, pkgbases(func(c *c) *[]string { return &c.RebuildTriggers })},
		{Key{Name: "CI_REBUILD_BLACKLIST", Help: "packages, joined with colons, that never cause a rebuild"}, pkgbases(func(c *c) *[]string { return &c.RebuildBlacklist })},
		{Key{Name: "CI_DEFAULT_CLASS", Help: "builder class of packages that name none"}, class(func(c *c) *string { return &c.DefaultClass })},
		{Key{Name: "CI_MAX_PARALLEL", Default: "8", Help: "packages checked at once"}, integer(1, 1024, func(c *c) *int { return &c.MaxParallel })},
		{Key{Name: "CI_CODE_SKIP", Default: "123", Help: "exit status with which prepare says that a build is skipped on purpose"}, integer(1, 255, func(c *c) *int { return &c.CodeSkip })},
		{Key{Name: "TEMPLATE_ENABLE_UPDATES", Default: "true", Help: "keep the CI files in step with the template", bool: true}, boolean(func(c *c) *bool { return &c.TemplateEnableUpdates })},
		{Key{Name: "TEMPLATE_REPO", Help: "template of the CI files: git URL, #, and a full commit hash; empty is the one inside caur-ci"}, setTemplateRepo},
	}
}

func setRedisURL(c *RepoConfig, value string) error {
	c.redisURL = settings.NewSecret(value)
	return checkURL(value, "redis", "rediss", "unix", "redis-sentinel", "rediss-sentinel", "redis-cluster", "rediss-cluster")
}

func setAURProxy(c *RepoConfig, value string) error {
	c.aurProxy = settings.NewSecret(value)
	return checkURL(value, "http", "https", "socks5", "socks5h")
}

func setReviewCritical(c *RepoConfig, value string) error {
	c.ReviewCritical = value == "always"
	if value != "always" && value != "never" {
		return errors.New("must be always or never")
	}
	return nil
}

func setTemplateRepo(c *RepoConfig, value string) error {
	c.TemplateRepo = value
	return checkGitURL(value)
}

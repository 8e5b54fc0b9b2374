package state

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/caur-build/caur/internal/conf"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// PackageConfig is PKGDIR/.CI/config (pipeline.md section 1, package keys).
type PackageConfig struct {
	Source          Source // CI_PKGBUILD_SOURCE; the zero Source where it is not set
	ManageAUR       bool
	Bump            srcinfo.Bump // CI_PACKAGE_BUMP; the zero Bump where it is not set
	OnTrigger       string       // scheduled only by a pipeline with this TRIGGER; "" by every one
	ForceVCS        bool
	RebuildTriggers []string // pkgbases whose new version bumps this package
	NVChecker       bool
	AllowRegex      []*regexp.Regexp // lines that may change without review

	CacheSources    bool
	ExtraTimeout    float64 // factor of the builder's time limit, 1 where it is not set
	Class           string  // "" where it is not set
	AllowProhibited bool
	Privileges      []string // what the build needs beyond the ordinary, such as sudo, SYS_ADMIN
	PatchOptional   bool     // a build goes on when interfere.patch does not apply
	BuildNetwork    string   // "none" cuts a build off after its sources are there; "" or "default"
}

// ParsePackageConfig reads .CI/config; data may be nil where there is none. Problems are
// remarks. The error is an *Error with every wrong value.
func ParsePackageConfig(name string, data []byte) (*PackageConfig, []Problem, error) {
	file := conf.Parse(name, data)
	c := &PackageConfig{}
	list, wrong := fill(c, packageTable, file, nil)
	list = append(list, remarks(file, packageTable, func(key string) string {
		switch {
		case slices.Contains(stateKeys, key):
			return "on the state branch"
		case has(rootTable, key):
			return "into .ci/config"
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

func packageSettings() []setting[PackageConfig] {
	type c = PackageConfig
	const steers = true
	return []setting[c]{
		{Key{Name: "CI_PKGBUILD_SOURCE", Help: "aur, custom, gitlab:PROJECT or a git URL", SteersUpdates: steers}, setSource},
		{Key{Name: "CI_MANAGE_AUR", Default: "false", Help: "push this package to the AUR after an update", SteersUpdates: steers, bool: true}, boolean(func(c *c) *bool { return &c.ManageAUR })},
		{Key{Name: "CI_PACKAGE_BUMP", Help: "VERSION/N: pkgrel becomes pkgrel.N while the version is VERSION"}, setBump},
		{Key{Name: "CI_ON_TRIGGER", Help: "scheduled only by a pipeline whose TRIGGER has this value", SteersUpdates: steers}, text(func(c *c) *string { return &c.OnTrigger })},
		{Key{Name: "CI_FORCE_VCS", Default: "false", Help: "treat as a VCS package although its name does not end in -git", SteersUpdates: steers, bool: true}, boolean(func(c *c) *bool { return &c.ForceVCS })},
		{Key{Name: "CI_REBUILD_TRIGGERS", Help: "packages, joined with colons, whose new version bumps this one", SteersUpdates: steers}, pkgbases(func(c *c) *[]string { return &c.RebuildTriggers })},
		{Key{Name: "CI_NVCHECKER", Default: "false", Help: "look for updates with nvchecker", SteersUpdates: steers, bool: true}, boolean(func(c *c) *bool { return &c.NVChecker })},
		{Key{Name: "CI_PKGBUILD_CHANGE_ALLOW_REGEX", Help: "regular expressions, joined with semicolons, of lines that may change without review", SteersUpdates: steers}, patterns(func(c *c) *[]*regexp.Regexp { return &c.AllowRegex })},
		{Key{Name: "BUILDER_CACHE_SOURCES", Default: "false", Help: "keep the sources from build to build", bool: true}, boolean(func(c *c) *bool { return &c.CacheSources })},
		{Key{Name: "BUILDER_EXTRA_TIMEOUT", Default: "1", Help: "factor of the time limit of a build"}, setExtraTimeout},
		{Key{Name: "BUILDER_CLASS", Help: "builder class: a number or the name of a builder"}, class(func(c *c) *string { return &c.Class })},
		{Key{Name: "BUILDER_ALLOW_PROHIBITED", Default: "false", Help: "keep replaces and groups in the package", bool: true}, boolean(func(c *c) *bool { return &c.AllowProhibited })},
		{Key{Name: "BUILDER_PRIVILEGES", Help: "what the build needs beyond the ordinary: sudo or capabilities such as SYS_ADMIN, separated by blanks, commas or colons"}, setPrivileges},
		{Key{Name: "CI_PATCH_OPTIONAL", Default: "false", Help: "build also when interfere.patch does not apply", bool: true}, boolean(func(c *c) *bool { return &c.PatchOptional })},
		{Key{Name: "CI_BUILD_NETWORK", Help: "none: no network once the sources are there"}, oneOf([]string{"none", "default"}, func(c *c) *string { return &c.BuildNetwork })},
	}
}

func setSource(c *PackageConfig, value string) (err error) {
	c.Source, err = ParseSource(value)
	return err
}

func setBump(c *PackageConfig, value string) (err error) {
	c.Bump, err = srcinfo.ParseBump(value)
	return err
}

func setExtraTimeout(c *PackageConfig, value string) error {
	const most = 720 // the limit of the executor, too
	f, err := strconv.ParseFloat(value, 64)
	if err != nil || !(f > 0 && f <= most) {
		return fmt.Errorf("must be a number above 0, at most %d", most)
	}
	c.ExtraTimeout = f
	return nil
}

var privilege = regexp.MustCompile(`^(sudo|[A-Z][A-Z_]*)$`)

func setPrivileges(c *PackageConfig, value string) error {
	c.Privileges = strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" \t,:", r) })
	for _, word := range c.Privileges {
		if !privilege.MatchString(word) {
			return errors.New("must be sudo or names of capabilities such as SYS_ADMIN")
		}
	}
	return nil
}

package changes

import (
	"path"
	"strings"

	"github.com/caur-build/caur/internal/conf"
)

// configFile is the package's own settings, relative to its directory.
const configFile = ".CI/config"

// irrelevantFiles never change the built package or how it is built: notes, and what looks for updates.
var irrelevantFiles = map[string]bool{
	".CI/info":        true,
	".CI/update.sh":   true,
	"nvchecker.toml":  true,
	".nvchecker.toml": true,
}

// steeringKeys of .CI/config only decide when and how updates are looked for, and where they are pushed to. A key that
// is not listed, known or not, may matter to a build.
var steeringKeys = map[string]bool{
	"CI_FORCE_VCS":                   true,
	"CI_GIT_COMMIT":                  true, // older repositories kept the state of VCS packages here
	"CI_MANAGE_AUR":                  true,
	"CI_NVCHECKER":                   true,
	"CI_ON_TRIGGER":                  true,
	"CI_PKGBUILD_CHANGE_ALLOW_REGEX": true,
	"CI_PKGBUILD_SOURCE":             true,
	"CI_PKGBUILD_TIMESTAMP":          true,
	"CI_REBUILD_TRIGGERS":            true,
}

// NeedsContent says whether the contents of a changed file decide, so that only those have to be read.
func NeedsContent(file string) bool {
	dir, rest, _ := strings.Cut(file, "/")
	return rest == configFile && !strings.HasPrefix(dir, ".")
}

// relevant says whether a change of the file, given relative to its package directory, can change the built package or
// how it is built (pipeline.md section 2, step 3).
func relevant(file string, f File) bool {
	switch {
	case irrelevantFiles[file], path.Base(file) == ".gitignore":
		return false
	case file == configFile:
		return configMatters(f.Old, f.New)
	}
	return true
}

func configMatters(older, newer []byte) bool {
	was, is := conf.Parse(configFile, older), conf.Parse(configFile, newer)
	for _, key := range append(was.Keys(), is.Keys()...) {
		if steeringKeys[key] {
			continue
		}
		before, _ := was.Get(key)
		after, _ := is.Get(key)
		if before != after {
			return true
		}
	}
	return false
}

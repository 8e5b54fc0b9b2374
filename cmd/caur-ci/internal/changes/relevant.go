package changes

import (
	"path"
	"strings"

	"github.com/caur-build/caur/pkg/state"
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
		return state.BuildChanged(f.Old, f.New)
	}
	return true
}

// Package interfere makes every change that a PKGBUILD gets before it is built, in the order of executor.md section 3.
//
// An interference is one such change. Some come with the package, as files in its .CI directory (prepare,
// interfere.patch, PKGBUILD.prepend, PKGBUILD.append) or as keys of .CI/config (CI_PACKAGE_BUMP, CI_PATCH_OPTIONAL);
// others are made to every package: what its name implies is installed, the system is updated, the file gets its last
// newline, -march=native goes.
//
// The package itself runs nothing that comes from a PKGBUILD repository. The steps that must run something (install,
// update, prepare) are handed to callbacks, which only the build container has. In a dry run they are left out, prepare
// is checked for its syntax, and the directory stays as it was.
package interfere

import "context"

// Options says what to work on and how.
type Options struct {
	// Dir is the package directory (PKGBUILD, .CI, local sources). Apply changes its PKGBUILD in place, unless DryRun
	// is set. No link in it is followed to the outside.
	Dir string
	// Pkgbase decides what the name implies (-git: git). "" takes the name of Dir.
	Pkgbase string
	// Bump overrides CI_PACKAGE_BUMP of .CI/config when it is not "".
	Bump string
	// CodeSkip is the status with which prepare asks to skip the build; 0 means 123 (CI_CODE_SKIP).
	CodeSkip int
	// DryRun changes a copy of Dir and reports what would have changed.
	DryRun bool
	// Update updates the system and installs the packages that the name implies (which may be none). nil: left out.
	Update func(ctx context.Context, implied []string) error
	// RunPrepare runs script, the text of a bash program that sources .CI/prepare, as root with Dir as working
	// directory, and gives its exit status. err is for a program that could not be run. nil: prepare is left out.
	RunPrepare func(ctx context.Context, script string) (exit int, err error)
}

// Step is one interference that was applied.
type Step struct {
	Name   string // prepare, interfere.patch, PKGBUILD.append, …
	Detail string // one line: what it did
}

// Report says what Apply did.
type Report struct {
	Applied []Step
	Notes   []string // what was looked at but not done, and why
	Skip    bool     // prepare asked to skip this build on purpose
	Diff    []byte   // of a dry run: unified diff of every file that would change
}

// PrepareError is a prepare that ended with a status other than 0 and CodeSkip; the build ends with that status.
type PrepareError struct{ Status int }

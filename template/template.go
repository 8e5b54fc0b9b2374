// Package template is a PKGBUILD repository to begin with: the CI definitions of both forges, the settings and the hooks.
// 'caur-ci init' writes all of it, 'caur-ci migrate' and on-schedule only the files that belong to caur (Owned).
package template

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/state"
)

//go:embed all:files
var files embed.FS

// Forge is where a repository lives, which decides about the CI definition it needs.
type Forge string

// The forges that there are CI definitions for.
const (
	GitLab Forge = "gitlab"
	GitHub Forge = "github"
	Both   Forge = "both"
)

// ParseForge reads the name of a forge.
func ParseForge(name string) (Forge, error) {
	if f := Forge(name); f == GitLab || f == GitHub || f == Both {
		return f, nil
	}
	return "", fmt.Errorf("%q is no forge: want gitlab, github or both", name)
}

// owned are the files and folders that caur keeps in step with this template. All else is the operator's.
var owned = []string{".gitlab-ci.yml", ".github/workflows/caur-", ".ci/caur", ".ci/check-commits", ".ci/hooks/"}

// PinFile is the operator's though it is named like ours: it says which version of caur the pipelines run.
const PinFile = ".ci/caur.env"

// Owned says whether caur writes a file, by its path from the top of the repository: nobody else should edit it.
func Owned(path string) bool {
	return path != PinFile && slices.ContainsFunc(owned, func(o string) bool {
		return path == o || strings.HasSuffix(o, "/") && strings.HasPrefix(path, o) || strings.HasSuffix(o, "-") && strings.HasPrefix(path, o)
	})
}

// Files gives the whole repository for a forge; paths are from its top. Scripts are executable.
func Files(forge Forge) (pkgdir.Dir, error) {
	dir := pkgdir.Dir{}
	err := fs.WalkDir(files, "files", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := strings.TrimPrefix(path, "files/")
		if strings.HasPrefix(name, ".github/") && forge == GitLab || name == ".gitlab-ci.yml" && forge == GitHub {
			return nil
		}
		data, err := files.ReadFile(path)
		f := pkgdir.File{Data: data}
		if bytes.HasPrefix(data, []byte("#!")) {
			f.Kind = pkgdir.Executable
		}
		dir[name] = f
		return err
	})
	if err != nil {
		return nil, err
	}
	dir[".ci/config"] = pkgdir.File{Data: config()}
	return dir, nil
}

// OwnedFiles is the part of Files that belongs to caur.
func OwnedFiles(forge Forge) (pkgdir.Dir, error) {
	dir, err := Files(forge)
	maps.DeleteFunc(dir, func(path string, _ pkgdir.File) bool { return !Owned(path) })
	return dir, err
}

// config is .ci/config with every key that there is, commented.
func config() []byte {
	var b bytes.Buffer
	b.WriteString("# Settings of this repository; the environment of a pipeline wins over them. A line that is commented shows the default.\n")
	for _, key := range state.RootKeys() {
		fmt.Fprintf(&b, "\n# %s\n#%s=%s\n", key.Help, key.Name, key.Default)
	}
	return b.Bytes()
}

package builder

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
)

// containerShare is where today's compose file mounts SHARED_PATH in the builder's own container.
const containerShare = "/shared"

// places are the builder's directories. A builder that runs in a container itself sees them at other paths than the
// engine, which makes the mounts: "here" and "host".
type places struct {
	builds   string // here: a directory for each job
	caches   string // here: source caches
	gits     string // here: bare repositories of the source repos
	mappings [][2]string
	shared   string // here
}

// findPlaces decides where everything is. SHARED_PATH is the host's path; when there is no such directory here but
// /shared, that is where it is mounted.
func findPlaces(s Settings) places {
	p := places{shared: s.SharedPath}
	if !isDir(s.SharedPath) && isDir(containerShare) {
		p.shared = containerShare
		p.mappings = append(p.mappings, [2]string{containerShare, s.SharedPath})
	}
	root := s.BuildDirManager
	if root == "" {
		root = filepath.Join(p.shared, "build")
	}
	if s.BuildDirHost != "" && s.BuildDirHost != root {
		p.mappings = append([][2]string{{root, s.BuildDirHost}}, p.mappings...)
	}
	p.builds = filepath.Join(root, s.Hostname)
	p.gits = filepath.Join(p.shared, "git")
	p.caches = s.SrcdestCache
	if p.caches == "" {
		p.caches = filepath.Join(p.shared, "srcdest_cached")
	}
	return p
}

// host gives the path under which the engine knows a path of this process.
func (p places) host(path string) string {
	for _, m := range p.mappings {
		if path == m[0] || strings.HasPrefix(path, m[0]+"/") {
			return m[1] + path[len(m[0]):]
		}
	}
	return path
}

// make makes the directories. What root of a container writes belongs to root of this machine, also a program with the
// set-user-id bit; so nobody else gets near it, except where builds run without a root file system of their own.
func (p places) make() error {
	for dir, mode := range map[string]os.FileMode{p.builds: 0o700, p.caches: 0o700, p.gits: 0o700} {
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return fmt.Errorf("make the builder's directories (SHARED_PATH): %w", err)
		}
		if err := os.Mkdir(dir, mode); err != nil && !isDir(dir) {
			return fmt.Errorf("make the builder's directories (SHARED_PATH): %w", err)
		}
	}
	return nil
}

// program is our own program, where the engine finds it: in a container of our own that is a copy in SHARED_PATH, since the
// engine makes its mounts on the machine outside.
func (p places) program(copied bool) (string, error) {
	own, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find our own program: %w", err)
	}
	if !copied {
		return own, nil
	}
	info, err := os.Stat(own)
	if err != nil {
		return "", fmt.Errorf("look at our own program: %w", err)
	}
	// One copy a version; builders of an older one may run beside us.
	name := filepath.Join(p.shared, "bin", fmt.Sprintf("caur-exec-%x-%x", info.Size(), info.ModTime().UnixNano()))
	if copied, err := os.Stat(name); err == nil && copied.Size() == info.Size() {
		return name, nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return "", fmt.Errorf("make a place for our own program (SHARED_PATH): %w", err)
	}
	data, err := os.ReadFile(own)
	if err == nil {
		err = renameio.WriteFile(name, data, 0o755)
	}
	if err != nil {
		return "", fmt.Errorf("copy our own program to where the engine sees it: %w", err)
	}
	return name, nil
}

// inContainer says whether this process runs in a container of docker or podman.
func inContainer() bool {
	for _, mark := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(mark); err == nil {
			return true
		}
	}
	return false
}

// open lets the build user of this machine reach its builds.
func (p places) open() error {
	for _, dir := range []string{p.builds, p.caches} {
		if err := os.Chmod(dir, 0o755); err != nil {
			return fmt.Errorf("open the builder's directories to the build user: %w", err)
		}
	}
	return nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

package builder

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
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

package publish

import (
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Server serves the target repos below a directory over HTTP, so that a reader of a signed database gets the signature
// that belongs to it, however many publishes happen between its two requests: REPO.db and REPO.files are redirected
// to the newest pair, which never changes, and pacman asks for the signature beside where the database came from.
//
//	/REPO/ARCH/FILE          a package, a signature or a database
//	/REPO/ARCH/@PAIR/FILE    a database or signature of one publish
//	/REPO/archive/FILE       a superseded package
//	/REPO/FILE               lastupdate, pkgs.txt, pkgs.files.txt
type Server struct{ repoPath string }

// NewServer serves REPO_PATH.
func NewServer(repoPath string) *Server { return &Server{repoPath: repoPath} }

// ServeHTTP answers GET and HEAD; whatever is none of the above is not found.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if slices.ContainsFunc(parts, func(part string) bool { return part == "" || part[0] == '.' || strings.ContainsAny(part, "\x00\\") }) {
		http.NotFound(w, r)
		return
	}
	switch repo, name := parts[0], parts[len(parts)-1]; {
	case len(parts) == 2 && slices.Contains([]string{"lastupdate", "pkgs.txt", "pkgs.files.txt"}, name):
		s.file(w, r, path.Join(parts...), "no-cache")
	case len(parts) == 3 && (name == repo+".db" || name == repo+".files"):
		l := layout{root: filepath.Join(s.repoPath, repo), repo: repo, arch: parts[1]}
		pair, err := os.Readlink(filepath.Join(l.abs(l.pairs()), current))
		if err != nil { // not signed
			s.file(w, r, path.Join(parts...), "no-cache")
			return
		}
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Location", "@"+pair+"/"+name) // relative: a proxy may serve us below a prefix
		w.WriteHeader(http.StatusFound)
	case len(parts) == 3:
		s.file(w, r, path.Join(parts...), "no-cache")
	case len(parts) == 4 && len(parts[2]) > 1 && parts[2][0] == '@':
		s.file(w, r, path.Join(repo, hidden, parts[1], "pairs", parts[2][1:], name), "public, max-age=600, immutable")
	default:
		http.NotFound(w, r)
	}
}

// file sends a regular file; links may not lead out of the repositories.
func (s *Server) file(w http.ResponseWriter, r *http.Request, name, cache string) {
	root, err := os.OpenRoot(s.repoPath)
	if err != nil {
		http.Error(w, "the repositories are not there", http.StatusServiceUnavailable)
		return
	}
	defer root.Close()
	st, err := root.Stat(name)
	if err != nil || !st.Mode().IsRegular() {
		http.NotFound(w, r)
		return
	}
	f, err := root.Open(name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	defer f.Close()
	if st, err = f.Stat(); err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", cache)
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, path.Base(name), st.ModTime().Truncate(time.Second), f)
}

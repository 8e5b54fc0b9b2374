package srcinfo

import (
	"path/filepath"
	"slices"
	"strings"
)

// Source is one entry of source: [NAME::]URL, where the URL of a VCS source is
// [VCS+]URL[#TYPE=REF][?signed] (PKGBUILD(5), "Using VCS sources").
type Source struct {
	Entry    string // as it is written
	Arch     string // "" for every architecture
	Name     string // file or directory that makepkg makes of it
	URL      string // without NAME:: and VCS+; for a VCS without fragment and query; a path when Local
	VCS      string // "git", "hg", "svn", "bzr", "fossil" or ""
	FragType string // "branch", "tag", "commit", "revision" or "" of a VCS source
	FragRef  string
	Local    bool // a file of the package directory
}

// Sources lists the sources of all architectures in the order of the file.
func (i *Info) Sources() []Source {
	var sources []Source
	for _, f := range i.Base {
		if f.Key == "source" && f.Value != "" {
			s := ParseSource(f.Value)
			s.Arch = f.Arch
			sources = append(sources, s)
		}
	}
	return sources
}

// LocalFiles lists, each once, the files of the package directory that the
// .SRCINFO names: local sources, install and changelog, of base and packages. A path that
// would leave the directory or name something hidden below .git is left out.
func (i *Info) LocalFiles() []string {
	var files []string
	seen := make(map[string]bool)
	add := func(file string) {
		clean := filepath.Clean(file)
		hidden := clean == ".git" || strings.HasPrefix(clean, ".git/")
		if file != "" && filepath.IsLocal(file) && clean != "." && !hidden && !seen[clean] {
			seen[clean] = true
			files = append(files, clean)
		}
	}
	for _, s := range i.Sources() {
		if s.Local {
			add(s.URL)
		}
	}
	add(i.Base.Value("install"))
	add(i.Base.Value("changelog"))
	for n := range i.Packages {
		add(i.Packages[n].Own.Value("install"))
		add(i.Packages[n].Own.Value("changelog"))
	}
	return files
}

// ParseSource takes one entry apart as makepkg does (its util/source.sh). It never fails.
func ParseSource(entry string) Source {
	s := Source{Entry: entry, URL: entry}
	name, url, named := strings.Cut(entry, "::")
	if named {
		s.Name, s.URL = name, url
	}
	scheme, _, remote := strings.Cut(s.URL, "://")
	if !remote {
		scheme, _, remote = strings.Cut(s.URL, "lp:")
		if remote {
			scheme = "bzr"
		}
	}
	if !remote {
		s.Local = true
		if !named {
			s.Name = lastElement(s.URL)
		}
		return s
	}
	vcs, _, _ := strings.Cut(scheme, "+")
	if !slices.Contains([]string{"bzr", "fossil", "git", "hg", "svn"}, vcs) {
		if !named {
			s.Name = lastElement(s.URL)
		}
		return s
	}
	s.VCS = vcs
	s.URL = strings.TrimPrefix(s.URL, vcs+"+")
	s.splitFragment()
	if !named {
		s.Name = vcsName(vcs, s.URL)
	}
	return s
}

// splitFragment takes #TYPE=REF and ?QUERY, in either order, off the URL.
func (s *Source) splitFragment() {
	_, fragment, _ := strings.Cut(s.URL, "#")
	s.URL, _, _ = strings.Cut(s.URL, "#")
	s.URL, _, _ = strings.Cut(s.URL, "?")
	if n := strings.LastIndexByte(fragment, '?'); n >= 0 {
		fragment = fragment[:n]
	}
	s.FragType, s.FragRef, _ = strings.Cut(fragment, "=")
}

func vcsName(vcs, url string) string {
	name := lastElement(strings.TrimSuffix(url, "/"))
	switch vcs {
	case "bzr":
		if _, after, ok := strings.Cut(name, "lp:"); ok {
			name = after
		}
	case "fossil":
		name += ".fossil"
	case "git":
		name, _, _ = strings.Cut(name, ".git")
	}
	return name
}

func lastElement(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

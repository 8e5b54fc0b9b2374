package review

import (
	"slices"
	"strings"

	"github.com/caur-build/caur/internal/pkgbuild"
)

// source is one entry, taken apart.
type source struct {
	raw    string // as it is written
	entry  string // what it means; raw where that is not known
	known  bool
	line   int
	local  bool
	name   string // file that makepkg makes of it, when the entry says so itself
	scheme string
	host   string // with user and port
	path   string // with the query
	pin    string // fragment
	signed bool
	vcs    string
}

func parseSources(list []pkgbuild.Element) (out []source) {
	for _, e := range list {
		if e.Dynamic != nil {
			out = append(out, source{raw: e.Raw, entry: e.Raw, line: e.Line})
			continue
		}
		for _, v := range e.Values {
			s := parseSource(v)
			s.raw, s.line = e.Raw, e.Line
			out = append(out, s)
		}
	}
	return out
}

func parseSource(entry string) source {
	s := source{entry: entry, known: true}
	url := entry
	if name, rest, ok := strings.Cut(entry, "::"); ok {
		s.name, url = name, rest
	}
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		s.local = !strings.Contains(url, ":")
		s.path = url
		return s
	}
	s.scheme = strings.ToLower(scheme)
	if vcs, plain, found := strings.Cut(s.scheme, "+"); found {
		s.vcs, s.scheme = vcs, plain
	} else if slices.Contains([]string{"git", "hg", "svn", "bzr"}, s.scheme) {
		s.vcs = s.scheme
	}
	if s.vcs != "" || strings.Contains(rest, "#") {
		rest, s.pin, _ = strings.Cut(rest, "#")
		if before, found := strings.CutSuffix(s.pin, "?signed"); found {
			s.pin, s.signed = before, true
		}
		if before, found := strings.CutSuffix(rest, "?signed"); found {
			rest, s.signed = before, true
		}
	}
	s.host, s.path, _ = strings.Cut(rest, "/")
	s.host = strings.ToLower(s.host)
	return s
}

// forges: the first two parts of a path say whose repository it is, and may not pass as a version.
func forge(host string) bool {
	if strings.HasPrefix(host, "git.") || strings.HasSuffix(host, ".sr.ht") {
		return true
	}
	for label := range strings.SplitSeq(host, ".") {
		switch strings.SplitN(label, "-", 2)[0] {
		case "github", "githubusercontent", "gitlab", "codeberg", "bitbucket", "gitea", "forgejo", "invent", "salsa", "gitee", "notabug", "sourceforge", "launchpad", "pagure":
			return true
		}
	}
	return false
}

// sameButVersion says whether two sources differ only in the version inside them.
func (p *places) sameButVersion(a, b source) bool {
	if a.entry == b.entry {
		return true
	}
	if a.raw != "" && a.raw == b.raw && a.known && b.known { // the same text: only variables that were judged themselves differ
		return a.scheme == b.scheme && a.host == b.host && a.vcs == b.vcs
	}
	if !a.known || !b.known || a.scheme != b.scheme || a.vcs != b.vcs || a.host != b.host || a.signed != b.signed || a.local != b.local {
		return false
	}
	x, y := a.path, b.path
	if forge(a.host) {
		owner := func(path string) (head, tail string) {
			parts := strings.SplitN(path, "/", 3)
			if len(parts) < 3 {
				return path, ""
			}
			return parts[0] + "/" + parts[1], parts[2]
		}
		var h1, h2 string
		h1, x = owner(x)
		h2, y = owner(y)
		if h1 != h2 {
			return false
		}
	}
	if strings.Contains(y, "/../") && !strings.Contains(x, "/../") {
		return false
	}
	hashes := func(s string) string { return longHash().ReplaceAllString(s, "\x02") }
	return p.same(hashes(x), hashes(y)) && (p.same(a.name, b.name) || letters(a.name) == letters(b.name)) && p.samePin(a.pin, b.pin)
}

// samePin: a commit stays a commit, a tag a tag.
func (p *places) samePin(before, after string) bool {
	k1, v1, _ := strings.Cut(before, "=")
	k2, v2, _ := strings.Cut(after, "=")
	if k1 != k2 {
		return false
	}
	if k1 == "commit" && hashForm().MatchString(v1) && hashForm().MatchString(v2) && len(v2) >= len(v1) {
		return true
	}
	return k1 != "branch" && p.same(v1, v2)
}

// compareSources compares the elements of one source array.
func (j *judging) compareSources(file, name string, line int, before, after []pkgbuild.Element) {
	old, now := parseSources(before), parseSources(after)
	if len(old) == len(now) && len(now) > 0 {
		same, equal := true, true
		for i := range old {
			same = same && j.places.sameButVersion(old[i], now[i]) && (old[i].known || old[i].raw == now[i].raw)
			equal = equal && old[i].entry == now[i].entry
		}
		if same && !j.runsNew(before, after) {
			rule := "source-version"
			if equal {
				rule = "layout"
			}
			j.find(rule, file, line, "", "", name)
			return
		}
	}
	used := make([]bool, len(old))
	var left []source
	for _, n := range now {
		i := slices.IndexFunc(old, func(o source) bool {
			return !used[slices.IndexFunc(old, func(x source) bool { return x.entry == o.entry })] && j.places.sameButVersion(o, n)
		})
		if i < 0 {
			left = append(left, n)
			continue
		}
		used[i] = true
	}
	var gone []source
	for i, o := range old {
		if !used[i] {
			gone = append(gone, o)
		}
	}
	j.pairSources(file, line, gone, left)
	if len(gone) == 0 && len(left) == 0 {
		j.find("source-form", file, line, "", "", name)
	}
}

// runsNew says whether an element is written with a substitution that was not there before.
func (j *judging) runsNew(before, after []pkgbuild.Element) bool {
	for _, e := range after {
		if e.Dynamic != nil && !slices.ContainsFunc(before, func(o pkgbuild.Element) bool { return o.Raw == e.Raw }) {
			return true
		}
	}
	return false
}

// pairSources joins what went with what came: by file name, else in order.
func (j *judging) pairSources(file string, line int, gone, come []source) {
	for _, n := range come {
		i := slices.IndexFunc(gone, func(o source) bool { return o.host == n.host && o.host != "" })
		if i < 0 {
			i = slices.IndexFunc(gone, func(o source) bool { return !o.local && !n.local })
		}
		if i < 0 {
			j.newSource(file, n)
			continue
		}
		j.movedSource(file, gone[i], n)
		gone = slices.Delete(slices.Clone(gone), i, i+1)
	}
	for _, o := range gone {
		if strings.HasSuffix(o.entry, ".sig") || strings.HasSuffix(o.entry, ".asc") || strings.HasSuffix(o.entry, ".sign") {
			j.find("signature-dropped", file, line, o.entry, "", "")
			continue
		}
		j.find("source-removed", file, line, o.entry, "", "")
	}
}

func (j *judging) newSource(file string, n source) {
	switch {
	case !n.known:
		j.find("source-form", file, n.line, "", n.raw, "")
	case n.local:
		j.find("source-local", file, n.line, "", n.entry, "")
	default:
		j.find("source-added", file, n.line, "", n.entry, "")
		j.insecure(file, source{}, n)
	}
}

func (j *judging) movedSource(file string, o, n source) {
	switch {
	case !n.known:
		j.find("source-form", file, n.line, o.entry, n.raw, "")
		return
	case o.known && o.host != n.host:
		j.find("source-host", file, n.line, o.entry, n.entry, "")
	case o.path != n.path || !o.known:
		j.find("source-path", file, n.line, o.entry, n.entry, "")
	case o.signed && !n.signed:
	case o.pin == n.pin && o.scheme == n.scheme:
		j.find("source-path", file, n.line, o.entry, n.entry, "")
	}
	j.insecure(file, o, n)
	if o.signed && !n.signed {
		j.find("signature-dropped", file, n.line, o.entry, n.entry, "")
	}
	if o.vcs != "" && o.pin != n.pin {
		k1, _, _ := strings.Cut(o.pin, "=")
		k2, _, _ := strings.Cut(n.pin, "=")
		strength := map[string]int{"commit": 3, "tag": 2, "revision": 3}
		if strength[k2] < strength[k1] || strength[k1] > 0 && k1 == k2 && k1 == "commit" && !hashForm().MatchString(strings.TrimPrefix(n.pin, "commit=")) {
			j.find("source-unpinned", file, n.line, o.entry, n.entry, "")
		} else {
			j.find("source-path", file, n.line, o.entry, n.entry, "")
		}
	}
}

func (j *judging) insecure(file string, o, n source) {
	weak := func(s source) bool {
		return s.scheme == "http" || s.scheme == "ftp" || s.scheme == "git" && s.host != ""
	}
	if weak(n) && !weak(o) {
		j.find("source-insecure", file, n.line, o.entry, n.entry, "")
	} else if o.scheme == n.scheme || weak(o) && !weak(n) && o.known {
		return
	} else if o.known && o.scheme != "" {
		j.find("source-path", file, n.line, o.entry, n.entry, "")
	}
}

// compareHosts compares what the sources mean at the end of the file, whatever variables they are made of.
func (j *judging) compareHosts(file string) {
	older, newer := j.older.eval(), j.newer.eval()
	for _, name := range newer.Names() {
		if !isSource(name) {
			continue
		}
		a, b := older.Get(name), newer.Get(name)
		if !a.Static() || !b.Static() || len(a.Items) != len(b.Items) {
			continue
		}
		for i := range b.Items {
			o, n := parseSource(a.Items[i]), parseSource(b.Items[i])
			if o.host == n.host && o.scheme == n.scheme && o.vcs == n.vcs {
				continue
			}
			if !slices.ContainsFunc(j.v.Findings, func(f Finding) bool { return f.Kind == "source" && f.Major && f.New == clipText(n.entry) }) {
				n.line = b.Line
				if o.host == n.host {
					j.movedSource(file, o, n)
				} else {
					j.find("source-host", file, b.Line, o.entry, n.entry, name)
				}
			}
		}
	}
}

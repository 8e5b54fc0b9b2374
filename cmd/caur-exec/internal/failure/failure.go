// Package failure says why a build failed: from the end of its log, its exit code, and what is known otherwise.
//
// It is pure. A log is hostile text: what it says is a guess for people, and decides over nothing but whether the build
// is tried once more (Transient). Rules are a table (rules.go); the log is read from its end, so that the last error
// counts, except that a full disk and a lack of memory count before what they broke.
package failure

import "strings"

// The classes.
const (
	Dependency = "dependency" // something that is needed to build is not there, or conflicts
	Download   = "download"   // a source, or a file of a mirror, did not come
	Checksum   = "checksum"   // a source is not the one that the PKGBUILD means
	PGP        = "pgp"        // a signature or key
	Patch      = "patch"      // a patch does not apply
	Compile    = "compile"    // configure, compile or link
	Test       = "test"       // check()
	Package    = "package"    // package(), or the PKGBUILD itself
	Memory     = "memory"
	Disk       = "disk"
	Timeout    = "timeout"
	Unknown    = "unknown"
)

// Facts are what is known of the end of a build without its log.
type Facts struct {
	Code        int  // exit status of the build
	TimedOut    bool // our time limit ended it
	OutOfMemory bool // the engine says so
	DiskFull    bool // our disk limit ended it
}

// Transient says whether a build that failed so may well succeed later as it is.
func Transient(class string) bool { return class == Download }

const (
	reach        = 1000 // lines from the end that are looked at
	causeReach   = 60   // lines from the end in which a cause is looked for
	clusterReach = 12   // lines between two errors that are told together
	mostErrors   = 7    // of a cluster; the rest is for what follows it
)

// Classifier holds the rules; make one with New and keep it.
type Classifier struct {
	causes, rules []rule
}

// New makes a classifier.
func New() *Classifier { return &Classifier{causes: causes(), rules: rules()} }

// Classify says why a build failed, with the lines of its log that say so: at most 10 of 300 bytes, without escapes. tail is
// the end of the log.
func (c *Classifier) Classify(tail []byte, f Facts) (class string, lines []string) {
	all := ours(clean(tail))
	class, at := c.find(all, f)
	return class, report(all, at)
}

// find gives the class, and the indexes of the lines that say it, oldest first; none when no line does.
func (c *Classifier) find(lines []string, f Facts) (class string, at []int) {
	in := phaseOf(lines)
	cause, causeAt := c.cause(lines)
	switch {
	case f.TimedOut || f.Code == 124:
		return Timeout, nil
	case f.OutOfMemory:
		return Memory, causeAt
	case f.DiskFull:
		return Disk, causeAt
	case cause != "" && (in != "check" || cause == Disk): // tests run out of memory on purpose
		return cause, causeAt
	}
	class, at = c.last(lines, in)
	switch {
	case class != "" && class != Compile:
		return class, at
	case in == "check" || in == "package":
		return byPhase[in], at
	case class != "":
		return class, at
	case in != "":
		return byPhase[in], nil
	}
	if class, ok := byCode[f.Code]; ok {
		return class, nil
	}
	return Unknown, nil
}

// cause looks for what counts before everything else.
func (c *Classifier) cause(lines []string) (class string, at []int) {
	for i := len(lines) - 1; i >= max(0, len(lines)-causeReach); i-- {
		if !hinted(lines[i]) {
			continue
		}
		for _, r := range c.causes {
			if r.like.MatchString(lines[i]) {
				return r.class, []int{i}
			}
		}
	}
	return "", nil
}

// last looks for the last line that a rule knows, and the lines of the same class shortly before it.
func (c *Classifier) last(lines []string, in string) (class string, at []int) {
	weak := false
	for i := len(lines) - 1; i >= max(0, len(lines)-reach) && len(at) < mostErrors; i-- {
		if len(at) > 0 && at[0]-i > clusterReach {
			break
		}
		got := c.classOf(lines[i], in)
		switch {
		case got == "":
			if class == "" && strings.HasPrefix(lines[i], "==> ERROR: ") && !phase.MatchString(lines[i]) {
				class, at, weak = Package, []int{i}, true // makepkg does not like something; perhaps a line above says why
			}
		case class == "":
			class, at = got, []int{i}
		case weak:
			class, at, weak = got, []int{i, at[0]}, false
		case got == class:
			at = append([]int{i}, at...)
		}
	}
	return class, at
}

// classOf is the class that a line means in a function of the PKGBUILD, "" for none.
func (c *Classifier) classOf(line, in string) string {
	if !hinted(line) || noise.MatchString(line) || phase.MatchString(line) {
		return ""
	}
	if in == "" {
		in = "none"
	}
	for _, r := range c.rules {
		if (r.in == "" || strings.Contains(" "+r.in+" ", " "+in+" ")) && r.like.MatchString(line) {
			return r.class
		}
	}
	return ""
}

// hinted says whether a rule may know a line: it holds one of the words that each of them wants. Most lines of a log do not,
// and forty expressions take long.
func hinted(line string) bool {
	line = strings.ToLower(line)
	for _, hint := range hints {
		if strings.Contains(line, hint) {
			return true
		}
	}
	return false
}

// phaseOf names the function of the PKGBUILD that failed last, without the name of a split package.
func phaseOf(lines []string) string {
	for i := len(lines) - 1; i >= max(0, len(lines)-causeReach); i-- {
		if m := phase.FindStringSubmatch(lines[i]); m != nil {
			return m[1]
		}
	}
	return ""
}

// ours leaves out what caur-exec build says after the end of the build.
func ours(lines []string) []string {
	for i := len(lines) - 1; i >= max(0, len(lines)-causeReach); i-- {
		if lines[i] == "==> caur: interferences:" {
			return lines[:i]
		}
	}
	return lines
}

// report gives the lines for people: those that say what is wrong and how makepkg ended, else the last ones.
func report(lines []string, at []int) []string {
	var out []string
	add := func(line string) {
		out = append(out, strings.TrimSpace(cut(line, maxWidth)))
	}
	if len(at) == 0 {
		for _, line := range lines[max(0, len(lines)-maxLines):] {
			add(line)
		}
		return out
	}
	for _, i := range at {
		add(lines[i])
	}
	for _, line := range lines[at[len(at)-1]+1:] {
		if len(out) < maxLines && strings.HasPrefix(line, "==> ERROR: ") {
			add(line)
		}
	}
	return out
}

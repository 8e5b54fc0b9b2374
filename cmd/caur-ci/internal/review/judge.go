package review

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// judging is one comparison at work.
type judging struct {
	in           Input
	v            Verdict
	older, newer *side // the PKGBUILDs; units and files are nil where they cannot be read
	places       places
	seen         map[string]bool
	pins         map[string]bool       // variables whose version or hash changed
	hidden       map[string]bool       // decoded text that was judged
	scripts      map[string]bool       // install scripts of either version
	lines        map[string]lineChange // of files, by path
}

const (
	maxFindings = 500
	maxValue    = 400 // bytes of a value in a finding
	maxHidden   = 100 // pieces of decoded text that are judged
)

// Judge compares the two directories.
func Judge(in Input) Verdict {
	j := &judging{in: in, seen: map[string]bool{}, hidden: map[string]bool{}, pins: map[string]bool{}, lines: map[string]lineChange{}}
	j.v = Verdict{Pkgbase: in.Pkgbase, Findings: []Finding{}, From: version(in.Old), To: version(in.New)}
	changes := pkgdir.Diff(in.Old, in.New)
	if len(changes) == 0 {
		return j.v
	}
	j.v.Level = Minor
	older, newer := in.Old["PKGBUILD"], in.New["PKGBUILD"]
	j.newer = newSide("PKGBUILD", newer.Data)
	if j.older = j.newer; !bytes.Equal(older.Data, newer.Data) {
		j.older = newSide("PKGBUILD", older.Data)
	}
	j.scripts = j.installScripts()
	if !older.Equal(newer) {
		j.pkgbuild(older, newer)
	}
	j.srcinfo()
	for _, c := range changes {
		if c.Path != "PKGBUILD" && c.Path != ".SRCINFO" {
			j.changedFile(c)
		}
	}
	j.risks(changes)
	j.signals()
	for _, f := range j.v.Findings {
		if f.Major {
			j.v.Level = Major
		}
	}
	if len(j.v.Findings) == 0 { // comments and blank lines
		j.find("layout", changes[0].Path, 0, "", "", "")
	}
	sortFindings(j.v.Findings)
	return j.v
}

// oldLines are the lines of the new version of a file that the old version has somewhere, too. Only what lies between
// the common beginning and end needs a look.
func (j *judging) oldLines(file string) lineChange {
	change, ok := j.lines[file]
	if !ok {
		change = compareLines(j.in.Old[file].Data, j.in.New[file].Data)
		j.lines[file] = change
	}
	return change
}

// pkgbuild compares the PKGBUILDs, which differ.
func (j *judging) pkgbuild(older, newer pkgdir.File) {
	const name = "PKGBUILD"
	j.flaws(name, newer.Data, true)
	switch {
	case newer.Data == nil:
		j.find("file-removed", name, 0, "", "", name)
		return
	case newer.Kind == pkgdir.Link:
		j.find("link", name, 0, "", string(newer.Data), name)
		return
	case older.Kind != newer.Kind && older.Data != nil:
		j.find("mode", name, 0, "", "", name)
	}
	switch {
	case j.newer.err != nil:
		j.find("unreadable", name, errorLine(j.newer.err), "", j.newer.err.Error(), name)
	case j.older.err != nil:
		if older.Data != nil {
			j.find("unreadable", name, errorLine(j.older.err), j.older.err.Error(), "", "the old "+name)
		} else {
			j.find("file-added", name, 0, "", "", name)
		}
		j.older = newSide(name, nil)
		j.comparePKGBUILD(name, j.older, j.newer)
	default:
		j.comparePKGBUILD(name, j.older, j.newer)
	}
	if j.hasMajor(name) {
		j.outOfSight(name, newer.Data)
	}
}

// find notes a finding. what completes the rule's title: the variable, function or file that it is about.
func (j *judging) find(rule, file string, line int, older, newer, what string) {
	r := table().byID[rule]
	j.note(r, r.Severity, file, line, older, newer, what)
}

func (j *judging) note(r *Rule, severity Severity, file string, line int, older, newer, what string) {
	text := r.Title
	if what != "" {
		text += ": " + clipText(what)
	}
	f := Finding{
		Rule: r.ID, Kind: r.Kind, Severity: severity, Major: !r.Minor, File: file, Line: line,
		Old: clipText(older), New: clipText(newer), Text: text + ".",
	}
	key := fmt.Sprintf("%s\x00%s\x00%d\x00%s\x00%s\x00%s", f.Rule, f.File, f.Line, f.Old, f.New, f.Text)
	if j.seen[key] {
		return
	}
	j.seen[key] = true
	if len(j.v.Findings) >= maxFindings { // keep the dangerous ones
		i := slices.IndexFunc(j.v.Findings, func(o Finding) bool { return o.Severity < f.Severity })
		if i >= 0 {
			j.v.Findings[i] = f
			j.v.Findings[0].Major = true
		}
		return
	}
	j.v.Findings = append(j.v.Findings, f)
}

// clipText makes a value fit for a report: valid, bounded, unknown parts as an ellipsis.
func clipText(s string) string {
	if len(s) > maxValue {
		s = s[:maxValue] + "…"
	}
	s = strings.ReplaceAll(s, unknown, "…")
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.TrimRight(s, "\n")
}

// version is the version in .SRCINFO, "" where there is none.
func version(d pkgdir.Dir) string {
	f, ok := d[".SRCINFO"]
	if !ok {
		return ""
	}
	info, _, err := srcinfo.Parse(".SRCINFO", f.Data)
	if err != nil {
		return ""
	}
	return info.Version()
}

// hasMajor says whether a file has a finding that makes the change major.
func (j *judging) hasMajor(file string) bool {
	return slices.ContainsFunc(j.v.Findings, func(f Finding) bool { return f.Major && f.File == file })
}

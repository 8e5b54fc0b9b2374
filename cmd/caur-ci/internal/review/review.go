// Package review compares two versions of a package directory and says what a person has to look at (pipeline.md
// section 4). It is pure: no network, no files, no clock; nothing of a package is ever executed or sourced.
//
// # Words
//
// A verdict is what Judge finds: a level and findings. The level is Identical, Minor (nothing but version, checksums,
// pinned commits, layout and comments changed) or Major. A finding is one difference or one risk, with the rule that
// found it; a rule is a value in a table with an id, documented in docs/review-rules.md. A decision is what Decide
// makes of a verdict, the settings and the signals: apply directly, ask people, or wait. Signals are what is known beside
// the two directories: who maintains the package, since when, who wrote the commit.
//
// # How minor is decided
//
// The two syntax trees are split into top-level statements. Statements that are the same but for layout, comments and
// quoting are the same. Only a few places may differ: pkgver, pkgrel, epoch, checksums, version variables and the version
// inside a source; there both values must be literals of a strict form, so that a value can never carry code. All that
// remains is major. What cannot be read (syntax errors, carriage returns, other encodings, too large, too deep) is major,
// too. So code that is new can never be minor, whatever the rules know or do not know about it.
//
// # How risks are found
//
// Every command of the old and of the new version is resolved as far as it is static: quotes, line continuations,
// variables, arrays, aliases, here-documents, eval, sh -c, and text that is decoded from base64, hexadecimal and the like,
// nested. The rules look at the result. What a rule finds in the new version but not in the old one is a finding.
package review

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/caur-build/caur/pkg/pkgdir"
)

// Level says how much of a package changed.
type Level uint8

// The levels of a verdict.
const (
	Identical Level = iota // no file differs
	Minor                  // only what section 4 allows without review
	Major                  // everything else
)

var levelNames = [...]string{"identical", "minor", "major"}

// String is "identical", "minor" or "major".
func (l Level) String() string { return levelNames[min(int(l), len(levelNames)-1)] }

// MarshalText writes the level as String does.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (l *Level) UnmarshalText(text []byte) error {
	i := slices.Index(levelNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("level %q: want identical, minor or major", text)
	}
	*l = Level(i)
	return nil
}

// Severity says how dangerous a finding may be.
type Severity uint8

// The severities of a finding, in rising order.
const (
	Info     Severity = iota // for the record
	Notice                   // an ordinary change of what is built
	Warning                  // often harmless, also the way attacks look
	Critical                 // hardly ever harmless: always needs people
)

var severityNames = [...]string{"info", "notice", "warning", "critical"}

// String is "info", "notice", "warning" or "critical".
func (s Severity) String() string { return severityNames[min(int(s), len(severityNames)-1)] }

// MarshalText writes the severity as String does.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (s *Severity) UnmarshalText(text []byte) error {
	i := slices.Index(severityNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("severity %q: want info, notice, warning or critical", text)
	}
	*s = Severity(i)
	return nil
}

// Input is a pair of package directories.
type Input struct {
	Pkgbase  string
	Old, New pkgdir.Dir
	Allow    []*regexp.Regexp // CI_PKGBUILD_CHANGE_ALLOW_REGEX: lines that may change without review
	Signals  Signals
}

// Signals is what is known beside the directories. A zero field is unknown; Judge says so and never takes it as good.
type Signals struct {
	Source            string // where the update comes from: aur, git, gitlab, nvchecker, update.sh…; "" by hand
	Now               time.Time
	MaintainersBefore []string  // when the last version was taken over (CI_AUR_MAINTAINERS); nil: unknown
	MaintainersNow    []string  // maintainer and co-maintainers
	MaintainersKnown  bool      // MaintainersNow is what the AUR says; an empty list then means orphaned
	MaintainersSince  time.Time // the maintainers of now are known to hold the package since then
	MaintainersLonger bool      // nobody looked before: they may have held it for longer
	Trusted           []string  // .ci/aur-maintainers
	LastModified      time.Time
	FirstSubmitted    time.Time
	AdoptionDays      int // CI_ADOPTION_DAYS
	AuthorName        string
	AuthorEmail       string
	CommitTime        time.Time
}

// Verdict is what Judge finds.
type Verdict struct {
	Pkgbase  string    `json:"pkgbase,omitempty"`
	Level    Level     `json:"level"`
	From     string    `json:"from,omitempty"` // [epoch:]pkgver-pkgrel, "" where it cannot be known without running code
	To       string    `json:"to,omitempty"`
	Findings []Finding `json:"findings"`          // worst first, then major before minor, then by file and line
	Unknown  []string  `json:"unknown,omitempty"` // signals that could not be had, a sentence each
}

// Worst is the highest severity of all findings; Info where there is none.
func (v Verdict) Worst() Severity {
	worst := Info
	for _, f := range v.Findings {
		worst = max(worst, f.Severity)
	}
	return worst
}

// Finding is one difference or one risk.
type Finding struct {
	Rule     string   `json:"rule"` // id of a rule, as in docs/review-rules.md
	Kind     string   `json:"kind"` // what it is about: version, source, checksum, function, network…
	Severity Severity `json:"severity"`
	Major    bool     `json:"major"`          // it makes the verdict major
	File     string   `json:"file,omitempty"` // "" for a signal
	Line     int      `json:"line,omitempty"` // 1-based, in the new file, or in the old one where a thing is gone; 0: the whole file
	Old      string   `json:"old,omitempty"`
	New      string   `json:"new,omitempty"`
	Text     string   `json:"text"` // one plain sentence
}

func sortFindings(list []Finding) {
	slices.SortStableFunc(list, func(a, b Finding) int {
		major := func(f Finding) int {
			if f.Major {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), major(a)-major(b), cmp.Compare(a.File, b.File), a.Line-b.Line, cmp.Compare(a.Rule, b.Rule))
	})
}

package review

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// youngAge is how long a package has to be in the AUR before its age is no signal (section 4).
const youngAge = 30 * 24 * time.Hour

// signals judges what is known beside the directories. Only changes from the AUR have such signals.
func (j *judging) signals() {
	s := j.in.Signals
	if s.Source != "aur" {
		return
	}
	j.maintainers(s)
	switch {
	case s.FirstSubmitted.IsZero():
		j.unknown("When the package came into the AUR is unknown.")
	case s.Now.Sub(s.FirstSubmitted) < youngAge:
		j.find("young", "", 0, "", s.FirstSubmitted.UTC().Format(time.DateOnly), "")
	}
	switch {
	case s.AuthorName == "" && s.AuthorEmail == "":
		j.unknown("Who wrote the AUR commit is unknown.")
	case !s.MaintainersKnown || len(s.MaintainersNow) == 0:
	case !j.isMaintainer(s):
		j.find("author", "", 0, strings.Join(s.MaintainersNow, ", "), fmt.Sprintf("%s <%s>", s.AuthorName, s.AuthorEmail), "")
	}
}

func (j *judging) maintainers(s Signals) {
	switch {
	case !s.MaintainersKnown:
		j.find("maintainer-unknown", "", 0, "", "", "")
		return
	case len(s.MaintainersNow) == 0:
		j.find("orphaned", "", 0, strings.Join(s.MaintainersBefore, ", "), "", "")
	}
	if s.MaintainersBefore == nil {
		j.unknown("Who maintained the package when the last version was taken over is unknown.")
	} else if added, gone := changedNames(s.MaintainersBefore, s.MaintainersNow); len(added)+len(gone) > 0 {
		j.find("maintainer-changed", "", 0, strings.Join(s.MaintainersBefore, ", "), strings.Join(s.MaintainersNow, ", "), "")
	}
	window := time.Duration(s.AdoptionDays) * 24 * time.Hour
	switch {
	case s.MaintainersSince.IsZero():
		j.unknown("Since when the maintainers have held the package is unknown.")
	case s.AdoptionDays <= 0 || s.Now.Sub(s.MaintainersSince) >= window:
	case s.MaintainersLonger:
		j.unknown("Whether the maintainers adopted the package lately is unknown: they were first seen on " + s.MaintainersSince.UTC().Format(time.DateOnly) + ".")
	default:
		j.find("adopted", "", 0, "", s.MaintainersSince.UTC().Format(time.DateOnly), "")
	}
}

// isMaintainer compares the author with the accounts. Accounts, names and addresses are written in many ways: letters and
// digits count only, and one may be part of the other. An author whom the old PKGBUILD names as its maintainer is one.
func (j *judging) isMaintainer(s Signals) bool {
	local, _, _ := strings.Cut(s.AuthorEmail, "@")
	if _, after, ok := strings.Cut(local, "+"); ok && strings.HasSuffix(s.AuthorEmail, "noreply.github.com") { // 123+name@users.noreply.github.com
		local = after
	}
	for _, account := range s.MaintainersNow {
		for _, name := range []string{s.AuthorName, local} {
			if a, b := bare(account), bare(name); a == b && a != "" || min(len(a), len(b)) >= 4 && (strings.Contains(a, b) || strings.Contains(b, a)) {
				return true
			}
		}
	}
	named, _ := headerPeople(j.in.Old["PKGBUILD"].Data)
	return slices.ContainsFunc(named, func(line string) bool {
		return s.AuthorEmail != "" && strings.Contains(line, strings.ToLower(s.AuthorEmail)) || len(bare(s.AuthorName)) >= 6 && strings.Contains(bare(line), bare(s.AuthorName))
	})
}

func bare(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r >= 0x80 {
			return r
		}
		return -1
	}, strings.ToLower(s))
}

func (j *judging) unknown(sentence string) { j.v.Unknown = append(j.v.Unknown, sentence) }

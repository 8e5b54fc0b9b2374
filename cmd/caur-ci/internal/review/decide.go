package review

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Policy is what the repository asks for (.ci/config).
type Policy struct {
	HumanReview    bool          // CI_HUMAN_REVIEW
	ReviewCritical bool          // CI_REVIEW_CRITICAL is always
	Cooldown       time.Duration // CI_UPDATE_COOLDOWN
	Because        string        // why people must look whatever the change is ("found by nvchecker"); "" for none
}

// Decision is what to do with a change.
type Decision struct {
	NeedsReview bool   `json:"needs_review"`
	Trusted     bool   `json:"trusted"` // a major change that is applied because all who maintain it are trusted
	Cooling     bool   `json:"cooling"` // too young: wait, keep no state; then NeedsReview says what is going to happen
	Why         string `json:"why"`     // one sentence
}

// Decide applies the trust rules of section 4. The verdict must come from the same signals.
func Decide(v Verdict, p Policy, s Signals) Decision {
	d := decideReview(v, p, s)
	if wait := coolsFor(v, p, s); wait > 0 {
		d.Cooling = true
		d.Why = fmt.Sprintf("The change is %s old and waits another %s (CI_UPDATE_COOLDOWN).", age(p.Cooldown-wait), age(wait))
	}
	return d
}

func decideReview(v Verdict, p Policy, s Signals) Decision {
	switch {
	case v.Level == Identical:
		return Decision{Why: "Nothing changed."}
	case p.ReviewCritical && v.Worst() == Critical:
		return Decision{NeedsReview: true, Why: "A critical finding always needs review: " + worstText(v)}
	case p.Because != "":
		return Decision{NeedsReview: true, Why: "It needs review because it was " + strings.TrimSuffix(p.Because, ".") + "."}
	case v.Level == Minor:
		return Decision{Why: "Only version, checksums, layout and comments changed."}
	case !p.HumanReview:
		return Decision{Why: "CI_HUMAN_REVIEW is off."}
	case s.Source != "aur" && s.Source != "":
		return Decision{Trusted: true, Why: "The source " + s.Source + " counts as trusted."}
	}
	if why := untrusted(s); why != "" {
		return Decision{NeedsReview: true, Why: why}
	}
	why := "All maintainers are trusted: " + strings.Join(s.MaintainersNow, ", ") + "."
	if s.MaintainersBefore == nil {
		why += " Who maintained the version before is unknown."
	}
	return Decision{Trusted: true, Why: why}
}

// untrusted says why the people behind a change are not trusted, "" when they are.
func untrusted(s Signals) string {
	switch {
	case !s.MaintainersKnown:
		return "Who maintains the package is unknown."
	case len(s.MaintainersNow) == 0:
		return "Nobody maintains the package."
	}
	if added, gone := changedNames(s.MaintainersBefore, s.MaintainersNow); s.MaintainersBefore != nil && len(added)+len(gone) > 0 {
		return "The maintainers changed since the last version."
	}
	for _, name := range s.MaintainersNow {
		if !slices.ContainsFunc(s.Trusted, func(t string) bool { return strings.EqualFold(t, name) }) {
			return fmt.Sprintf("%s is not in .ci/aur-maintainers.", name)
		}
	}
	return ""
}

// coolsFor is how much longer a change has to wait. A change whose age is unknown has not aged.
func coolsFor(v Verdict, p Policy, s Signals) time.Duration {
	if p.Cooldown <= 0 || v.Level == Identical || s.Source != "aur" && s.Source != "git" {
		return 0
	}
	born := s.CommitTime
	if s.LastModified.After(born) { // a commit may be older than its push
		born = s.LastModified
	}
	switch {
	case born.IsZero():
		return p.Cooldown
	case born.After(s.Now): // a clock that is wrong, or a date that is forged
		return p.Cooldown
	}
	return max(0, p.Cooldown-s.Now.Sub(born))
}

func worstText(v Verdict) string {
	for _, f := range v.Findings {
		if f.Severity == v.Worst() {
			return f.Text
		}
	}
	return ""
}

// changedNames compares two lists of accounts without regard to case.
func changedNames(before, now []string) (added, gone []string) {
	missing := func(from, in []string) (out []string) {
		for _, name := range from {
			if !slices.ContainsFunc(in, func(o string) bool { return strings.EqualFold(o, name) }) {
				out = append(out, name)
			}
		}
		return out
	}
	return missing(now, before), missing(before, now)
}

// age writes a duration for people: hours and days.
func age(d time.Duration) string {
	switch hours := int(d.Round(time.Hour).Hours()); {
	case d < time.Hour:
		return fmt.Sprintf("%d min", max(1, int(d.Minutes())))
	case hours < 48:
		return fmt.Sprintf("%d h", hours)
	default:
		return fmt.Sprintf("%d days", hours/24)
	}
}

package forge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Risk is how dangerous it may be to merge a request.
type Risk uint8

// The risks, in rising order. What cannot be judged is worse than all but what is known to be dangerous.
const (
	RiskInfo Risk = iota
	RiskNotice
	RiskWarning
	RiskUnknown
	RiskCritical
)

// String is "info", "notice", "warning", "unknown" or "critical".
func (r Risk) String() string {
	names := [...]string{"info", "notice", "warning", "unknown", "critical"}
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("risk %d", r)
}

// MarshalText writes the risk as String does.
func (r Risk) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Assessment is what a judge found in a request. The zero value is one that was not judged.
type Assessment struct {
	Judged  bool
	Risk    Risk
	HeadSHA string   // the commit that was judged
	From    string   // version on the target branch, "" when unknown
	To      string   // version in the request
	Reasons []string // one sentence each, the worst first
}

// Entry is an open request in a digest.
type Entry struct {
	Request
	Pkgbase string   `json:"pkgbase"`
	Risk    Risk     `json:"risk"`
	Judged  string   `json:"judged,omitempty"` // the commit that was judged
	From    string   `json:"from,omitempty"`
	To      string   `json:"to,omitempty"`
	Reasons []string `json:"reasons"`
}

// Digest sorts open requests by risk, the most dangerous first, and the oldest first among equals; by[number] is what a judge
// found. The label of danger stays true whatever the judge says now: it may come from signals that are not in the files.
func Digest(list []Request, by map[int]Assessment) []Entry {
	out := make([]Entry, 0, len(list))
	branches := map[string]int{}
	for _, r := range list {
		branches[r.Branch]++
	}
	for _, r := range list {
		a := by[r.Number]
		e := Entry{
			Request: r, Pkgbase: strings.TrimPrefix(r.Branch, BranchPrefix), Risk: a.Risk, Judged: a.HeadSHA, From: a.From, To: a.To,
			Reasons: append([]string{}, a.Reasons...),
		}
		if !a.Judged {
			e.Risk = RiskUnknown
		}
		if branches[r.Branch] > 1 {
			e.Risk = max(e.Risk, RiskUnknown)
			e.Reasons = append(e.Reasons, "The branch has more than one open request.")
		}
		if e.Risk != RiskCritical && hasLabel(r.Labels, LabelDanger) {
			e.Risk = RiskCritical
			e.Reasons = slices.Insert(e.Reasons, 0, "It has the label "+LabelDanger+".")
		}
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(b.Risk, a.Risk), a.Created.Compare(b.Created), cmp.Compare(a.Number, b.Number))
	})
	return out
}

// Merged is what became of one package of MergeAll.
type Merged struct {
	Pkgbase string
	URL     string
	Err     error // nil: it is merged
}

// MergeAll merges the requests of these packages, each at the very commit that was judged. What is critical or could not be
// judged is refused: that is for a person to read and to merge where it is shown. One that fails stops no other, unless the
// forge does not want to be asked any more.
func MergeAll(ctx context.Context, f Forge, digest []Entry, pkgbases []string) []Merged {
	var out []Merged
	seen := map[string]bool{}
	var stop error
	for _, name := range pkgbases {
		if seen[name] {
			continue
		}
		seen[name] = true
		m := Merged{Pkgbase: name}
		i := slices.IndexFunc(digest, func(e Entry) bool { return e.Pkgbase == name })
		switch {
		case i < 0:
			m.Err = errors.New("has no open request")
		case digest[i].Risk >= RiskUnknown || digest[i].Judged == "":
			m.URL = digest[i].URL
			m.Err = fmt.Errorf("the risk is %s: read it and merge it there", digest[i].Risk)
		case stop != nil:
			m.URL, m.Err = digest[i].URL, fmt.Errorf("not tried: %w", stop)
		default:
			m.URL, m.Err = digest[i].URL, f.Merge(ctx, digest[i].Number, digest[i].Judged)
			stop = giveUp(ctx, m.Err)
		}
		out = append(out, m)
	}
	return out
}

// giveUp gives the error after which there is no use in going on.
func giveUp(ctx context.Context, err error) error {
	var limit *LimitError
	if ctx.Err() != nil || errors.As(err, &limit) {
		return err
	}
	return nil
}

package review

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/pkg/pkgdir"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// settled are the signals of a package that two people have held for years.
func settled() Signals {
	return Signals{
		Source: "aur", Now: noon, MaintainersKnown: true, MaintainersNow: []string{"ada", "bo"}, MaintainersBefore: []string{"Ada", "bo"}, MaintainersSince: noon.AddDate(-2, 0, 0),
		Trusted: []string{"ADA", "bo", "cy"}, LastModified: noon.Add(-time.Hour), FirstSubmitted: noon.AddDate(-3, 0, 0), AdoptionDays: 14,
		AuthorName: "Ada", AuthorEmail: "ada@example.org", CommitTime: noon.Add(-2 * time.Hour),
	}
}

func TestTrustFollowsTheRules(t *testing.T) {
	review := Policy{HumanReview: true, ReviewCritical: true}
	major, minor := Verdict{Level: Major}, Verdict{Level: Minor}
	critical := Verdict{Level: Major, Findings: []Finding{{Severity: Critical, Major: true, Text: "Something is downloaded and run at once."}}}
	with := func(change func(*Signals)) Signals {
		s := settled()
		change(&s)
		return s
	}
	for _, c := range []struct {
		name    string
		v       Verdict
		p       Policy
		s       Signals
		review  bool
		trusted bool
		why     string
	}{
		{"what is identical needs nobody", Verdict{}, review, settled(), false, false, "Nothing changed"},
		{"a minor change needs nobody, whoever made it", minor, review, with(func(s *Signals) { s.Trusted = nil }), false, false, "Only version"},
		{"all maintainers trusted, whatever the case", major, review, settled(), false, true, "ada, bo"},
		{"one who is not trusted", major, review, with(func(s *Signals) { s.Trusted = []string{"ada"} }), true, false, "bo is not in"},
		{"nobody is trusted", major, review, with(func(s *Signals) { s.Trusted = nil }), true, false, "ada is not in"},
		{"an orphan", major, review, with(func(s *Signals) { s.MaintainersNow = nil }), true, false, "Nobody maintains"},
		{"unknown maintainers", major, review, with(func(s *Signals) { s.MaintainersKnown = false }), true, false, "unknown"},
		{"a maintainer more, though trusted", major, review, with(func(s *Signals) { s.MaintainersNow = []string{"ada", "bo", "cy"} }), true, false, "changed"},
		{"a maintainer less", major, review, with(func(s *Signals) { s.MaintainersNow = []string{"ada"} }), true, false, "changed"},
		{"it was an orphan before", major, review, with(func(s *Signals) { s.MaintainersBefore = []string{} }), true, false, "changed"},
		{"who was before is unknown: said, and the names decide", major, review, with(func(s *Signals) { s.MaintainersBefore = nil }), false, true, "before is unknown"},
		{"other sources count as trusted", major, review, Signals{Source: "git", Now: noon}, false, true, "git"},
		{"no source is no trusted source", major, review, Signals{Now: noon}, true, false, "unknown"},
		{"a critical finding of trusted people", critical, review, settled(), true, false, "downloaded and run"},
		{"a critical finding of another source", critical, review, Signals{Source: "nvchecker", Now: noon}, true, false, "critical"},
		{"a critical finding without reviews", critical, Policy{ReviewCritical: true}, settled(), true, false, "critical"},
		{"CI_REVIEW_CRITICAL=never leaves it to trust", critical, Policy{HumanReview: true}, settled(), false, true, "trusted"},
		{"reviews are off", major, Policy{ReviewCritical: true}, with(func(s *Signals) { s.Trusted = nil }), false, false, "CI_HUMAN_REVIEW"},
		{"a reason of its own, for a minor change too", minor, Policy{Because: "found by nvchecker"}, settled(), true, false, "found by nvchecker."},
	} {
		d := Decide(c.v, c.p, c.s)
		if d.NeedsReview != c.review || d.Trusted != c.trusted || d.Cooling || !strings.Contains(d.Why, c.why) || !strings.HasSuffix(d.Why, ".") {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
}

func TestAYoungChangeCools(t *testing.T) {
	day := Policy{Cooldown: 24 * time.Hour, HumanReview: true}
	for _, c := range []struct {
		name    string
		source  string
		commit  time.Duration // before now
		pushed  time.Duration // LastModified before now
		cooling bool
	}{
		{"an hour old", "aur", time.Hour, time.Hour, true},
		{"two days old", "aur", 48 * time.Hour, 48 * time.Hour, false},
		{"an old commit that was pushed just now", "aur", 48 * time.Hour, time.Hour, true},
		{"exactly as old as it has to be", "aur", 24 * time.Hour, 24 * time.Hour, false},
		{"from the future", "aur", -time.Hour, -time.Hour, true},
		{"found by ourselves", "nvchecker", time.Minute, time.Minute, false},
		{"of another repository", "git", time.Hour, time.Hour, true},
	} {
		s := settled()
		s.Source, s.CommitTime, s.LastModified = c.source, noon.Add(-c.commit), noon.Add(-c.pushed)
		if d := Decide(Verdict{Level: Minor}, day, s); d.Cooling != c.cooling || c.cooling && !strings.Contains(d.Why, "CI_UPDATE_COOLDOWN") {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
	unknown := Signals{Source: "git", Now: noon}
	if d := Decide(Verdict{Level: Major}, day, unknown); !d.Cooling {
		t.Error("a change of unknown age has not aged")
	}
	if d := Decide(Verdict{Level: Minor}, Policy{}, settled()); d.Cooling {
		t.Error("without a cooldown nothing waits")
	}
}

func TestSignals(t *testing.T) {
	older, newer := dirOf("pkgname=a\npkgver=1\npkgrel=1\n"), dirOf("pkgname=a\npkgver=2\npkgrel=1\n")
	for _, c := range []struct {
		name    string
		change  func(*Signals)
		rules   []string
		unknown []string
	}{
		{"a settled package has none", func(*Signals) {}, nil, nil},
		{"changes that are not of the AUR have none", func(s *Signals) { *s = Signals{Source: "gitlab"} }, nil, nil},
		{"new maintainers", func(s *Signals) { s.MaintainersNow = []string{"mallory"}; s.AuthorName = "mallory" }, []string{"maintainer-changed"}, nil},
		{"a co-maintainer left", func(s *Signals) { s.MaintainersNow = []string{"ada"} }, []string{"maintainer-changed"}, nil},
		{"adopted a week ago", func(s *Signals) { s.MaintainersSince = noon.AddDate(0, 0, -7) }, []string{"adopted"}, nil},
		{"adopted a week ago, where that does not matter", func(s *Signals) { s.MaintainersSince, s.AdoptionDays = noon.AddDate(0, 0, -7), 0 }, nil, nil},
		{"first seen a week ago, which may mean anything", func(s *Signals) { s.MaintainersSince, s.MaintainersLonger = noon.AddDate(0, 0, -7), true }, nil, []string{"first seen"}},
		{"first seen a month ago, so held for at least that", func(s *Signals) { s.MaintainersSince, s.MaintainersLonger = noon.AddDate(0, -1, 0), true }, nil, nil},
		{"orphaned", func(s *Signals) { s.MaintainersNow = nil }, []string{"maintainer-changed", "orphaned"}, nil},
		{"another author", func(s *Signals) { s.AuthorName, s.AuthorEmail = "Mallory", "m@example.net" }, []string{"author"}, nil},
		{"an author by the address", func(s *Signals) { s.AuthorName, s.AuthorEmail = "A. B.", "ada@example.org" }, nil, nil},
		{"an author by GitHub's address", func(s *Signals) { s.AuthorName, s.AuthorEmail = "x", "123+ada@users.noreply.github.com" }, nil, nil},
		{"young", func(s *Signals) { s.FirstSubmitted = noon.AddDate(0, 0, -3) }, []string{"young"}, nil},
		{"unknown maintainers are no good ones", func(s *Signals) { s.MaintainersKnown, s.MaintainersNow = false, nil }, []string{"maintainer-unknown"}, nil},
		{"what is unknown is said", func(s *Signals) {
			s.MaintainersBefore, s.MaintainersSince, s.FirstSubmitted, s.AuthorName, s.AuthorEmail = nil, time.Time{}, time.Time{}, "", ""
		}, nil, []string{"last version", "Since when", "came into the AUR", "Who wrote"}},
	} {
		s := settled()
		c.change(&s)
		v := Judge(Input{Old: older, New: newer, Signals: s})
		var rules []string
		for _, f := range v.Findings {
			if f.Kind == "maintainer" {
				rules = append(rules, f.Rule)
			}
		}
		slices.Sort(rules)
		if diff := cmp.Diff(c.rules, rules); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
		if want := len(c.rules) > 0; (v.Level == Major) != want {
			t.Errorf("%s: %s", c.name, v.Level)
		}
		for _, part := range c.unknown {
			if !slices.ContainsFunc(v.Unknown, func(u string) bool { return strings.Contains(u, part) }) {
				t.Errorf("%s: %q is not among %v", c.name, part, v.Unknown)
			}
		}
		if len(v.Unknown) != len(c.unknown) {
			t.Errorf("%s: %v", c.name, v.Unknown)
		}
	}
}

func TestAnAuthorWhomTheOldPKGBUILDNamesIsKnown(t *testing.T) {
	older := dirOf("# Maintainer: Grace Hopper <grace at navy dot example>\npkgname=a\npkgver=1\npkgrel=1\n")
	newer := dirOf("# Maintainer: Mallory Evil <m@example.net>\npkgname=a\npkgver=2\npkgrel=1\n")
	s := settled()
	s.AuthorName, s.AuthorEmail = "Grace Hopper", "gh@example.com"
	if v := Judge(Input{Old: older, New: newer, Signals: s}); v.Level != Minor {
		t.Error(v.Findings)
	}
	s.AuthorName, s.AuthorEmail = "Mallory Evil", "m@example.net" // only the new one names them
	if v := Judge(Input{Old: older, New: newer, Signals: s}); v.Level != Major {
		t.Error(v.Findings)
	}
}

func TestVerdictsSurviveJSON(t *testing.T) {
	e := examples(t, "hostile")[0]
	want := Judge(e.in)
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Verdict
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, wrong := range []string{`{"level":"huge"}`, `{"findings":[{"severity":"fatal"}]}`} {
		if err := json.Unmarshal([]byte(wrong), &got); err == nil {
			t.Errorf("%s was read", wrong)
		}
	}
	if data, err := json.Marshal(Judge(Input{Old: e.in.Old, New: e.in.Old})); err != nil || !strings.Contains(string(data), `"findings":[]`) {
		t.Errorf("%s %v", data, err)
	}
}

func TestFilesThatAreNoText(t *testing.T) {
	text := pkgdir.File{Data: []byte("text\n")}
	for _, c := range []struct {
		name     string
		old, new *pkgdir.File
		rule     string
		severity Severity
	}{
		{"a picture", nil, &pkgdir.File{Data: []byte("\x89PNG\r\n\x1a\n\x00\x00")}, "binary", Warning},
		{"a picture that was text", &text, &pkgdir.File{Data: []byte("\x89PNG\r\n\x1a\n\x00\x00")}, "binary", Warning},
		{"a program", nil, &pkgdir.File{Data: []byte("\x7fELF\x02\x01\x01\x00")}, "program", Critical},
		{"a program of Windows", nil, &pkgdir.File{Data: []byte("MZ\x90\x00\x03")}, "program", Critical},
		{"a class of Java", &text, &pkgdir.File{Data: []byte("\xca\xfe\xba\xbe\x00")}, "program", Critical},
		{"Latin-1", nil, &pkgdir.File{Data: []byte("caf\xe9\n")}, "binary", Warning},
		{"a link", nil, &pkgdir.File{Kind: pkgdir.Link, Data: []byte("PKGBUILD")}, "link", Warning},
		{"a file that becomes a link", &text, &pkgdir.File{Kind: pkgdir.Link, Data: []byte("PKGBUILD")}, "link", Warning},
		{"a file that becomes executable", &text, &pkgdir.File{Kind: pkgdir.Executable, Data: text.Data}, "mode", Notice},
	} {
		older, newer := dirOf(plainText), dirOf(plainText)
		if c.old != nil {
			older["x"] = *c.old
		}
		newer["x"] = *c.new
		v := Judge(Input{Old: older, New: newer})
		if v.Level != Major || v.Worst() != c.severity || v.Findings[0].Rule != c.rule {
			t.Errorf("%s: %v", c.name, v.Findings)
		}
	}
}

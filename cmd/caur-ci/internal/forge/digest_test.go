package forge

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/internal/testenv"
)

func TestDigestPutsTheMostDangerousFirst(t *testing.T) {
	at := func(day int) time.Time { return time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC) }
	list := []Request{
		{Number: 1, Branch: "update-young", Created: at(9)},
		{Number: 2, Branch: "update-old", Created: at(1)},
		{Number: 3, Branch: "update-labelled", Created: at(5), Labels: []string{"ci", "Danger"}},
		{Number: 4, Branch: "update-unjudged", Created: at(5)},
		{Number: 5, Branch: "update-evil", Created: at(8)},
		{Number: 6, Branch: "update-twice", Created: at(5)},
		{Number: 7, Branch: "update-twice", Created: at(6)},
		{Number: 8, Branch: "update-warned", Created: at(7)},
	}
	by := map[int]Assessment{
		1: {Judged: true, Risk: RiskNotice}, 2: {Judged: true, Risk: RiskNotice}, 3: {Judged: true, Risk: RiskInfo, Reasons: []string{"a"}},
		5: {Judged: true, Risk: RiskCritical, HeadSHA: "5"}, 6: {Judged: true}, 7: {Judged: true}, 8: {Judged: true, Risk: RiskWarning},
	}
	var got []string
	for _, e := range Digest(list, by) {
		got = append(got, fmt.Sprintf("%s %d %s", e.Risk, e.Number, e.Pkgbase))
		if e.Number == 3 && (len(e.Reasons) != 2 || !strings.Contains(e.Reasons[0], LabelDanger)) {
			t.Errorf("reasons of the labelled: %q", e.Reasons)
		}
	}
	want := []string{
		"critical 3 labelled", "critical 5 evil", "unknown 4 unjudged", "unknown 6 twice", "unknown 7 twice", "warning 8 warned",
		"notice 2 old", "notice 1 young",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestDigestAsJSON(t *testing.T) {
	data, err := json.Marshal(Digest([]Request{{Number: 1, Branch: "update-a", Body: "long", Labels: []string{}}},
		map[int]Assessment{1: {Judged: true, Risk: RiskWarning, To: "2-1"}}))
	want := `[{"number":1,"branch":"update-a","target":"","title":"","url":"","head":"","labels":[],"created":"0001-01-01T00:00:00Z",` +
		`"updated":"0001-01-01T00:00:00Z","pkgbase":"a","risk":"warning","to":"2-1","reasons":[]}]`
	if err != nil || string(data) != want {
		t.Errorf("%s, %v", data, err)
	}
}

func TestMergeAllMergesTheHarmlessOnly(t *testing.T) {
	onBoth(t, func(t *testing.T, s *stand) {
		r := s.upsert(s.forge, s.proposal())
		entry := func(name string, risk Risk, judged string) Entry {
			return Entry{Request: Request{Number: r.Number, URL: "u"}, Pkgbase: name, Risk: risk, Judged: judged}
		}
		digest := []Entry{
			entry("evil", RiskCritical, s.head), entry("dark", RiskUnknown, s.head), entry("blind", RiskInfo, ""),
			entry("moved", RiskInfo, s.base), entry("foo", RiskWarning, s.head),
		}
		got := MergeAll(t.Context(), s.forge, digest, []string{"evil", "dark", "blind", "none", "moved", "foo", "foo"})
		want := map[string]string{
			"evil": "the risk is critical", "dark": "the risk is unknown", "blind": "read it", "none": "no open request",
			"moved": "has moved", "foo": "",
		}
		if len(got) != len(want) {
			t.Errorf("%+v", got)
		}
		for _, m := range got {
			if (m.Err == nil) != (want[m.Pkgbase] == "") || (m.Err != nil && !strings.Contains(m.Err.Error(), want[m.Pkgbase])) {
				t.Errorf("%s: %v", m.Pkgbase, m.Err)
			}
		}
		if s.only().State != "merged" {
			t.Error("foo is not merged")
		}
	})
}

func TestMergeAllStopsWhenTheForgeWantsNoMore(t *testing.T) {
	onSame(t, newNames(t), func(t *testing.T, s *stand) {
		r := s.upsert(s.forge, s.proposal())
		s.Fail(testenv.Fault{Path: "/merge", Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "9999"}})
		digest := []Entry{
			{Request: Request{Number: r.Number}, Pkgbase: "a", Judged: s.head}, {Request: Request{Number: r.Number}, Pkgbase: "b", Judged: s.head},
		}
		before := len(s.Writes())
		got := MergeAll(t.Context(), s.forge, digest, []string{"a", "b"})
		if len(got) != 2 || got[0].Err == nil || got[1].Err == nil || !strings.Contains(got[1].Err.Error(), "not tried") {
			t.Errorf("%+v", got)
		}
		if n := len(s.Writes()) - before; n != 1 {
			t.Errorf("asked %d times", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, m := range MergeAll(ctx, s.forge, digest, []string{"a", "b"}) {
			if m.Err == nil {
				t.Errorf("merged %s though nobody waits", m.Pkgbase)
			}
		}
	})
}

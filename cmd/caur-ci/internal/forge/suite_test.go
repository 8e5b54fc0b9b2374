package forge

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caur-build/caur/internal/testenv"
)

func TestUpsertOpensARequestWithAllThatSection4Asks(t *testing.T) {
	onSame(t, newNames(t), func(t *testing.T, s *stand) {
		p := s.proposal()
		p.Danger = true
		r := s.upsert(s.forge, p)
		m := s.only()
		if m.Branch != p.Branch || m.Target != "main" || m.Title != p.Title || m.Body != p.Body || m.State != "open" || !m.Collaboration {
			t.Errorf("opened %+v", m)
		}
		if want := []string{"danger", "ci", "human-review", "update"}; !same(m.Labels, want) || !same(r.Labels, want) {
			t.Errorf("labels %q, told %q", m.Labels, r.Labels)
		}
		if !slices.Equal(m.Assignees, []string{s.person()}) {
			t.Errorf("assignees %q", m.Assignees)
		}
		if s.kind == GitLab && !m.RemoveBranch {
			t.Error("the branch would stay after merging")
		}
		if r.Number != m.Number || r.HeadSHA != p.HeadSHA || r.Branch != p.Branch || r.Created.IsZero() ||
			!strings.Contains(r.URL, fmt.Sprint(m.Number)) {
			t.Errorf("told %+v", r)
		}
		list, err := s.forge.Open(t.Context())
		if err != nil || len(list) != 1 || list[0].Number != r.Number {
			t.Errorf("open: %+v, %v", list, err)
		}
	})
}

func TestUpsertWritesNothingWhenNothingChanged(t *testing.T) {
	onSame(t, newGround(t), func(t *testing.T, s *stand) {
		p := s.proposal()
		p.Threads = []Thread{{ID: "pipe:PKGBUILD", File: "foo/PKGBUILD", Line: 2, Text: "Runs what it downloads."}}
		p.Danger = true
		s.upsert(s.forge, p)
		before := len(s.Writes())
		s.Change(s.only().Number, func(m *testenv.MergeRequest) {
			m.Labels = append(m.Labels, "seen by tess")
			m.Body = strings.ReplaceAll(strings.TrimSpace(m.Body), "\n", "\r\n") // as an editor in the browser leaves it
			slices.Reverse(m.Labels)
		})
		s.upsert(s.forge, p)
		s.upsert(s.again(nil), p)
		if writes := s.Writes()[before:]; len(writes) > 0 {
			t.Errorf("wrote %+v", writes)
		}
	})
}

func TestUpsertUpdatesTheOpenRequestAndKeepsWhatPeopleDid(t *testing.T) {
	onSame(t, newNames(t), func(t *testing.T, s *stand) {
		p := s.proposal()
		first := s.upsert(s.forge, p)
		s.Change(first.Number, func(m *testenv.MergeRequest) {
			m.Title = "Draft: " + m.Title
			m.Labels = append(m.Labels, "waits")
			m.Assignees = []string{"7"}
		})
		p.Title, p.Body, p.Danger = "chore(update): foo 3", "Version **3**.", true
		p.Labels = append(p.Labels, "nvchecker")
		second := s.upsert(s.again(nil), p)
		m := s.only()
		if second.Number != first.Number || m.Title != "Draft: chore(update): foo 3" || m.Body != p.Body {
			t.Errorf("updated to %+v", m)
		}
		if !same(m.Labels, []string{"ci", "human-review", "update", "waits", "nvchecker", "danger"}) || !slices.Equal(m.Assignees, []string{"7"}) {
			t.Errorf("labels %q, assignees %q", m.Labels, m.Assignees)
		}
		p.Danger, p.Target = false, "stable"
		third := s.upsert(s.again(nil), p)
		if m := s.only(); slices.Contains(m.Labels, LabelDanger) || slices.Contains(third.Labels, LabelDanger) ||
			!slices.Contains(m.Labels, "waits") || m.Target != "stable" {
			t.Errorf("after the danger is over: %+v", m)
		}
	})
}

func TestUpsertNeverOpensASecondRequest(t *testing.T) {
	tests := []struct {
		name string
		open func(s *stand, p Proposal) // before Upsert by s.forge
	}{
		{"when another pipeline was faster", func(s *stand, p Proposal) {
			_, _ = s.forge.Open(s.t.Context()) // sees none
			s.upsert(s.again(nil), p)
		}},
		{"when the answer got lost", func(s *stand, _ Proposal) {
			s.Fail(testenv.Fault{Method: "POST", Status: http.StatusBadGateway, Act: true})
		}},
		{"when the connection broke", func(s *stand, _ Proposal) {
			s.Fail(testenv.Fault{Method: "POST", Act: true, Drop: true})
		}},
		{"when there is one into another branch", func(s *stand, p Proposal) {
			s.Add(testenv.MergeRequest{Branch: p.Branch, Target: "old", Title: "x"})
		}},
	}
	g := newNames(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onSame(t, g, func(t *testing.T, s *stand) {
				p := s.proposal()
				tt.open(s, p)
				s.upsert(s.forge, p)
				if m := s.only(); m.Title != p.Title || m.Target != "main" || !slices.Contains(m.Labels, "ci") || len(m.Assignees) != 1 {
					t.Errorf("%+v", m)
				}
			})
		})
	}
}

func TestARequestThatWasClosedMeanwhileIsOpenedAnew(t *testing.T) {
	onSame(t, newNames(t), func(t *testing.T, s *stand) {
		p := s.proposal()
		first := s.upsert(s.forge, p)
		s.Change(first.Number, func(m *testenv.MergeRequest) { m.State = "closed" })
		p.Body = "Version 3."
		second := s.upsert(s.forge, p)
		list := s.MergeRequests()
		if len(list) != 2 || second.Number == first.Number || list[1].State != "open" || list[1].Body != p.Body {
			t.Errorf("%+v", list)
		}
	})
}

func TestRequestsFromForksAreNotOurs(t *testing.T) {
	onSame(t, newNames(t), func(t *testing.T, s *stand) {
		p := s.proposal()
		strange := s.Add(testenv.MergeRequest{Branch: p.Branch, Target: "main", Title: "mine", Fork: true, HeadSHA: "f00"})
		r := s.upsert(s.forge, p)
		if r.Number == strange {
			t.Fatal("took over the request of a stranger")
		}
		for _, f := range []Forge{s.forge, s.again(nil)} {
			list, err := f.Open(t.Context())
			if err != nil || len(list) != 1 || list[0].Number != r.Number {
				t.Errorf("open: %+v, %v", list, err)
			}
		}
	})
}

func TestOpenListsThousandsOnce(t *testing.T) {
	onSame(t, newNames(t), func(t *testing.T, s *stand) {
		for i := range 3000 {
			s.Add(testenv.MergeRequest{Branch: fmt.Sprintf("update-pkg%d", i), Target: "main", Title: "x", HeadSHA: fmt.Sprintf("%040x", i)})
		}
		s.Add(testenv.MergeRequest{Branch: "feature", Target: "main", Title: "x"})
		s.Add(testenv.MergeRequest{Branch: "update-done", Target: "main", Title: "x", State: "merged"})
		last := s.proposal()
		number := s.Add(testenv.MergeRequest{Branch: last.Branch, Target: "main", Title: last.Title, Body: last.Body, Labels: last.Labels,
			Assignees: []string{last.Assignee}})
		list, err := s.forge.Open(t.Context())
		if err != nil || len(list) != 3001 {
			t.Fatalf("%d open requests, %v", len(list), err)
		}
		asked := len(s.Requests())
		if want := 31; asked != want {
			t.Errorf("asked %d times, want %d pages", asked, want)
		}
		if r := s.upsert(s.forge, last); r.Number != number {
			t.Errorf("request %d instead of %d", r.Number, number)
		}
		if _, err := s.forge.Open(t.Context()); err != nil || len(s.Requests()) != asked {
			t.Errorf("asked again: %+v, %v", s.Requests()[asked:], err)
		}
	})
}

func TestOpenTakesPagesOfAnySize(t *testing.T) {
	onSame(t, newNames(t), func(t *testing.T, s *stand) {
		for i := range 9 {
			s.Add(testenv.MergeRequest{Branch: fmt.Sprintf("update-p%d", i), Target: "main", HeadSHA: "1"})
		}
		for _, size := range []int{1, 2, 3, 8, 9, 10} {
			s.SetPageSize(size)
			list, err := s.again(nil).Open(t.Context())
			if err != nil || len(list) != 9 {
				t.Errorf("pages of %d: %d requests, %v", size, len(list), err)
			}
		}
	})
}

func TestCloseSaysWhy(t *testing.T) {
	onSame(t, newNames(t), func(t *testing.T, s *stand) {
		r := s.upsert(s.forge, s.proposal())
		if err := s.forge.Close(t.Context(), r.Number, "Overtaken.\n/reopen"); err != nil {
			t.Fatal(err)
		}
		m := s.only()
		if m.State != "closed" || len(m.Comments) != 1 || !strings.HasPrefix(m.Comments[0].Text, "Overtaken.") {
			t.Errorf("%+v", m)
		}
		if list, err := s.forge.Open(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("still open: %+v, %v", list, err)
		}
		before := len(s.Writes())
		if err := s.forge.Close(t.Context(), r.Number, ""); err != nil || len(s.Writes()) != before+1 {
			t.Errorf("again, silently: %v, %+v", err, s.Writes()[before:])
		}
	})
}

func TestMergeMergesWhatWasLookedAt(t *testing.T) {
	onBoth(t, func(t *testing.T, s *stand) {
		p := s.proposal()
		r := s.upsert(s.forge, p)
		moved := s.push("update-foo", "pkgname=foo\npkgver=3\n")
		if err := s.forge.Merge(t.Context(), r.Number, p.HeadSHA); !errors.Is(err, ErrHeadMoved) {
			t.Fatalf("merging an older commit: %v", err)
		}
		if err := s.forge.Merge(t.Context(), r.Number, ""); err == nil {
			t.Error("merged without saying what")
		}
		if err := s.forge.Merge(t.Context(), r.Number, moved); err != nil {
			t.Fatal(err)
		}
		s.repo.Git("fetch", "-q", "--prune", "origin")
		if got := s.repo.Git("show", "origin/main:foo/PKGBUILD"); got != "pkgname=foo\npkgver=3" {
			t.Errorf("main holds %q", got)
		}
		if m := s.only(); m.State != "merged" {
			t.Errorf("state %s", m.State)
		}
		if got := s.repo.Git("branch", "-r", "--list", "origin/update-foo"); got != "" {
			t.Errorf("branch %s is still there", got)
		}
		if err := s.forge.Merge(t.Context(), r.Number, moved); err != nil {
			t.Errorf("what is merged at this commit is as it should be: %v", err)
		}
	})
}

func TestMergeIsDoneWhenOnlyTheAnswerGotLost(t *testing.T) {
	onBoth(t, func(t *testing.T, s *stand) {
		p := s.proposal()
		r := s.upsert(s.forge, p)
		s.Fail(testenv.Fault{Method: "PUT", Path: "/merge", Status: http.StatusGatewayTimeout, Act: true})
		if err := s.forge.Merge(t.Context(), r.Number, p.HeadSHA); err != nil {
			t.Fatal(err)
		}
		if m := s.only(); m.State != "merged" {
			t.Errorf("state %s", m.State)
		}
	})
}

func TestMergeSaysWhyNot(t *testing.T) {
	onBoth(t, func(t *testing.T, s *stand) {
		p := s.proposal()
		r := s.upsert(s.forge, p)
		s.repo.Write("foo/PKGBUILD", "pkgname=foo\npkgver=9\n")
		s.repo.Commit("conflict")
		s.repo.Origin()
		err := s.forge.Merge(t.Context(), r.Number, p.HeadSHA)
		if err == nil || !strings.Contains(err.Error(), "a conflict") {
			t.Errorf("merging a conflict: %v", err)
		}
		if m := s.only(); m.State != "open" {
			t.Errorf("state %s", m.State)
		}
	})
}

func TestGitHubMergesAsTheRepositoryAllows(t *testing.T) {
	for _, method := range []string{"merge", "squash", "rebase"} {
		t.Run(method, func(t *testing.T) {
			s := newStand(t, GitHub, newGround(t))
			s.server.(*testenv.GitHub).AllowMerge(method)
			p := s.proposal()
			r := s.upsert(s.forge, p)
			s.Fail(testenv.Fault{Path: "/merge", Status: http.StatusMethodNotAllowed, Times: 2,
				Body: `{"message":"Base branch was modified. Review and try the merge again."}`})
			if err := s.forge.Merge(t.Context(), r.Number, p.HeadSHA); err != nil {
				t.Fatal(err)
			}
			if s.clock.total() != 2*baseWait {
				t.Errorf("waited %v for the merge before", s.clock.slept)
			}
		})
	}
}

func TestDescriptionsFit(t *testing.T) {
	onSame(t, newNames(t), func(t *testing.T, s *stand) {
		p := s.proposal()
		p.Body = "# Danger\n\n<details><summary>diff</summary>\n\n```diff\n" + strings.Repeat("+ zeile mit ä\n", 100_000) + "```\n\n</details>\n"
		s.upsert(s.forge, p)
		m := s.only()
		if !strings.HasSuffix(m.Body, "```\n\n</details>\n"+cutMarker) || len(m.Body) < 60_000 {
			t.Errorf("%d bytes, the end: %q", len(m.Body), m.Body[len(m.Body)-200:])
		}
		before := len(s.Writes())
		s.upsert(s.again(nil), p)
		if len(s.Writes()) != before {
			t.Error("written again though nothing changed")
		}
	})
}

func TestGitLabObeysNoLineOfADescription(t *testing.T) {
	s := newStand(t, GitLab, newGround(t))
	p := s.proposal()
	p.Body = "changes:\n/merge\r\n  /approve now\r/label ~x\n/usr/bin/env stays\n```\n/close\n```\n"
	p.Threads = []Thread{{ID: "x", Text: "/unassign\n"}}
	s.upsert(s.forge, p) // the fake fails the test where it would obey
	if m := s.only(); !strings.Contains(m.Body, "\n/usr/bin/env stays\n") || !strings.Contains(m.Body, "\n\\/merge\n") {
		t.Errorf("%q", m.Body)
	}
}

func TestProposalsThatCannotBe(t *testing.T) {
	onSame(t, newNames(t), func(t *testing.T, s *stand) {
		for _, p := range []Proposal{
			{Branch: "main", Target: "main", Title: "x"},
			{Branch: "update-foo", Title: "x"},
			{Branch: "update-foo", Target: "main"},
		} {
			if _, err := s.forge.Upsert(t.Context(), p); err == nil {
				t.Errorf("took %+v", p)
			}
		}
		if len(s.Requests()) > 0 {
			t.Errorf("asked %+v", s.Requests())
		}
	})
}

func TestGitLabNeedsTheNumberOfAUser(t *testing.T) {
	s := newStand(t, GitLab, newNames(t))
	p := s.proposal()
	p.Assignee = "tess"
	_, err := s.forge.Upsert(t.Context(), p)
	if err == nil || !strings.Contains(err.Error(), "CI_HUMAN_REVIEW_ASSIGNEE") {
		t.Errorf("%v", err)
	}
}

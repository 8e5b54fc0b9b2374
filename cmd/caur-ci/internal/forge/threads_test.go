package forge

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/caur-build/caur/internal/testenv"
)

// danger proposes a branch with a critical finding in line 2.
func danger(s *stand) Proposal {
	p := s.proposal()
	p.Danger = true
	p.Threads = []Thread{{ID: "pipe:PKGBUILD", File: "foo/PKGBUILD", Line: 2, Text: "Runs what it downloads."}}
	return p
}

func TestCriticalFindingsAreDiscussedAtTheirLine(t *testing.T) {
	onSame(t, newGround(t), func(t *testing.T, s *stand) {
		p := danger(s)
		s.upsert(s.forge, p)
		got := s.only().Comments
		if len(got) != 1 || got[0].File != "foo/PKGBUILD" || got[0].Line != 2 || got[0].Commit != p.HeadSHA || !got[0].Review ||
			!strings.HasPrefix(got[0].Text, "Runs what it downloads.") {
			t.Errorf("%+v", got)
		}
	})
}

func TestGitLabBlocksMergingUntilTheDiscussionIsResolved(t *testing.T) {
	s := newStand(t, GitLab, newGround(t))
	p := danger(s)
	r := s.upsert(s.forge, p)
	if err := s.forge.Merge(t.Context(), r.Number, p.HeadSHA); err == nil || !strings.Contains(err.Error(), "open discussion") {
		t.Fatalf("merged a danger: %v", err)
	}
	s.Change(r.Number, func(m *testenv.MergeRequest) { m.Comments[0].Resolved = true })
	if err := s.forge.Merge(t.Context(), r.Number, p.HeadSHA); err != nil {
		t.Error(err)
	}
}

func TestFindingsWithoutALineInTheChangeAreStillSaid(t *testing.T) {
	tests := []struct {
		name   string
		thread Thread
		want   string
	}{
		{"a line that did not change", Thread{ID: "a", File: "foo/PKGBUILD", Line: 25, Text: "Odd."}, "In `foo/PKGBUILD`, line 25: Odd."},
		{"a file that did not change", Thread{ID: "a", File: "bar/x`y", Line: 3, Text: "Odd."}, "In `bar/x?y`, line 3: Odd."},
		{"a file", Thread{ID: "a", File: "foo/PKGBUILD", Text: "Odd."}, "In `foo/PKGBUILD`: Odd."},
		{"the whole", Thread{ID: "a", Text: "Odd."}, "Odd."},
	}
	g := newGround(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onSame(t, g, func(t *testing.T, s *stand) {
				p := danger(s)
				p.Threads = []Thread{tt.thread}
				s.upsert(s.forge, p)
				s.upsert(s.again(nil), p)
				if got := s.only().Comments; len(got) != 1 || !strings.HasPrefix(got[0].Text, tt.want+"\n") || got[0].Line != 0 {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

func TestThreadsAreRepeatedOnlyForNewDangers(t *testing.T) {
	g := newGround(t)
	other := g.commit("other", "pkgname=foo\npkgver=5; evil\n")
	g.repo.Origin()
	tests := []struct {
		name   string
		change func(s *stand, number int, p *Proposal)
		want   int // threads in all
	}{
		{"the same again", func(*stand, int, *Proposal) {}, 1},
		{"resolved, the same commit", func(s *stand, n int, _ *Proposal) {
			s.Change(n, func(m *testenv.MergeRequest) { m.Comments[0].Resolved = true })
		}, 1},
		{"resolved, then other code", func(s *stand, n int, p *Proposal) {
			s.Change(n, func(m *testenv.MergeRequest) { m.Comments[0].Resolved = true })
			p.HeadSHA = other
			s.point(s.t, p.Branch, other)
		}, 2},
		{"another danger of the kind", func(_ *stand, _ int, p *Proposal) { p.Threads[0].Text = "Runs something else." }, 2},
		{"the same danger twice", func(_ *stand, _ int, p *Proposal) { p.Threads = append(p.Threads, p.Threads[0]) }, 2},
		{"a stranger copied the mark before", func(s *stand, n int, _ *Proposal) {
			s.Change(n, func(m *testenv.MergeRequest) { m.Comments[0].Author = "mallory" })
		}, 2},
		{"others talk", func(s *stand, n int, _ *Proposal) {
			s.Change(n, func(m *testenv.MergeRequest) {
				for range 120 { // more than a page
					m.Comments = slices.Insert(m.Comments, 0, testenv.Comment{ID: 1000 + len(m.Comments), Author: "tess", Text: "Hm."})
				}
			})
		}, 121},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			onSame(t, g, func(t *testing.T, s *stand) {
				s.point(t, "update-foo", g.head)
				p := danger(s)
				r := s.upsert(s.forge, p)
				tt.change(s, r.Number, &p)
				s.upsert(s.again(nil), p)
				if got := s.only().Comments; len(got) != tt.want {
					t.Errorf("%d threads, want %d: %+v", len(got), tt.want, got)
				}
			})
		})
	}
}

func TestGitHubCommentsOnCodeThatChangedAreSaidAgain(t *testing.T) {
	s := newStand(t, GitHub, newGround(t))
	p := danger(s)
	s.upsert(s.forge, p)
	p.HeadSHA = s.push("update-foo", "pkgname=foo\npkgver=5; evil\n")
	s.upsert(s.again(nil), p)
	if got := s.only().Comments; len(got) != 2 || got[1].Commit != p.HeadSHA {
		t.Errorf("%+v", got)
	}
}

func TestATokenWithoutAUserFindsItsThreads(t *testing.T) {
	s := newStand(t, GitHub, newGround(t))
	s.SetUser("")
	p := danger(s)
	s.upsert(s.forge, p)
	s.upsert(s.again(nil), p)
	if got := s.only().Comments; len(got) != 1 || !got[0].Bot {
		t.Errorf("%+v", got)
	}
	s.Change(s.only().Number, func(m *testenv.MergeRequest) { m.Comments[0].Author, m.Comments[0].Bot = "mallory", false })
	s.upsert(s.again(nil), p)
	if got := s.only().Comments; len(got) != 2 {
		t.Errorf("believed a stranger: %+v", got)
	}
}

func TestGitLabMayNeedTimeForANewCommit(t *testing.T) {
	g := newGround(t)
	for _, tt := range []struct{ slow, line int }{{2, 2}, {100, 0}} {
		s := newStand(t, GitLab, g)
		s.server.(*testenv.GitLab).SlowVersions(tt.slow)
		s.upsert(s.forge, danger(s))
		if got := s.only().Comments; len(got) != 1 || got[0].Line != tt.line {
			t.Errorf("unknown %d times: %+v", tt.slow, got)
		}
		if len(s.clock.slept) == 0 {
			t.Error("did not wait for GitLab")
		}
	}
}

func TestTheNumberOfThreadsIsBounded(t *testing.T) {
	onSame(t, newGround(t), func(t *testing.T, s *stand) {
		p := danger(s)
		p.Threads = nil
		for i := range 500 {
			p.Threads = append(p.Threads, Thread{ID: fmt.Sprint(i), File: "foo/PKGBUILD", Line: 2, Text: strings.Repeat("x", 100_000)})
		}
		s.upsert(s.forge, p)
		got := s.only().Comments
		if len(got) != maxThreads || !strings.HasPrefix(got[maxThreads-1].Text, "481 more critical findings") {
			t.Errorf("%d threads", len(got))
		}
		for _, c := range got {
			if len(c.Text) > maxThreadText+200 {
				t.Fatalf("a thread of %d bytes", len(c.Text))
			}
		}
	})
}

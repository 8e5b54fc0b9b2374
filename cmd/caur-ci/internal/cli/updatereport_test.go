package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/pkg/aursync"
	"github.com/caur-build/caur/pkg/state"
)

func heardApp(env map[string]string, tty bool) (*app, *bytes.Buffer) {
	var errOut bytes.Buffer
	return &app{io: &command.IO{Out: &errOut, Err: &errOut, ErrTTY: tty, Getenv: func(key string) (string, bool) {
		v, ok := env[key]
		return v, ok
	}}}, &errOut
}

func TestSectionsFoldWhereTheLogKnowsHow(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"GitLab": {map[string]string{"GITLAB_CI": "true"}, []string{"\x1b[0Ksection_start:", ":a_b[collapsed=true]\r\x1b[0KTitle\n", "section_end:"}},
		"GitHub": {map[string]string{"GITHUB_ACTIONS": "true"}, []string{"::group::Title\n", "::endgroup::\n"}},
		"a pipe": {nil, []string{"Title\n"}},
	} {
		a, out := heardApp(c.env, false)
		a.section("A b", "Title", true)()
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q lacks %q", name, out.String(), want)
			}
		}
		if c.env == nil && strings.Contains(out.String(), "section") {
			t.Errorf("%q", out.String())
		}
	}
}

func outcomeOf(name string) candidates.Outcome {
	d := candidates.NewDraft(&candidates.Package{Pkgbase: name, Config: &state.PackageConfig{}, State: &state.PackageState{}})
	return candidates.Outcome{Draft: d}
}

func TestProgressIsABarOnATerminalAndLinesElsewhere(t *testing.T) {
	news := outcomeOf("yay")
	news.Draft.Build("vcs", "new commit\nwith \x1b[31mcolour")
	news.Faults = []candidates.Fault{{Source: "aur", Err: errors.New("no answer")}}
	play := func(p *progress) {
		p.Preparing("aur", 2)
		p.Prepared(candidates.Asked{Source: "aur", Wanted: 2, Err: errors.New("down")})
		p.Checked(outcomeOf("paru"))
		p.Checked(news)
		p.close()
	}
	a, out := heardApp(nil, true)
	play(a.newProgress(2))
	if got := out.String(); !strings.Contains(got, "2/2 packages") || strings.Contains(got, "with") {
		t.Errorf("terminal: %q", got)
	}
	a, _ = heardApp(nil, true)
	a.newProgress(2).close() // interrupted
	a, out = heardApp(nil, false)
	play(a.newProgress(2))
	want := "Checking 2 packages\n  aur: asking for 2 packages\n  aur: no answer\n  yay: vcs: new commit with ␛[31mcolour; aur failed: no answer\n"
	if got := out.String(); got != want {
		t.Errorf("pipe: %q", got)
	}
	a, out = heardApp(map[string]string{"GITHUB_ACTIONS": "true"}, false)
	play(a.newProgress(2))
	if got := out.String(); !strings.Contains(got, "  paru: unchanged\n") {
		t.Errorf("a log that folds: %q", got)
	}
}

func TestTheClosingTableHasWhatNeedsPeopleLast(t *testing.T) {
	p := &candidates.Package{Config: &state.PackageConfig{}, State: &state.PackageState{}}
	var list []*decision
	for i, o := range []outcome{failed, updated, inReview, unchanged, built} {
		list = append(list, &decision{
			pkgbase: string(rune('a' + i)), outcome: o, from: "1-1", to: "2-1", draft: candidates.NewDraft(p),
			reasons: []candidates.Reason{{Source: "aur", Text: "1-1 → 2-1"}},
		})
	}
	list[0].faults = []candidates.Fault{{Source: "aur", Err: errors.New("first line\nsecond")}}
	list[2].request = "https://forge.example/1"
	asked := []candidates.Asked{{Source: "libs", Wanted: 7, Err: errors.New("no such host")}}
	r := newUpdateReport("head", list, asked, true)
	a, out := heardApp(nil, false)
	if err := r.print(out, a.io); err != nil {
		t.Fatal(err)
	}
	want := ` package             version    why
 e        scheduled  1-1 → 2-1
 b        updated    1-1 → 2-1
 c        in review  1-1 → 2-1  https://forge.example/1
 a        failed     1-1 → 2-1  aur: first line
libs: not asked about 7 packages: no such host
5 packages checked: 1 failed, 1 in review, 1 updated, 1 scheduled, 1 unchanged (nothing was written)
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestTheTimeOfTheAURStaysBehindWhatWasNotTakenOver(t *testing.T) {
	at := func(s int64) time.Time { return time.Unix(s, 0).UTC() }
	withMeta := func(o outcome, modified int64) *decision {
		d := &decision{outcome: o, draft: outcomeOf("x").Draft}
		if modified > 0 {
			d.draft.AUR = aurMeta(modified)
		}
		return d
	}
	for _, c := range []struct {
		name string
		list []*decision
		want int64
	}{
		{"all went well", []*decision{withMeta(updated, 500), withMeta(inReview, 600)}, 1000},
		{"one failed", []*decision{withMeta(updated, 500), withMeta(failed, 600), withMeta(failed, 700)}, 599},
		{"one cools", []*decision{withMeta(cooling, 800)}, 799},
		{"one failed that is none of the AUR's", []*decision{withMeta(failed, 0)}, 1000},
	} {
		f := &findings{aurTaken: at(1000)}
		if got := f.aurUntil(c.list); !got.Equal(at(c.want)) {
			t.Errorf("%s: %d", c.name, got.Unix())
		}
	}
	root := &rootFiles{rawState: []byte("900\n"), aurState: at(900)}
	if c := aurStateChange(root, at(1000)); len(c) != 1 || string(c[0].File.Data) != "1000\n" {
		t.Errorf("%+v", c)
	}
	for name, c := range map[string]struct {
		root  *rootFiles
		until time.Time
	}{
		"it would go back": {root, at(800)}, "the AUR was not asked": {root, time.Time{}}, "there is no such file": {&rootFiles{}, at(1000)},
	} {
		if got := aurStateChange(c.root, c.until); got != nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestTimesAreReadAsTodaysScriptsWriteThem(t *testing.T) {
	for text, want := range map[string]int64{"1787434437\n": 1787434437, "TIME=5\n": 5, " 7 ": 7} {
		if got, err := unixTime(text); err != nil || got.Unix() != want {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	for _, text := range []string{"", "yesterday", "-1", "1 2"} {
		if got, err := unixTime(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func aurMeta(modified int64) *aursync.Meta {
	return &aursync.Meta{LastModified: time.Unix(modified, 0).UTC()}
}

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/caur-build/caur/cmd/caur-ci/internal/forge"
	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/cmd/caur-ci/internal/review"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/pkg/pkgdir"
)

// openOptions are those of "review --open" and "review --merge PKG…".
type openOptions struct {
	json   bool
	remote string
	merge  []string // packages whose requests are to be merged; nil: only list
}

// runReviewOpen lists the open requests by risk, or merges those of some packages. It does not believe what a request says
// of itself: what is judged is the branch, and what is merged is the commit that was judged.
func (a *app) runReviewOpen(ctx context.Context, o openOptions) (err error) {
	f, err := forge.FromEnvironment(a.io.Getenv)
	if err != nil {
		return err
	}
	repo, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer closeRepo(ctx, repo, &err)
	list, err := f.Open(ctx)
	if err != nil {
		return err
	}
	wanted := list
	if o.merge != nil {
		wanted = ofPackages(list, o.merge)
	}
	assessments, err := assess(ctx, repo, o.remote, wanted)
	if err != nil {
		return err
	}
	digest := forge.Digest(wanted, assessments)
	switch {
	case o.merge != nil:
		return a.mergeRequests(ctx, f, digest, o)
	case o.json:
		return json.NewEncoder(a.io.Out).Encode(openReport{Forge: f.Kind(), Requests: digest})
	}
	_, err = a.io.Out.Write([]byte(a.openText(digest, time.Now())))
	return err
}

// openReport is what --json prints. Keys may be added.
type openReport struct {
	Forge    string        `json:"forge"`
	Requests []forge.Entry `json:"requests"`
}

// mergedRow is what --json prints for each package that was to be merged.
type mergedRow struct {
	Pkgbase string `json:"pkgbase"`
	URL     string `json:"url,omitempty"`
	Merged  bool   `json:"merged"`
	Error   string `json:"error,omitempty"`
}

func ofPackages(list []forge.Request, names []string) []forge.Request {
	wanted := map[string]bool{}
	for _, name := range names {
		wanted[forge.BranchPrefix+name] = true
	}
	var out []forge.Request
	for _, r := range list {
		if wanted[r.Branch] {
			out = append(out, r)
		}
	}
	return out
}

func (a *app) mergeRequests(ctx context.Context, f forge.Forge, digest []forge.Entry, o openOptions) error {
	rows := []mergedRow{}
	problems := 0
	for _, m := range forge.MergeAll(ctx, f, digest, o.merge) {
		row := mergedRow{Pkgbase: m.Pkgbase, URL: m.URL, Merged: m.Err == nil}
		if m.Err != nil {
			problems++
			row.Error = m.Err.Error()
		}
		rows = append(rows, row)
	}
	if o.json {
		if err := json.NewEncoder(a.io.Out).Encode(rows); err != nil {
			return err
		}
	} else if err := a.printMerged(rows); err != nil {
		return err
	}
	if problems > 0 {
		return fmt.Errorf("%s not merged", count(problems, "request"))
	}
	return nil
}

func (a *app) printMerged(rows []mergedRow) error {
	var b strings.Builder
	for _, row := range rows {
		if row.Merged {
			fmt.Fprintf(&b, "merged %s %s\n", row.Pkgbase, row.URL)
			continue
		}
		fmt.Fprintf(&b, "NOT merged %s %s\n", strings.TrimSpace(row.Pkgbase+" "+row.URL), row.Error)
	}
	_, err := a.io.Out.Write([]byte(command.Sanitize(b.String())))
	return err
}

// assess judges what the branches of the requests hold.
func assess(ctx context.Context, repo *gitrepo.Repo, remote string, list []forge.Request) (map[int]forge.Assessment, error) {
	if len(list) == 0 {
		return nil, nil
	}
	refs, err := repo.RemoteRefs(ctx, remote, "refs/heads/*")
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, r := range list {
		for _, name := range []string{r.Branch, r.Target} {
			if refs["refs/heads/"+name] != "" {
				names[name] = true
			}
		}
	}
	var branches []string
	for name := range names {
		branches = append(branches, name)
	}
	if err := repo.FetchBranches(ctx, remote, branches...); err != nil {
		return nil, err
	}
	as := &assessor{repo: repo, remote: remote, files: map[string]gitrepo.Files{}}
	out := map[int]forge.Assessment{}
	for _, r := range list {
		found, err := as.assess(ctx, r)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			found = unknown(found, "It cannot be judged: "+err.Error())
		}
		out[r.Number] = found
	}
	return out, nil
}

type assessor struct {
	repo   *gitrepo.Repo
	remote string
	files  map[string]gitrepo.Files // by commit
}

func unknown(found forge.Assessment, reason string) forge.Assessment {
	found.Judged, found.Risk = true, max(found.Risk, forge.RiskUnknown)
	found.Reasons = append([]string{reason}, found.Reasons...)
	return found
}

func (as *assessor) assess(ctx context.Context, r forge.Request) (found forge.Assessment, err error) {
	pkgbase := strings.TrimPrefix(r.Branch, forge.BranchPrefix)
	head, ok, err := as.repo.Ref(ctx, "refs/remotes/"+as.remote+"/"+r.Branch)
	if err != nil || !ok {
		return found, errors.Join(err, missing(r.Branch, ok))
	}
	target, ok, err := as.repo.Ref(ctx, "refs/remotes/"+as.remote+"/"+r.Target)
	if err != nil || !ok {
		return found, errors.Join(err, missing(r.Target, ok))
	}
	out, err := as.repo.Program().Output(ctx, "merge-base", "--end-of-options", target, head)
	if err != nil {
		return found, errors.New("where the branch begins is not in this clone; a full clone has it")
	}
	begin := strings.TrimSpace(string(out))
	older, err := as.dir(ctx, begin, pkgbase)
	if err != nil {
		return found, err
	}
	now, err := as.dir(ctx, target, pkgbase)
	if err != nil {
		return found, err
	}
	newer, err := as.dir(ctx, head, pkgbase)
	if err != nil {
		return found, err
	}
	as.forgetBut(target)
	found = judged(review.Judge(review.Input{Pkgbase: pkgbase, Old: older, New: newer}))
	found.HeadSHA = head
	if !older.Equal(now) {
		found = unknown(found, "The package has changed on "+r.Target+" since.")
	}
	return as.outside(ctx, found, begin, head, pkgbase)
}

func missing(branch string, there bool) error {
	if there {
		return nil
	}
	return fmt.Errorf("there is no branch %s", branch)
}

// outside looks for changes of anything but the package: nobody expects them in such a request.
func (as *assessor) outside(ctx context.Context, found forge.Assessment, begin, head, pkgbase string) (forge.Assessment, error) {
	changes, err := as.repo.Diff(ctx, begin, head)
	if err != nil {
		return found, err
	}
	for _, c := range changes {
		if !strings.HasPrefix(c.Path, pkgbase+"/") {
			found.Risk = forge.RiskCritical
			found.Reasons = append([]string{fmt.Sprintf("It changes %q, which is not of the package.", c.Path)}, found.Reasons...)
			break
		}
	}
	return found, nil
}

// dir gives the directory of a package at a commit, nil when there is none.
func (as *assessor) dir(ctx context.Context, commit, pkgbase string) (pkgdir.Dir, error) {
	files := as.files[commit]
	if files == nil {
		c, err := as.repo.Commit(ctx, commit)
		if err != nil {
			return nil, err
		}
		if files, err = as.repo.At(ctx, c); err != nil {
			return nil, err
		}
		as.files[commit] = files
	}
	d, err := files.Dir(ctx, pkgbase)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return d, err
}

// forgetBut keeps one commit in memory: that which most requests share.
func (as *assessor) forgetBut(commit string) {
	maps.DeleteFunc(as.files, func(have string, _ gitrepo.Files) bool { return have != commit })
}

// judged makes an assessment of a verdict.
func judged(v review.Verdict) forge.Assessment {
	found := forge.Assessment{Judged: true, From: v.From, To: v.To}
	for _, f := range v.Findings {
		found.Risk = max(found.Risk, riskOf(f.Severity))
		if f.Severity >= review.Notice {
			found.Reasons = append(found.Reasons, f.Text)
		}
	}
	return found
}

func riskOf(s review.Severity) forge.Risk {
	switch s {
	case review.Info:
		return forge.RiskInfo
	case review.Notice:
		return forge.RiskNotice
	case review.Warning:
		return forge.RiskWarning
	}
	return forge.RiskCritical
}

// openText is the digest for people. The last line is what they would type next.
func (a *app) openText(digest []forge.Entry, now time.Time) string {
	if len(digest) == 0 {
		return "No request is open.\n"
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Options = table.OptionsNoBordersAndSeparators
	t.Style().Format.Header = 0 // as written
	t.AppendHeader(table.Row{"risk", "package", "version", "open for", "worst finding", "request"})
	var harmless []string
	for _, e := range digest {
		reason := ""
		if len(e.Reasons) > 0 {
			reason = e.Reasons[0]
		}
		if more := len(e.Reasons) - 1; more > 0 {
			reason += fmt.Sprintf(" (+%d)", more)
		}
		version := e.To
		if e.From != "" && e.From != e.To {
			version = e.From + " → " + e.To
		}
		t.AppendRow(table.Row{e.Risk, e.Pkgbase, version, days(now, e.Created), reason, e.URL})
		if e.Risk <= forge.RiskNotice {
			harmless = append(harmless, e.Pkgbase)
		}
	}
	text := command.Sanitize(t.Render()) + "\n"
	if len(harmless) > 0 {
		text += "\nWithout a warning: caur-ci review --merge " + command.Sanitize(strings.Join(harmless, " ")) + "\n"
	}
	return text
}

func days(now, since time.Time) string {
	const day = 24 * time.Hour
	if open := now.Sub(since); open >= day {
		return count(int(open/day), "day")
	}
	return "today"
}

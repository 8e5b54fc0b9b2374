package forge

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// host is what the two forges do differently. Its methods decide nothing.
type host interface {
	kind() string
	bodyLimit() int
	shape(text string) string // makes text from elsewhere harmless
	// list gives the open requests of one branch, or of all when branch is "", without those from forks.
	list(ctx context.Context, branch string) ([]Request, error)
	// create opens a request; errConflict when there is one. It need not do more than branches, title and text.
	create(ctx context.Context, p Proposal) (Request, error)
	edit(ctx context.Context, r Request, c change) (Request, error)
	comment(ctx context.Context, number int, text string) error
	close(ctx context.Context, number int) error
	merge(ctx context.Context, number int, sha string) error
	merged(ctx context.Context, number int, sha string) (bool, error)
	self(ctx context.Context) (string, error) // the name under which the token writes
	notes(ctx context.Context, number int) ([]note, error)
	discuss(ctx context.Context, r Request, list []Thread) error
}

// change is what a request has to become; nil and empty fields stay as they are.
type change struct {
	title, body, target *string
	add, remove         []string // labels
	assignee            string
}

func (c *change) empty() bool {
	return c.title == nil && c.body == nil && c.target == nil && len(c.add)+len(c.remove) == 0 && c.assignee == ""
}

// desk keeps the requests of one run.
type desk struct {
	host

	mu     sync.Mutex
	listed bool
	open   map[int]Request // all when listed, else those that were met
	me     string
	asked  bool // for me
}

func newDesk(h host) *desk { return &desk{host: h, open: map[int]Request{}} }

func (d *desk) Kind() string { return d.kind() }

func (d *desk) Open(ctx context.Context) ([]Request, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.listed {
		list, err := d.list(ctx, "")
		if err != nil {
			return nil, fmt.Errorf("list the open review requests: %w", err)
		}
		clear(d.open)
		for _, r := range list {
			if strings.HasPrefix(r.Branch, BranchPrefix) {
				d.open[r.Number] = r
			}
		}
		d.listed = true
	}
	out := make([]Request, 0, len(d.open))
	for _, r := range d.open {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Request) int { return cmp.Compare(a.Number, b.Number) })
	return out, nil
}

func (d *desk) Upsert(ctx context.Context, p Proposal) (Request, error) {
	if !strings.HasPrefix(p.Branch, BranchPrefix) || p.Target == "" || p.Title == "" {
		return Request{}, fmt.Errorf("a review request needs a branch %s*, a target and a title", BranchPrefix)
	}
	p.Body = cut(d.shape(p.Body), d.bodyLimit())
	r, err := d.bring(ctx, p)
	if r.closed { // by somebody, since we looked: the branch was pushed for a new one
		d.forget(r.Number)
		r, err = d.bring(ctx, p)
	}
	if r.Number == 0 || r.closed {
		return Request{}, errors.Join(err, closedTwice(r))
	}
	problems := []error{err}
	if p.HeadSHA != "" {
		r.HeadSHA = p.HeadSHA // the forge may not have seen the push yet
	}
	d.remember(r)
	if err := d.say(ctx, r, p.Threads); err != nil {
		problems = append(problems, fmt.Errorf("discuss the findings in request %d: %w", r.Number, err))
	}
	return r, errors.Join(problems...)
}

func closedTwice(r Request) error {
	if !r.closed {
		return nil
	}
	return fmt.Errorf("request %d was closed while it was updated", r.Number)
}

// bring finds or opens the request of the branch and makes it say what p says. With an error, the request may be there, but
// not as it should be.
func (d *desk) bring(ctx context.Context, p Proposal) (Request, error) {
	r, err := d.ensure(ctx, p)
	if err != nil {
		return Request{}, err
	}
	c := difference(r, p)
	if c.empty() {
		return r, nil
	}
	edited, err := d.edit(ctx, r, c)
	if err != nil {
		return r, fmt.Errorf("update request %d: %w", r.Number, err)
	}
	return edited, nil
}

// ensure gives the open request of the branch, and opens one where there is none.
func (d *desk) ensure(ctx context.Context, p Proposal) (Request, error) {
	r, found, err := d.find(ctx, p, false)
	if found || err != nil {
		return r, err
	}
	r, err = d.create(ctx, p)
	if err == nil {
		return r, nil
	}
	if ctx.Err() == nil && (errors.Is(err, errConflict) || unsure(err)) {
		// Another pipeline was faster, or the answer got lost: what counts is whether the request is there.
		if r, found, listErr := d.find(ctx, p, true); found && listErr == nil {
			return r, nil
		}
	}
	return Request{}, fmt.Errorf("open a review request: %w", err)
}

// find gives the open request of a branch: the one into the same target, or the oldest.
func (d *desk) find(ctx context.Context, p Proposal, fresh bool) (Request, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var hits []Request
	for _, r := range d.open {
		if r.Branch == p.Branch {
			hits = append(hits, r)
		}
	}
	if fresh || (len(hits) == 0 && !d.listed) {
		list, err := d.list(ctx, p.Branch)
		if err != nil {
			return Request{}, false, fmt.Errorf("look for the review request of %s: %w", p.Branch, err)
		}
		hits = slices.DeleteFunc(list, func(r Request) bool { return r.Branch != p.Branch })
	}
	if len(hits) == 0 {
		return Request{}, false, nil
	}
	return slices.MinFunc(hits, func(a, b Request) int {
		if (a.Target == p.Target) != (b.Target == p.Target) {
			if a.Target == p.Target {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Number, b.Number)
	}), true, nil
}

func (d *desk) remember(r Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open[r.Number] = r
}

func (d *desk) forget(number int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, number)
}

// difference says what is to be written so that r says what p says; what people did stays.
func difference(r Request, p Proposal) change {
	var c change
	if prefix := draftPrefix(r.Title); normalText(r.Title[len(prefix):]) != normalText(p.Title) {
		title := prefix + p.Title
		c.title = &title
	}
	if r.bodySum != sha256.Sum256([]byte(normalText(p.Body))) {
		c.body = &p.Body
	}
	if r.Target != p.Target {
		c.target = &p.Target
	}
	for _, label := range wantedLabels(p) {
		if !hasLabel(r.Labels, label) {
			c.add = append(c.add, label)
		}
	}
	if !p.Danger {
		for _, label := range r.Labels {
			if strings.EqualFold(label, LabelDanger) {
				c.remove = append(c.remove, label)
			}
		}
	}
	if len(r.Assignees) == 0 {
		c.assignee = p.Assignee
	}
	return c
}

// draftPrefix gives the mark that people put before the title of a request that is not to be merged yet.
func draftPrefix(title string) string {
	const mark = "Draft: "
	if strings.HasPrefix(title, mark) {
		return mark
	}
	return ""
}

// wantedLabels puts the danger first.
func wantedLabels(p Proposal) []string {
	var out []string
	if p.Danger {
		out = append(out, LabelDanger)
	}
	for _, label := range p.Labels {
		if !hasLabel(out, label) {
			out = append(out, label)
		}
	}
	return out
}

// hasLabel ignores case: to GitHub, labels that differ in nothing else are the same.
func hasLabel(list []string, label string) bool {
	return slices.ContainsFunc(list, func(have string) bool { return strings.EqualFold(have, label) })
}

func (d *desk) Close(ctx context.Context, number int, comment string) error {
	// The other way round, a repeat after a failure would say it twice.
	if err := d.close(ctx, number); err != nil {
		return fmt.Errorf("close request %d: %w", number, err)
	}
	d.forget(number)
	if comment == "" {
		return nil
	}
	if err := d.comment(ctx, number, cut(d.shape(comment), d.bodyLimit())); err != nil {
		return fmt.Errorf("say in request %d why it was closed: %w", number, err)
	}
	return nil
}

func (d *desk) Merge(ctx context.Context, number int, sha string) error {
	if sha == "" {
		return fmt.Errorf("merge request %d: the commit that was looked at is needed", number)
	}
	err := d.merge(ctx, number, sha)
	if err != nil && ctx.Err() == nil && (unsure(err) || status(err) == http.StatusMethodNotAllowed) {
		// A repeat after a lost answer is refused, as the request is merged already.
		if done, lookErr := d.merged(ctx, number, sha); lookErr == nil && done {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("merge request %d: %w", number, err)
	}
	d.forget(number)
	return nil
}

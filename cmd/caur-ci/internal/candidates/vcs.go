package candidates

import (
	"context"
	"fmt"
	"strings"

	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// VCSOptions of NewVCS.
type VCSOptions struct {
	Heads *git.Heads
}

// VCS finds new commits of what VCS packages are built from (pipeline.md section 5.6).
type VCS struct {
	o     VCSOptions
	heads map[git.HeadQuery]git.HeadAnswer // of Prepare
}

// NewVCS makes the source.
func NewVCS(o VCSOptions) *VCS { return &VCS{o: o} }

// Name is SourceVCS.
func (*VCS) Name() string { return SourceVCS }

// Wants packages whose name ends in -git, or that say so, and whose first git source is not pinned.
func (*VCS) Wants(p *Package) bool {
	if !strings.HasSuffix(p.Pkgbase, "-git") && !p.Config.ForceVCS {
		return false
	}
	_, follows := upstreamHead(p.Info)
	return follows
}

// upstreamHead is what the first git source of a package follows; false when there is none, or when it names a tag or
// a commit.
func upstreamHead(info *srcinfo.Info) (q git.HeadQuery, follows bool) {
	if info == nil {
		return q, false
	}
	for _, s := range info.Sources() {
		if s.VCS != "git" {
			continue
		}
		q.URL = s.URL
		if s.FragType == "branch" {
			q.Ref = s.FragRef
		}
		return q, s.FragType == "" || s.FragType == "branch" && s.FragRef != ""
	}
	return q, false
}

// Prepare asks for the heads of all repositories, each once.
func (v *VCS) Prepare(ctx context.Context, packages []*Package) error {
	var queries []git.HeadQuery
	heads := map[git.HeadQuery]git.HeadAnswer{}
	for _, p := range packages {
		q, _ := upstreamHead(p.Info)
		if _, there := heads[q]; !there {
			heads[q] = git.HeadAnswer{}
			queries = append(queries, q)
		}
	}
	for i, answer := range v.o.Heads.Lookup(ctx, queries) {
		heads[queries[i]] = answer
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	v.heads = heads
	return nil
}

// Check compares the head with the commit that was scheduled last. A repository that does not answer is worth a note:
// the state stays, so that its next commit is found later.
func (v *VCS) Check(ctx context.Context, d *Draft) error {
	q, follows, err := v.query(d)
	if err != nil || !follows {
		return err
	}
	head, asked := v.heads[q]
	if !asked { // an update has just changed where the package comes from
		head = v.o.Heads.Lookup(ctx, []git.HeadQuery{q})[0]
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case head.Err != nil:
		d.Note(SourceVCS, "the newest commit is not known: %v", head.Err)
	case head.SHA != d.State.GitCommit:
		d.State.GitCommit = head.SHA
		name := q.Ref
		if name == "" {
			name = "HEAD"
		}
		d.Build(SourceVCS, fmt.Sprintf("new commit %.12s on %s", head.SHA, name))
	}
	return nil
}

// query is what the package follows with the changes of this run.
func (v *VCS) query(d *Draft) (git.HeadQuery, bool, error) {
	info := d.Package.Info
	if files := d.Changed(); files != nil {
		var err error
		if info, _, err = srcinfo.Parse(d.Package.Pkgbase+"/"+srcinfoName, files[srcinfoName].Data); err != nil {
			return git.HeadQuery{}, false, err
		}
	}
	q, follows := upstreamHead(info)
	return q, follows, nil
}

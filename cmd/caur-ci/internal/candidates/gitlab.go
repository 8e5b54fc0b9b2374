package candidates

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/caur-build/caur/cmd/caur-ci/internal/download"
	"github.com/caur-build/caur/cmd/caur-ci/internal/upstream"
	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/srcinfo"
	"github.com/caur-build/caur/pkg/state"
)

// GitLabOptions of NewGitLab.
type GitLabOptions struct {
	Web *download.Client
	// Token is sent to https://TokenHost (HOST[:PORT]) and to no other server. Both may be empty: public projects need none.
	Token     settings.Secret
	TokenHost string
}

// GitLab finds the newest tag of packages whose source is a GitLab project (pipeline.md section 5.2).
//
// The newest is the highest by pacman's order of what pkgver becomes (see pkgverOf), a version before a release
// included, as today. A tag that is older than pkgver changes nothing: upstream took a tag back. Checksums of the source
// that is pointed at the new commit's archive are made anew by downloading it; SKIP stays.
type GitLab struct{ o GitLabOptions }

// NewGitLab makes the source.
func NewGitLab(o GitLabOptions) *GitLab { return &GitLab{o} }

// Name is SourceGitLab.
func (*GitLab) Name() string { return SourceGitLab }

// Wants packages with gitlab:PROJECT.
func (*GitLab) Wants(p *Package) bool { return p.Config.Source.Kind == state.SourceGitLab }

// Prepare has nothing to ask: each project is a question of its own.
func (*GitLab) Prepare(context.Context, []*Package) error { return nil }

// Check compares the newest tag with pkgver.
func (g *GitLab) Check(ctx context.Context, d *Draft) error {
	p := d.Package
	if p.Info == nil {
		return errors.New("there is no .SRCINFO to compare the newest tag with: make one with makepkg --printsrcinfo")
	}
	at := p.Config.Source
	var token settings.Secret
	if strings.EqualFold("https://"+g.o.TokenHost, at.Host) {
		token = g.o.Token
	}
	tags, err := upstream.GitLabTags(ctx, g.o.Web, at.Host, at.Project, token)
	if err != nil {
		return fmt.Errorf("tags of %s: %w", at, err)
	}
	tag, pkgver := newestTag(tags)
	switch {
	case tag == nil:
		return fmt.Errorf("none of the %d tags of %s can be a pkgver", len(tags), at)
	case tag.Name == p.Info.Pkgver || pkgver == p.Info.Pkgver:
		return nil
	case srcinfo.Vercmp(pkgver, p.Info.Pkgver) < 0:
		d.Note(SourceGitLab, "the newest tag %s is older than pkgver %s: nothing is changed", tag.Name, p.Info.Pkgver)
		return nil
	}
	return g.update(ctx, d, tag, pkgver)
}

func (g *GitLab) update(ctx context.Context, d *Draft, tag *upstream.GitLabTag, pkgver string) error {
	files, err := d.Files(ctx)
	if err != nil {
		return err
	}
	recipe, err := parseRecipe(files)
	if err != nil {
		return err
	}
	edit := VersionEdit{Pkgver: pkgver, Pkgrel: "1", Commit: pinned(recipe, tag.Commit.ID)}
	if edit.Sources, err = pointAt(files, recipe, edit, d.Package.Config.Source.Host, tag); err != nil {
		return fmt.Errorf("update to %s: %w", tag.Name, err)
	}
	next, err := newVersion(ctx, g.o.Web, files, edit)
	if err != nil {
		return fmt.Errorf("update to %s: %w", tag.Name, err)
	}
	d.Change(SourceGitLab, d.Package.Info.Version()+" → "+versionOf(next), next)
	return nil
}

// newestTag gives the tag with the highest pkgver; of equal ones the first, which is GitLab's choice.
func newestTag(tags []upstream.GitLabTag) (best *upstream.GitLabTag, pkgver string) {
	for i := range tags {
		v, err := pkgverOf(tags[i].Name)
		if err == nil && (best == nil || srcinfo.Vercmp(v, pkgver) > 0) {
			best, pkgver = &tags[i], v
		}
	}
	return best, pkgver
}

var fullCommit = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)

// pointAt finds what has to be edited so that the first source that is an archive of the project is that of the tag's
// commit. Nothing, where the new _commit or pkgver does it already, since the source is written with it.
func pointAt(files pkgdir.Dir, before *pkgbuild.Static, edit VersionEdit, host string, tag *upstream.GitLabTag) (map[string]string, error) {
	project, _, found := strings.Cut(tag.Commit.WebURL, "/-/commit/")
	if !found || !strings.HasPrefix(project, host+"/") || !fullCommit.MatchString(tag.Commit.ID) {
		return nil, fmt.Errorf("GitLab names no commit of the tag: %q at %q", tag.Commit.ID, download.Clean(tag.Commit.WebURL))
	}
	edited, err := EditVersion(files, edit)
	if err != nil {
		return nil, err
	}
	after, err := parseRecipe(edited)
	if err != nil {
		return nil, err
	}
	archive := project + "/-/archive/"
	old, now := before.Get("source").Items, after.Get("source").Items
	for i, entry := range now {
		name, address, renamed := strings.Cut(entry, "::")
		if !renamed {
			address = entry
		}
		ref, is := strings.CutPrefix(address, archive)
		switch {
		case !is || i >= len(old):
			continue
		case strings.HasPrefix(ref, tag.Commit.ID+"/") || strings.HasPrefix(ref, tag.Name+"/"):
			return nil, nil
		}
		software := project[strings.LastIndexByte(project, '/')+1:]
		target := archive + tag.Commit.ID + "/" + software + "-" + tag.Commit.ID + ".tar.gz"
		if renamed {
			target = name + "::" + target
		}
		return map[string]string{old[i]: target}, nil
	}
	return nil, nil
}

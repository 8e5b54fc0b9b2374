package candidates

import (
	"context"
	"errors"

	"github.com/caur-build/caur/cmd/caur-ci/internal/download"
	"github.com/caur-build/caur/internal/settings"
	"github.com/caur-build/caur/pkg/state"
)

// GitLabOptions of NewGitLab.
type GitLabOptions struct {
	Web *download.Client
	// Token is sent to TokenHost (https://HOST[:PORT]) and to no other server. Both may be empty: public projects need none.
	Token     settings.Secret
	TokenHost string
}

// GitLab finds the newest tag of packages whose source is a GitLab project (pipeline.md section 5.2).
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
func (g *GitLab) Check(context.Context, *Draft) error { return errors.New("not there yet") }

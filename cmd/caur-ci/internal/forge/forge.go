// Package forge keeps review requests where people read them: merge requests on GitLab, pull requests on GitHub
// (pipeline.md section 4).
//
// A request belongs to one branch update-PKGBASE of the repository itself. Requests from forks are never looked at, however
// their branch is called: anybody may open one. What people do to a request stays: labels, assignees, the mark of a draft;
// only title, description and our own labels are kept as the proposal says, and nothing is written when nothing changed.
//
// Both implementations share all decisions (desk.go) and one HTTP transport, which waits for rate limits, repeats what may be
// repeated, and alone holds the token. A Forge lives for one run: the open requests are listed once.
package forge

import (
	"context"
	"time"
)

// BranchPrefix begins the name of every branch that waits for review.
const BranchPrefix = "update-"

// The kinds of a Forge.
const (
	GitLab = "gitlab"
	GitHub = "github"
)

// LabelDanger marks a request with a critical finding. It is set and taken away by Upsert.
const LabelDanger = "danger"

// Forge is where review requests live. It may be used by several goroutines at once.
type Forge interface {
	// Kind is GitLab or GitHub.
	Kind() string
	// Open lists every open request of the repository itself whose branch begins with BranchPrefix, by number. The first
	// call asks the forge, later ones answer from memory, with what this Forge did since.
	Open(ctx context.Context) ([]Request, error)
	// Upsert opens a request, or brings the open request of the branch up to date; there is never a second one, also when
	// two pipelines race. An error may come with a request that exists but is not complete; doing it again completes it.
	Upsert(ctx context.Context, p Proposal) (Request, error)
	// Close closes a request and says why in a comment, unless that is empty.
	Close(ctx context.Context, number int, comment string) error
	// Merge merges a request and removes its branch. It refuses with ErrHeadMoved when the newest commit is not sha.
	Merge(ctx context.Context, number int, sha string) error
}

// Request is an open merge or pull request.
type Request struct {
	Number    int       `json:"number"` // GitLab: iid
	Branch    string    `json:"branch"`
	Target    string    `json:"target"`
	Title     string    `json:"title"`
	Body      string    `json:"-"` // the beginning of the description, at most 4 KiB: the list of thousands is in memory
	URL       string    `json:"url"`
	HeadSHA   string    `json:"head"`
	Labels    []string  `json:"labels"`
	Assignees []string  `json:"assignees,omitempty"` // GitLab: user ids, GitHub: logins
	Created   time.Time `json:"created"`
	Updated   time.Time `json:"updated"`

	bodySum [32]byte // of the whole description
	closed  bool     // by somebody else, since it was listed
}

// Proposal is what a request should say.
type Proposal struct {
	Branch   string // exists at the forge already
	Target   string
	Title    string
	Body     string   // Markdown; shortened to what the forge takes
	Labels   []string // wanted in addition to those that people have set
	Danger   bool     // whether LabelDanger is wanted; it is removed when not
	Assignee string   // GitLab: user id, GitHub: login; only set where nobody is assigned
	Threads  []Thread
	HeadSHA  string // newest commit of Branch
	BaseSHA  string // the commit of Target that Branch begins at
}

// Thread is a discussion at one line: on GitLab one that blocks merging until it is resolved (if the project is set so), on
// GitHub a review comment. Where the forge knows no such line in the change, it is about the file or the whole request.
type Thread struct {
	ID   string // stable: a repeat with the same ID and Text is not said again, unless that was settled for an older commit
	File string // path in the repository
	Line int    // in the new file, from 1; 0 when unknown
	Text string // Markdown
}

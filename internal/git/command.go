package git

import (
	"context"
	"strings"

	"github.com/caur-build/caur/internal/childproc"
)

// Command is a call of git in the repository with its hardening and environment, for callers that talk to it while it
// runs (cat-file --batch). Credentials in a remote's URL are not looked after here: use Run for fetch and push.
func (r Repo) Command(args ...string) childproc.Cmd {
	return command{dir: r.Dir, args: args, env: r.Env}.child()
}

// Feed is Output with text on standard input, for lists that are too long for a command line.
func (r Repo) Feed(ctx context.Context, input string, args ...string) ([]byte, error) {
	c := command{dir: r.Dir, args: args, env: r.Env}
	child := c.child()
	child.Stdin = strings.NewReader(input)
	out, err := childproc.Output(ctx, child)
	return out, c.explain(err)
}

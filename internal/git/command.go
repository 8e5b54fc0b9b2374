package git

import "github.com/caur-build/caur/internal/childproc"

// Command is a call of git in the repository with its hardening and environment, for callers that talk to it while it
// runs (cat-file --batch). Credentials in a remote's URL are not looked after here: use Run for fetch and push.
func (r Repo) Command(args ...string) childproc.Cmd {
	return command{dir: r.Dir, args: args, env: r.Env}.child()
}

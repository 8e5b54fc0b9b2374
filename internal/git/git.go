// Package git runs the git program, for what a Go library cannot do or does badly: fetch, push, ls-remote, and reading a
// directory of a commit. It uses no go-git, so that caur-exec can link it.
//
// Every call has an explicit environment. Hooks, prompts, background maintenance and the ext transport are off. Commands
// that talk to a remote (fetch, push, ls-remote, clone, pull) see the configuration of the user and the system and the
// variables of ssh, since credentials and proxies live there; all others see the repository's own configuration only.
// Credentials in a URL are handed to git in its environment, not in its arguments, and appear in no error.
package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/caur-build/caur/internal/childproc"
)

// Repo is a repository, bare or with a work tree.
type Repo struct {
	Dir string   // the work tree or the bare repository
	Env []string // more variables for git (NAME=VALUE), such as GIT_AUTHOR_NAME
}

// Reasons why a command that talks to a remote fails; errors.Is tells them apart. Everything else is neither.
var (
	// ErrUnreachable is a remote that does not answer: trying again may help.
	ErrUnreachable = errors.New("the remote cannot be reached")
	// ErrAuth is a remote that refuses the credentials, or wants some and got none.
	ErrAuth = errors.New("the remote refuses the credentials")
	// ErrNotFound is a repository, branch, commit or directory that is not there.
	ErrNotFound = errors.New("not found")
	// ErrNoCommit is an ErrNotFound that may pass: a commit that the remote has not, or not yet.
	ErrNoCommit = fmt.Errorf("no such commit: %w", ErrNotFound)
)

// Run runs git with args in the repository.
func (r Repo) Run(ctx context.Context, args ...string) error {
	_, err := r.Output(ctx, args...)
	return err
}

// Output runs git with args in the repository and gives its standard output. The error wraps a *childproc.ExitError.
func (r Repo) Output(ctx context.Context, args ...string) ([]byte, error) {
	return command{dir: r.Dir, args: args, env: r.Env}.output(ctx)
}

// hardening is the configuration of every call. safe.directory: the directory was chosen by our caller, and a repository
// that belongs to another user is normal for a service that runs as root.
var hardening = [...]string{
	"-c", "core.hooksPath=/dev/null",
	"-c", "core.fsmonitor=false",
	"-c", "protocol.ext.allow=never",
	"-c", "safe.directory=*",
	"-c", "gc.auto=0",
	"-c", "maintenance.auto=false",
	"-c", "advice.detachedHead=false",
}

// command is one call of git.
type command struct {
	dir     string // working directory
	gitDir  string // repository, when it is not to be found from dir
	args    []string
	env     []string
	secrets credentials
}

func (c command) output(ctx context.Context) ([]byte, error) {
	out, err := childproc.Output(ctx, c.child())
	return out, c.explain(err)
}

// run runs what child made of the command, for callers that add to it.
func (c command) run(ctx context.Context, child childproc.Cmd) error {
	return c.explain(childproc.Run(ctx, child))
}

func (c command) child() childproc.Cmd {
	args := append([]string{}, hardening[:]...)
	if c.gitDir != "" {
		args = append(args, "--git-dir="+c.gitDir)
	}
	return childproc.Cmd{
		Path: "git", Args: append(args, c.args...), Dir: c.dir,
		Env: append(append(c.baseEnv(), c.secrets.env()...), c.env...),
	}
}

// remoteEnv are the variables of ours that a command which talks to a remote gets.
var remoteEnv = [...]string{
	"XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM",
	"SSH_AUTH_SOCK", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT",
	"GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_CERT", "GIT_SSL_KEY",
}

func (c command) baseEnv() []string {
	// An empty GIT_ASKPASS keeps git from asking through SSH_ASKPASS; ssh itself asks "false", never the terminal.
	env := childproc.MinimalEnv("GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=false", "SSH_ASKPASS_REQUIRE=force")
	if !c.remote() {
		return append(env, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null")
	}
	for _, name := range remoteEnv {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// remote says whether the command talks to a remote.
func (c command) remote() bool {
	switch c.verb() {
	case "fetch", "push", "ls-remote", "clone", "pull", "fetch-pack", "send-pack":
		return true
	}
	return false
}

// verb is the first argument that is no option; options with a separate value (-c, -C) are skipped with it.
func (c command) verb() string {
	for i := 0; i < len(c.args); i++ {
		switch a := c.args[i]; {
		case a == "-c" || a == "-C":
			i++
		case !strings.HasPrefix(a, "-"):
			return a
		}
	}
	return ""
}

// explain scrubs the credentials from the error of a call, and adds what kind of failure it is.
func (c command) explain(err error) error {
	if err == nil {
		return nil
	}
	var exit *childproc.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("git %s: %w", c.verb(), err)
	}
	exit.Stderr = c.secrets.scrub(exit.Stderr)
	if kind := classify(exit.Stderr); kind != nil && exit.Cause == nil {
		return fmt.Errorf("git %s: %w: %w", c.verb(), kind, exit)
	}
	return fmt.Errorf("git %s: %w", c.verb(), exit)
}

// classify finds the kind of failure in git's messages, which are English since we set the language.
func classify(stderr string) error {
	for _, k := range [...]struct {
		kind  error
		texts []string
	}{
		{ErrAuth, []string{
			"Authentication failed", "could not read Username", "could not read Password", "terminal prompts disabled",
			"Permission denied (", "Host key verification failed", "The requested URL returned error: 403",
		}},
		{ErrNotFound, []string{
			"does not appear to be a git repository", "Repository not found", "couldn't find remote ref",
			"not our ref", "fatal: repository '", "Not a valid object name", "does not exist in", "repository not exported",
		}},
		{ErrUnreachable, []string{
			"Could not resolve host", "Failed to connect", "Connection refused", "Connection timed out", "Connection reset",
			"Connection closed by", "Operation timed out", "unable to connect", "early EOF", "The requested URL returned error: 5",
			"the remote end hung up unexpectedly", "error: 429", "Network is unreachable", "No route to host", "SSL_ERROR", "RPC failed",
		}},
	} {
		for _, text := range k.texts {
			if strings.Contains(stderr, text) {
				return k.kind
			}
		}
	}
	return nil
}

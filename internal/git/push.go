package git

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caur-build/caur/internal/childproc"
)

// PushOptions of PushAtomic.
type PushOptions struct {
	ForceWithLease map[string]string // full name of a remote ref → the object it must be at; "" or zeros: it must not exist
	PushOptions    []string          // handed to the server (git push -o)
}

// ErrRaced says that the remote has moved on: fetch, work again on what is there, and push again.
var ErrRaced = errors.New("the remote has moved on")

// ErrRefused is a push that a rule or hook of the server refuses; PushAtomic returns a pointer to it.
type ErrRefused struct {
	Reason string // what the server said, safe to print
}

// Error gives the reason.
func (e *ErrRefused) Error() string { return "the server refuses the push: " + e.Reason }

// PushAtomic pushes all refspecs to remote, a name or a URL, or none. The error is ErrRaced when a ref is not where we
// thought it to be (not a fast-forward, a stale lease, someone pushing at the same moment), *ErrRefused when the server
// does not want it, ErrAuth or ErrUnreachable, or another.
func (r Repo) PushAtomic(ctx context.Context, remote string, refspecs []string, opts PushOptions) error {
	clean, secrets, err := r.resolve(ctx, remote)
	if err != nil {
		return err
	}
	if len(refspecs) == 0 {
		return errors.New("git push: nothing to push") // git would take the branch that is checked out
	}
	for _, spec := range refspecs {
		if _, to, _ := strings.Cut(spec, ":"); strings.HasPrefix(spec, "+") {
			if _, leased := opts.ForceWithLease[to]; leased {
				return fmt.Errorf("git push: %q forces, which would make its lease void", spec)
			}
		}
	}
	args := []string{"push", "--atomic", "--porcelain", "--no-verify", "--no-follow-tags", "--recurse-submodules=no"}
	for _, ref := range slices.Sorted(maps.Keys(opts.ForceWithLease)) {
		expect := opts.ForceWithLease[ref]
		if strings.Trim(expect, "0") == "" {
			expect = "" // for git: the ref must not exist
		}
		args = append(args, "--force-with-lease="+ref+":"+expect)
	}
	for _, o := range opts.PushOptions {
		args = append(args, "--push-option="+o)
	}
	args = append(append(args, "--", clean), refspecs...)
	c := command{dir: r.Dir, args: args, env: r.Env, secrets: secrets}
	out, err := c.output(ctx)
	if err == nil {
		return nil
	}
	return pushError(secrets.scrub(string(out)), err)
}

// resolve gives what to hand to git for a remote, and the credentials in its URL.
func (r Repo) resolve(ctx context.Context, remote string) (string, credentials, error) {
	if strings.HasPrefix(remote, "-") {
		return "", credentials{}, fmt.Errorf("%q is not the name of a remote", remote)
	}
	if strings.ContainsAny(remote, ":/") {
		clean, secrets := separate(remote)
		return clean, secrets, nil
	}
	for _, key := range []string{".pushurl", ".url"} {
		out, err := r.Output(ctx, "config", "--get", "remote."+remote+key)
		var exit *childproc.ExitError
		if errors.As(err, &exit) && exit.Code == 1 {
			continue // not set
		}
		if err != nil {
			return "", credentials{}, err
		}
		_, secrets := separate(strings.TrimSuffix(string(out), "\n"))
		return remote, secrets, nil
	}
	return remote, credentials{}, nil
}

// pushError reads the porcelain output of git push: FLAG TAB FROM:TO TAB SUMMARY, flag "!" for a ref that was rejected.
// Of an atomic push the refs that only fail along with another say so; they are no reason.
func pushError(porcelain string, err error) error {
	var raced, refused, along []string
	for line := range strings.Lines(porcelain) {
		parts := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(parts) != 3 || parts[0] != "!" {
			continue
		}
		_, to, _ := strings.Cut(parts[1], ":")
		switch what := to + " " + parts[2]; {
		case containsAny(parts[2], "atomic push fail", "atomic transaction failed", "transaction aborted"):
			along = append(along, what)
		case containsAny(parts[2], raceTexts[:]...):
			raced = append(raced, what)
		default:
			refused = append(refused, what)
		}
	}
	var exit *childproc.ExitError
	if len(raced)+len(refused)+len(along) == 0 || !errors.As(err, &exit) {
		return err
	}
	said := remoteLines(exit.Stderr)
	if len(refused)+len(raced) == 0 { // the server's transaction failed as a whole; only its messages say why
		if containsAny(said, raceTexts[:]...) {
			return fmt.Errorf("git push: %w: %s", ErrRaced, said)
		}
		refused = along
	}
	if len(refused) == 0 {
		return fmt.Errorf("git push: %w: %s", ErrRaced, strings.Join(raced, ", "))
	}
	reason := strings.Join(refused, ", ")
	if said != "" {
		reason += ": " + said
	}
	return fmt.Errorf("git push: %w", &ErrRefused{Reason: reason})
}

// raceTexts are the reasons that mean another push was faster: found by our git before it sends anything, or by the
// server when it locks or updates the ref.
var raceTexts = [...]string{
	"stale info", "non-fast-forward", "fetch first", "needs force", "already exists",
	"cannot lock ref", "failed to lock", "failed to update ref", "incorrect old value", "is at ", "reference already exists",
	"remote ref updated since checkout",
}

func containsAny(s string, texts ...string) bool {
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(s, t) })
}

// remoteLines gives what the server and its hooks printed.
func remoteLines(stderr string) string {
	var said []string
	for line := range strings.Lines(stderr) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "remote: "); ok && strings.TrimSpace(text) != "" {
			said = append(said, strings.TrimSpace(text))
		}
	}
	return strings.Join(said, " / ")
}

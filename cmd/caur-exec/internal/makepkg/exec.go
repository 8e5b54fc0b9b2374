package makepkg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"github.com/caur-build/caur/internal/syncdb"
)

// makepkgArgs calls makepkg through a login shell: makepkg -s would source /etc/profile after it installed dependencies,
// which is where a newly installed compiler or interpreter gets on the path.
func makepkgArgs(args ...string) []string {
	return append([]string{"--login", "-c", `umask 022; exec makepkg "$@"`, "makepkg"}, args...)
}

// makepkg builds, as the build user, under the time limit of the package.
func (b *build) makepkg(ctx context.Context) (int, error) {
	if limit := b.config.Limit(time.Duration(b.Timeout)); limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, errTimeLimit)
		defer cancel()
	}
	if b.config.Offline {
		if code, err := b.fetchSources(ctx); code != CodeOK || err != nil {
			return timedOut(code, err)
		}
	}
	code, err := b.makepkgOnce(ctx)
	if code != CodeAlreadyBuilt || err != nil || len(b.inRepo) == 0 {
		return timedOut(code, err)
	}
	missing, err := b.notInRepo(ctx)
	if err != nil || len(missing) == 0 {
		return timedOut(code, err)
	}
	b.say("the repository lacks %s: building it", strings.Join(missing, " "))
	if err := b.removePlaceholders(); err != nil {
		return CodeFailed, err
	}
	return timedOut(b.makepkgOnce(ctx))
}

func timedOut(code int, err error) (int, error) {
	if errors.Is(err, errTimeLimit) {
		return CodeTimedOut, err
	}
	return code, err
}

// makepkgOnce runs makepkg; without network when the package asks for that.
func (b *build) makepkgOnce(ctx context.Context) (int, error) {
	args := b.makepkgArgs()
	if !b.config.Offline {
		return b.status(ctx, 0, nil, b.userChild("bash", args...))
	}
	self, err := os.Executable()
	if err != nil {
		return CodeFailed, fmt.Errorf("find our own program: %w", err)
	}
	return b.status(ctx, 0, nil, b.userChild(self, append([]string{"offline", "--", "bash"}, args...)...))
}

func (b *build) makepkgArgs(more ...string) []string {
	return makepkgArgs(append([]string{"--config", b.makepkgConfPath, "--skippgpcheck", "--noconfirm", "--nosign"}, more...)...)
}

// fetchSources lets makepkg download the sources, while there is a network. What the PKGBUILD left running is ended
// before the network is gone for the rest: it might lend its own.
func (b *build) fetchSources(ctx context.Context) (int, error) {
	code, err := b.status(ctx, 0, nil, b.userChild("bash", b.makepkgArgs("--verifysource")...))
	b.killLeftovers()
	if code == CodeAlreadyBuilt {
		code = CodeOK // makepkg will say it again, and it is judged there
	}
	if code == CodeOK && err == nil {
		b.say("the sources are here; from now on there is no network (CI_BUILD_NETWORK=none)")
	}
	return code, err
}

// notInRepo lists what makepkg would build now, with the version that pgkver() gave, and the repository does not have.
func (b *build) notInRepo(ctx context.Context) ([]string, error) {
	text, err := b.printed(ctx, "--packagelist")
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, file := range strings.Fields(string(text)) {
		name := path.Base(file)
		parsed, err := syncdb.ParseFilename(name)
		if err != nil {
			return nil, fmt.Errorf("makepkg --packagelist: %w", err)
		}
		stem := strings.TrimSuffix(name, ".pkg.tar")
		if !b.inRepo[stem] && parsed.Name != b.Pkgbase+"-debug" {
			missing = append(missing, stem)
		}
	}
	return missing, nil
}

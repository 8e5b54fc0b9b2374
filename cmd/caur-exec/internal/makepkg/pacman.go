package makepkg

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/pkg/srcinfo"
)

const (
	maxKeyring  = 64 << 20
	maxPrinted  = 10 << 20               // of a child whose output is read
	syncDBDir   = "/var/lib/pacman/sync" // DBPath of pacman.conf(5) by default
	sha256Label = "#sha256="             // at the end of a keyring's URL
	statusUnmet = 127                    // pacman -T: at least one is not installed
	maxArgs     = 4 << 10                // names in one call
	pacmanCause = "took longer than its limit"
)

func (b *build) pacman(ctx context.Context, args ...string) error {
	args = append([]string{"--config", b.pacmanConfPath}, args...)
	code, err := b.status(ctx, pacmanLimit, errors.New(pacmanCause), b.child(false, "pacman", args...))
	if err == nil && code != 0 {
		err = fmt.Errorf("pacman %s ended with status %d", args[2], code)
	}
	return err
}

// unmet lists which of the dependencies are not installed.
func (b *build) unmet(ctx context.Context, deps []string) ([]string, error) {
	if len(deps) == 0 {
		return nil, nil
	}
	if len(deps) > maxArgs {
		return nil, fmt.Errorf("%d dependencies; more than %d are not looked at", len(deps), maxArgs)
	}
	var out bytes.Buffer
	c := b.child(false, "pacman", append([]string{"--config", b.pacmanConfPath, "-T", "--"}, deps...)...)
	c.Stdout = &out
	code, err := b.status(ctx, pacmanLimit, errors.New(pacmanCause), c)
	if err != nil {
		return nil, err
	}
	if code != 0 && code != statusUnmet {
		return nil, fmt.Errorf("pacman -T ended with status %d", code)
	}
	return strings.Fields(out.String()), nil
}

// canInstall says whether there is any repository, and the right, to install from.
func (b *build) canInstall() bool { return b.repoCount > 0 && os.Geteuid() == 0 }

// update brings the system up to date and installs what the package's name implies. On a system without repositories,
// and for a tool that no repository has, the program on the path must do.
func (b *build) update(ctx context.Context, implied []string) error {
	if b.canInstall() {
		if err := b.pacman(ctx, "-Syu", "--noconfirm"); err != nil {
			return err
		}
	}
	missing, err := b.unmet(ctx, implied)
	if err != nil {
		return err
	}
	for _, name := range missing {
		if b.canInstall() {
			if err := b.pacman(ctx, "-S", "--needed", "--asdeps", "--noconfirm", "--", name); err == nil {
				continue
			} else if ctx.Err() != nil {
				return err
			}
		}
		if _, err := exec.LookPath(programOf(name)); err == nil {
			b.say("no repository has %s; the program that is installed is used", name)
			continue
		}
		b.say("warning: %s cannot be installed and is not there; the build will need it", name)
	}
	return nil
}

// programOf names the program that a package of interfere.ImpliedPackages is wanted for.
func programOf(pkg string) string {
	switch pkg {
	case "subversion":
		return "svn"
	case "breezy":
		return "brz"
	case "mercurial":
		return "hg"
	case "multilib-devel":
		return "gcc"
	}
	return pkg
}

// srcinfo lets makepkg, as the build user, say what the PKGBUILD amounts to with all interferences.
func (b *build) srcinfo(ctx context.Context) (*srcinfo.Info, error) {
	text, err := b.printed(ctx, "--printsrcinfo")
	if err != nil {
		return nil, fmt.Errorf("read the PKGBUILD: %w", err)
	}
	info, _, err := srcinfo.Parse("makepkg --printsrcinfo", text)
	if err != nil {
		return nil, fmt.Errorf("read the PKGBUILD: %w", err)
	}
	return info, nil
}

// printed runs makepkg for what it prints.
func (b *build) printed(ctx context.Context, flag string) ([]byte, error) {
	out := &boundedBuffer{limit: maxPrinted}
	c := b.child(true, "bash", makepkgArgs("--config", b.makepkgConfPath, flag)...)
	c.Stdout = out
	code, err := b.status(ctx, parseLimit, fmt.Errorf("makepkg %s took longer than %v", flag, parseLimit), c)
	if err == nil && code != 0 {
		err = fmt.Errorf("makepkg %s ended with status %d", flag, code)
	}
	return out.buf.Bytes(), err
}

type boundedBuffer struct {
	buf   bytes.Buffer
	limit int
}

func (w *boundedBuffer) Write(p []byte) (int, error) {
	if w.buf.Len()+len(p) > w.limit {
		return 0, fmt.Errorf("more than %d bytes of output", w.limit)
	}
	return w.buf.Write(p)
}

// installDependencies installs, as root and before makepkg starts, what makepkg -s would: depends, makedepends and
// checkdepends of the base section.
func (b *build) installDependencies(ctx context.Context, info *srcinfo.Info) (int, error) {
	var deps []string
	for _, key := range []string{"depends", "makedepends", "checkdepends"} {
		deps = append(deps, info.Base.Values(key, b.Arch)...)
	}
	slices.Sort(deps)
	deps = slices.Compact(deps)
	missing, err := b.unmet(ctx, deps)
	if err != nil || len(missing) == 0 {
		return CodeDependencies, err
	}
	if !b.canInstall() {
		return CodeDependencies, fmt.Errorf("not installed, and there is no repository (or no right) to install from: %s", strings.Join(missing, " "))
	}
	b.say("installing dependencies: %s", strings.Join(missing, " "))
	if err := b.pacman(ctx, append([]string{"-S", "--needed", "--asdeps", "--noconfirm", "--"}, missing...)...); err != nil {
		return CodeDependencies, fmt.Errorf("install the dependencies: %w", err)
	}
	return CodeOK, nil
}

// readTargetRepo notes which files of this package the target repository has, and puts an empty file in the place of each:
// makepkg then says that it is already built.
func (b *build) readTargetRepo(info *srcinfo.Info) error {
	if b.TargetRepo == nil {
		return nil
	}
	path := filepath.Join(syncDBDir, b.TargetRepo.Name+".db")
	if !exists(path) {
		return nil
	}
	db, err := syncdb.Read(path)
	if err != nil {
		return fmt.Errorf("read the database of the target repository: %w", err)
	}
	defer db.Close()
	for _, name := range b.expected(info) {
		entry, ok := db.Get(name)
		if !ok {
			continue
		}
		p, err := entry.Package()
		if err != nil {
			return fmt.Errorf("read the database of the target repository: %w", err)
		}
		if _, err := syncdb.ParseFilename(p.Filename); err != nil {
			return fmt.Errorf("read the database of the target repository: %w", err)
		}
		stem, _, _ := strings.Cut(p.Filename, ".pkg.tar")
		b.inRepo[stem] = true
	}
	return b.placeholders()
}

func (b *build) placeholders() error {
	for stem := range b.inRepo {
		if err := os.WriteFile(filepath.Join(b.pkgDest, stem+".pkg.tar"), nil, 0o644); err != nil {
			return fmt.Errorf("mark what is already built: %w", err)
		}
	}
	return b.user.give(b.pkgDest)
}

func (b *build) removePlaceholders() error {
	for stem := range b.inRepo {
		if err := os.Remove(filepath.Join(b.pkgDest, stem+".pkg.tar")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// expected are the pkgnames whose files count: those of the job, or all that the PKGBUILD names.
func (b *build) expected(info *srcinfo.Info) []string {
	if len(b.Pkgnames) > 0 {
		return b.Pkgnames
	}
	return info.Pkgnames()
}

// installKeyrings installs the keys of extra repositories before anything is taken from these. A pinned one must have its
// hash; for any other pacman demands a signature that its keyring knows already.
func (b *build) installKeyrings(ctx context.Context) error {
	for i, address := range b.Keyrings {
		what := address
		if url, sum, pinned := strings.Cut(address, sha256Label); pinned {
			file := filepath.Join(b.WorkDir, "etc", fmt.Sprintf("keyring-%d%s", i, filepath.Ext(url)))
			if err := download(ctx, url, sum, file); err != nil {
				return fmt.Errorf("keyring %s: %w", url, err)
			}
			what = file
		}
		if err := b.pacman(ctx, "-U", "--needed", "--noconfirm", "--", what); err != nil {
			return fmt.Errorf("keyring %s: %w", address, err)
		}
	}
	return nil
}

func download(ctx context.Context, url, sum, file string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, maxKeyring+1))
	if err != nil {
		return err
	}
	if len(data) > maxKeyring {
		return fmt.Errorf("has more than %d bytes", maxKeyring)
	}
	if got := sha256.Sum256(data); hex.EncodeToString(got[:]) != strings.ToLower(sum) {
		return fmt.Errorf("has the SHA-256 %x, not the pinned one", got)
	}
	return os.WriteFile(file, data, 0o644)
}

// runPrepare runs the script that sources .CI/prepare, as root.
func (b *build) runPrepare(ctx context.Context, script string) (int, error) {
	c := b.child(false, "bash", "-c", script)
	c.Env = append(c.Env, "CARCH="+b.Arch, "PACKAGE="+b.Pkgbase)
	return b.status(ctx, prepareLimit, fmt.Errorf("it took longer than %v", prepareLimit), c)
}

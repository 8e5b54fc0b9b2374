package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/caur-build/caur/cmd/caur-exec/internal/builder"
	"github.com/caur-build/caur/cmd/caur-exec/internal/landing"
)

const (
	leastDisk = 5 << 30  // bytes; with less, hardly anything can be built
	goodDisk  = 20 << 30 // with less, large packages fail
	goodNodes = 200_000  // inodes; a kernel tree has 90,000
)

// directories tries to write where builds and source caches will be, and looks at the room there.
func (e *exam) directories() {
	const check = "directories"
	dirs, err := builder.Directories(e.Builder)
	if err != nil {
		e.add(Failed, check, err.Error(), "make SHARED_PATH a directory that this user may write to")
		return
	}
	for _, dir := range dirs {
		f, err := os.CreateTemp(dir, ".doctor-")
		if err != nil {
			e.add(Failed, check, err.Error(), "let this user write there")
			return
		}
		_ = f.Close()
		_ = os.Remove(f.Name())
	}
	e.ok(check, "builds in %s, source caches in %s", dirs[0], dirs[1])
	e.disk(dirs[0])
}

func (e *exam) disk(dir string) {
	const check = "disk space"
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		e.add(Warning, check, fmt.Sprintf("%s: %v", dir, err), "")
		return
	}
	free := st.Bavail * uint64(st.Bsize)
	detail := fmt.Sprintf("%.1f GB free for builds in %s", float64(free)/1e9, dir)
	const fix = "make room, limit the source caches (BUILDER_CACHE_MAX_GB), or put SHARED_PATH on a larger disk"
	switch {
	case free < leastDisk:
		e.add(Failed, check, detail, fix)
	case free < goodDisk:
		e.add(Warning, check, detail+": large packages need more", fix)
	case st.Files > 0 && st.Ffree < goodNodes:
		e.add(Warning, check, fmt.Sprintf("%s, but only %d more files", detail, st.Ffree), fix)
	default:
		e.ok(check, "%s", detail)
	}
}

// engine asks the engine for a sign of life, and runs this program in a container to see what a build would find there.
func (e *exam) engine(ctx context.Context) {
	const check = "engine"
	quick, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	engine, err := builder.OpenEngine(quick, e.Builder)
	if err == nil {
		defer engine.Close()
		err = engine.Check(quick)
	}
	if err != nil {
		e.add(Failed, check, err.Error(), "start the engine, let this user open its socket (DOCKER_SOCKET), or choose another one (CONTAINER_ENGINE)")
		return
	}
	if engine.OwnRoot() {
		e.ok(check, "%s works", e.Builder.Engine)
	} else {
		e.add(Warning, check, "builds would change the root file system of this machine", "let this user mount overlays (BUILDER_OVERLAY), or use docker or podman, or only machines that are thrown away")
	}
	ctx, cancel = context.WithTimeout(ctx, imageLimit)
	defer cancel()
	report, err := builder.RunInside(ctx, e.Builder, engine, e.advert.Image, e.Executable, []string{"doctor", "--inside"})
	if err != nil {
		e.add(Failed, "image", err.Error(), "pull or build the image that BUILDER_IMAGE names, here or with the database role")
		return
	}
	var inside Inside
	if err := json.Unmarshal(report, &inside); err != nil {
		e.add(Failed, "image", fmt.Sprintf("a container could not tell what is in it: %v: %.200q", err, report), "try the image by hand")
		return
	}
	e.image(inside)
}

func (e *exam) image(i Inside) {
	const check = "image"
	switch {
	case len(i.Missing) > 0:
		e.add(Failed, check, "builds do not find these programs: "+strings.Join(i.Missing, " "), "install them in the image: pacman -S base-devel git namcap")
	case len(i.Useful) > 0:
		e.add(Warning, check, "not found: "+strings.Join(i.Useful, " "), "install them in the image")
	default:
		e.ok(check, "pacman, makepkg and what they need are there")
	}
	if i.Databases == 0 {
		e.add(Warning, check, "pacman has no repository: no dependency can be installed", "configure some in the image's /etc/pacman.conf")
	}
}

// Inside is what a build would find in its container.
type Inside struct {
	Missing   []string `json:"missing"`   // programs without which nothing is built
	Useful    []string `json:"useful"`    // programs that most builds need
	Databases int      `json:"databases"` // repositories in pacman.conf
	User      string   `json:"user"`      // who we are there
}

// LookInside says what is here, for the doctor outside.
func LookInside(out io.Writer) error {
	in := Inside{Missing: []string{}, Useful: []string{}}
	for _, program := range []string{"bash", "pacman", "makepkg", "fakeroot", "bsdtar", "useradd"} {
		if _, err := exec.LookPath(program); err != nil {
			in.Missing = append(in.Missing, program)
		}
	}
	for _, program := range []string{"gcc", "make", "git", "patch", "curl", "namcap"} {
		if _, err := exec.LookPath(program); err != nil {
			in.Useful = append(in.Useful, program)
		}
	}
	text, err := os.ReadFile("/etc/pacman.conf")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "[") && line != "[options]" {
			in.Databases++
		}
	}
	if me, err := user.Current(); err == nil {
		in.User = me.Username
	}
	return json.NewEncoder(out).Encode(in)
}

// landing tries the way that finished packages take.
func (e *exam) landing(ctx context.Context) {
	const check = "landing zone"
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	if e.advert.Landing.Path == "" && e.Builder.LandingPath == "" {
		e.add(Warning, check, "not looked at: only the database role can tell where it is", "mend what is said of Redis and the database role first")
		return
	}
	sender, err := builder.SenderTo(e.Builder, e.advert.Landing, landing.Place{TargetRepo: "doctor", Arch: "any", Pkgbase: "doctor", Token: 1})
	if err == nil {
		defer sender.Close()
		err = sender.Check(ctx)
	}
	if err != nil {
		e.add(Failed, check, err.Error(), "SSH_KEY_FILE and SSH_KNOWN_HOSTS here, authorized_keys and LANDING_ZONE_PATH there; the user there must be able to write to it over SFTP")
		return
	}
	where := filepath.Clean(e.advert.Landing.Path)
	if e.Builder.LandingPath != "" {
		where = e.Builder.LandingPath
	}
	e.ok(check, "%s can be written to", where)
}

package landing

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
)

// quarantine is the directory of refused uploads: QUARANTINE/TARGET_REPO/ARCH/PKGBASE/TOKEN/, each with a file that says
// why. Its name is no legal name of a target repo, so nothing in it is ever published.
const quarantine = ".quarantine"

// reasonFile is no legal name of a package file.
const reasonFile = "REASON"

// Quarantine moves the upload of a place aside, with the reason, to be looked at until Sweep removes it. It returns the
// path it has now, relative to the zone, and "" when there is no upload.
func (z *Zone) Quarantine(p Place, reason string, now time.Time) (string, error) {
	if err := p.Check(); err != nil {
		return "", err
	}
	root, err := os.OpenRoot(z.root)
	if err != nil {
		return "", fmt.Errorf("landing zone: %w", err)
	}
	defer root.Close()
	to := path.Join(quarantine, p.Dir())
	if err := setAside(root, p.Dir(), to); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	} else if err != nil {
		return "", fmt.Errorf("quarantine: %w", err)
	}
	removeEmpty(root, path.Dir(p.Dir()))
	text := fmt.Sprintf("%s\n%s\n", now.UTC().Format(time.RFC3339), strings.Join(strings.Fields(reason), " "))
	err = writeNew(root, path.Join(to, reasonFile), text)
	if err == nil {
		err = root.Chtimes(to, now, now) // the day begins
	}
	if err != nil {
		return to, fmt.Errorf("quarantine: %w", err)
	}
	return to, nil
}

func setAside(root *os.Root, from, to string) error {
	st, err := root.Lstat(from)
	switch {
	case err != nil:
		return err
	case !st.IsDir(): // a link or file in place of a directory: nothing to keep
		if err := root.Remove(from); err != nil {
			return err
		}
		return fs.ErrNotExist
	}
	if err := root.MkdirAll(path.Dir(to), 0o700); err != nil {
		return err
	}
	if err := root.RemoveAll(to); err != nil { // of the same run, refused before
		return err
	}
	return root.Rename(from, to)
}

// writeNew writes a file whatever the uploader has put in its place: a link, or a fifo that would never be read.
func writeNew(root *os.Root, at, text string) error {
	if err := root.RemoveAll(at); err != nil {
		return err
	}
	f, err := root.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// Swept is what Sweep did. Paths are relative to the zone.
type Swept struct {
	Removed     []string // after a day in quarantine, or a day in a place where no upload belongs
	Quarantined []string // uploads of runs that nobody waits for
}

// Sweep sets aside the uploads of runs for which live says false: their token is old, or the job was canceled. What is
// no upload at all and was last changed before the given time is removed, as is what came into quarantine before it.
// live is asked with Token 0 for a directory above the token, which is kept as long as something may arrive in it.
func (z *Zone) Sweep(now, before time.Time, live func(Place) bool) (Swept, error) {
	root, err := os.OpenRoot(z.root)
	if err != nil {
		return Swept{}, fmt.Errorf("landing zone: %w", err)
	}
	defer root.Close()
	s := &sweep{zone: z, root: root, now: now, before: before, live: live}
	err = s.dir(".", nil)
	if err == nil {
		err = s.quarantine()
	}
	if err != nil {
		return s.done, fmt.Errorf("sweep landing zone: %w", err)
	}
	return s.done, nil
}

type sweep struct {
	zone        *Zone
	root        *os.Root
	now, before time.Time
	live        func(Place) bool
	done        Swept
}

// dir sweeps a directory above the token: in it only directories are in their place.
func (s *sweep) dir(dir string, above []string) error {
	entries, err := fs.ReadDir(s.root.FS(), dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		at, names := path.Join(dir, e.Name()), append(above[:len(above):len(above)], e.Name())
		switch {
		case at == quarantine:
		case len(names) == 4 && placeAt(names).Check() == nil:
			err = s.place(at, placeAt(names))
		case e.IsDir() && len(names) < 4:
			if err = s.dir(at, names); err == nil && !s.live(placeAt(names)) && s.old(at) && s.root.Remove(at) == nil {
				s.done.Removed = append(s.done.Removed, at)
			}
		default:
			err = s.remove(at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *sweep) place(at string, p Place) error {
	if s.live(p) {
		return nil
	}
	to, err := s.zone.Quarantine(p, "nobody waits for this run: its token is old, or the job has ended", s.now)
	if to != "" {
		s.done.Quarantined = append(s.done.Quarantined, at)
	}
	return err
}

func (s *sweep) remove(at string) error {
	if !s.old(at) {
		return nil
	}
	if err := s.root.RemoveAll(at); err != nil {
		return err
	}
	s.done.Removed = append(s.done.Removed, at)
	return nil
}

// quarantine removes what has been there long enough. How old the upload is does not count, only when it came.
func (s *sweep) quarantine() error {
	places, err := fs.Glob(s.root.FS(), quarantine+"/*/*/*/*")
	if err != nil {
		return err
	}
	for _, at := range places {
		if st, err := s.root.Lstat(at); err != nil || !st.ModTime().Before(s.before) {
			continue
		}
		if err := s.root.RemoveAll(at); err != nil {
			return err
		}
		s.done.Removed = append(s.done.Removed, at)
		removeEmpty(s.root, path.Dir(at))
	}
	return nil
}

// old says whether a file, or a directory and everything in it, was last changed before the limit.
func (s *sweep) old(at string) bool {
	st, err := s.root.Lstat(at)
	if err != nil || !st.ModTime().Before(s.before) {
		return false // gone meanwhile, or new
	}
	if !st.IsDir() {
		return true
	}
	entries, err := fs.ReadDir(s.root.FS(), at)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if !s.old(path.Join(at, e.Name())) {
			return false
		}
	}
	return true
}

func placeAt(names []string) Place {
	p := Place{}
	for i, to := range []*string{&p.TargetRepo, &p.Arch, &p.Pkgbase} {
		if i < len(names) {
			*to = names[i]
		}
	}
	if len(names) == 4 {
		p.Token, _ = strconv.ParseInt(names[3], 10, 64)
	}
	return p
}

package publish

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/pkg/queue"
)

// Add publishes package files by hand, as one transaction. force allows downgrades and packages that change their
// pkgbase; other content under a name that is there is refused all the same.
func (p *Publisher) Add(ctx context.Context, repo, arch string, force bool, files ...string) (Outcome, error) {
	l, err := p.layout(repo, arch)
	if err != nil {
		return Outcome{}, err
	}
	unlock, err := p.lock(ctx, l.root)
	if err != nil {
		return Outcome{}, err
	}
	defer unlock()
	t, err := p.begin(l)
	if err != nil {
		return Outcome{}, err
	}
	defer t.end()
	var packages []incoming
	for _, file := range files {
		in, err := t.stageFile(ctx, file)
		if err != nil {
			return Outcome{}, fmt.Errorf("%s: %w", file, err)
		}
		packages = append(packages, in)
	}
	return t.publish(ctx, "by hand", packages, force, func() error { return nil })
}

// stageFile is stagePackage for a file of this machine, which may change meanwhile no more than that of a stranger.
func (t *Transaction) stageFile(ctx context.Context, file string) (incoming, error) {
	name, err := syncdb.ParseFilename(filepath.Base(file))
	if err != nil {
		return incoming{}, refusef("%v", err)
	}
	if name.Arch != "any" && name.Arch != t.l.arch {
		return incoming{}, refusef("it is not for %s", t.l.arch)
	}
	f := queue.File{Name: filepath.Base(file)}
	if f.SHA256, f.Size, err = hashFile(ctx, file); err != nil {
		return incoming{}, err
	}
	return t.stagePackage(ctx, f, func(w io.Writer) error { return copyFile(ctx, w, file) })
}

func copyFile(ctx context.Context, w io.Writer, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, &untilDone{ctx, f})
	return err
}

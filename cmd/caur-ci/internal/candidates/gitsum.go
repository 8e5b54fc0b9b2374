package candidates

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/caur-build/caur/internal/childproc"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// gitArchive hands over what makepkg (6.1 and newer, source/git.sh) makes the checksum of a git source of: the tar archive
// of the tag or commit as `git archive` writes it.
func gitArchive(ctx context.Context, source srcinfo.Source, into io.Writer) error {
	ref := source.FragRef
	switch {
	case source.VCS != "git" || source.FragType != "tag" && source.FragType != "commit" || ref == "":
		return fmt.Errorf("a %s source can have a checksum only where it names a tag or commit of git: use SKIP", source.VCS)
	case source.FragType == "tag":
		ref = "refs/tags/" + ref
	case !fullCommit.MatchString(ref):
		return fmt.Errorf("the commit %s of a git source must have all its digits to be fetched", ref)
	}
	dir, err := os.MkdirTemp("", "source-")
	if err != nil {
		return fmt.Errorf("make a folder for a git source: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx, cancel := context.WithTimeoutCause(ctx, sourceTimeout, fmt.Errorf("not done within %s", sourceTimeout))
	defer cancel()
	commit, err := git.FetchCommit(ctx, dir, source.URL, ref)
	if err != nil {
		return err
	}
	archive := git.Repo{Dir: dir}.Command("-c", "core.abbrev=no", "archive", "--format=tar", commit)
	archive.Stdout = into
	return childproc.Run(ctx, archive)
}

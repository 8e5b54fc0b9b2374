package makepkg

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/caur-build/caur/pkg/srcinfo"
)

// SrcinfoFile is where PrintSrcinfo leaves its result in Request.OutputDir.
const SrcinfoFile = "SRCINFO"

// PrintSrcinfo runs makepkg --printsrcinfo on the package directory as it is, without interferences, and leaves what it
// prints in the output directory once it is known to be a .SRCINFO. Messages of makepkg go to out. Nothing is installed
// and no network is needed; the code at the top level of the PKGBUILD does run.
func PrintSrcinfo(ctx context.Context, r Request, out io.Writer) error {
	if err := r.check(); err != nil {
		return err
	}
	b := &build{Request: r.withDefaults(), out: out}
	if err := b.setUp(ctx); err != nil {
		return err
	}
	text, err := b.printed(ctx, "--printsrcinfo")
	b.killLeftovers()
	if ctx.Err() != nil {
		return fmt.Errorf("read the PKGBUILD: %w", context.Cause(ctx))
	}
	if err != nil {
		return fmt.Errorf("read the PKGBUILD: %w", err)
	}
	if _, _, err := srcinfo.Parse("makepkg --printsrcinfo", text); err != nil {
		return fmt.Errorf("read the PKGBUILD: %w", err)
	}
	if err := os.WriteFile(filepath.Join(b.OutputDir, SrcinfoFile), text, 0o644); err != nil {
		return fmt.Errorf("write the .SRCINFO: %w", err)
	}
	return nil
}

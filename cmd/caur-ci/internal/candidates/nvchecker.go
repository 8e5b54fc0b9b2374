package candidates

import (
	"context"
	"errors"
	"time"

	"github.com/caur-build/caur/cmd/caur-ci/internal/download"
	"github.com/caur-build/caur/internal/settings"
)

// NVCheckerMode says who looks for new versions.
type NVCheckerMode string

// The modes. Auto looks for what it can by itself and leaves the rest to the program, if that is installed.
const (
	NVCheckerAuto    NVCheckerMode = "auto"
	NVCheckerNative  NVCheckerMode = "native"
	NVCheckerProgram NVCheckerMode = "program"
)

// NVCheckerOptions of NewNVChecker.
type NVCheckerOptions struct {
	Web     *download.Client
	Mode    NVCheckerMode   // "": auto
	KeyFile settings.Secret // the text of nvchecker's keyfile.toml; may be empty
	Review  bool            // CI_NVCHECKER_REVIEW
	TempDir string          // for the program's files; "": the system's
	Program string          // "": nvchecker, found in PATH
	Timeout time.Duration   // of the program, for all packages together; 0: 5 minutes
}

// NVChecker finds new versions of packages with CI_NVCHECKER (pipeline.md section 5.4).
type NVChecker struct{ o NVCheckerOptions }

// NewNVChecker makes the source. The error is a key file that cannot be read.
func NewNVChecker(o NVCheckerOptions) (*NVChecker, error) { return &NVChecker{o: o}, nil }

// Name is SourceNVChecker.
func (*NVChecker) Name() string { return SourceNVChecker }

// Wants packages with CI_NVCHECKER.
func (*NVChecker) Wants(p *Package) bool { return p.Config.NVChecker }

// Prepare reads what is to be checked and runs the program once for all packages that need it.
func (n *NVChecker) Prepare(context.Context, []*Package) error { return nil }

// Check compares the newest version with pkgver.
func (n *NVChecker) Check(context.Context, *Draft) error { return errors.New("not there yet") }

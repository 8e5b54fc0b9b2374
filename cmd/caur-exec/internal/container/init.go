package container

import (
	"github.com/caur-build/caur/cmd/caur-exec/internal/egress"
	"github.com/caur-build/caur/cmd/caur-exec/internal/nsinit"
)

// MaybeInit must be the first call of main in every program that uses an engine. In a process that an engine started to set
// up a build it does that work and never returns; in any other it does nothing.
func MaybeInit() {
	nsinit.MaybeRun()
	egress.MaybeRun()
}

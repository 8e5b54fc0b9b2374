package container

import "github.com/caur-build/caur/cmd/caur-exec/internal/nsinit"

// MaybeInit must be the first call of main in every program that uses engine none. In a process that the engine started
// as the first one of a build it does that work and never returns; in any other it does nothing.
func MaybeInit() { nsinit.MaybeRun() }

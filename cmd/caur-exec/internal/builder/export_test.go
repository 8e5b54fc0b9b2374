package builder

// Steps are those of a job that a fault can be put at, in order. "building" is told by the build itself.
var Steps = []string{stepClaimed, stepFetched, stepCreate, "building", stepCollected, stepUploading, stepUploaded, stepTold}

// SetReached lets f be told of each step of a job.
func (d *Deps) SetReached(f func(step, pkgbase string)) { d.reached = f }

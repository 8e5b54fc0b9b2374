package review

import (
	"github.com/caur-build/caur/pkg/pkgdir"
)

// Judge compares the two directories.
func Judge(in Input) Verdict {
	v := Verdict{Pkgbase: in.Pkgbase, Findings: []Finding{}}
	if len(pkgdir.Diff(in.Old, in.New)) > 0 {
		v.Level = Major
	}
	return v
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/caur-build/caur/cmd/caur-ci/internal/plan"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/conf"
	"github.com/caur-build/caur/pkg/state"
)

// classKey is the only package setting that a job depends on.
const classKey = "BUILDER_CLASS"

// plannedPackages reads what the jobs of the requested packages need, and warns of what is missing. A wrong
// BUILDER_CLASS is an error, since the job would go to the wrong builder; other wrong settings are warnings, the builder
// refuses what it cannot use.
func (a *app) plannedPackages(ctx context.Context, c *catalog, requests []plan.Request, arch string) ([]plan.Package, error) {
	names := make([]string, len(requests))
	paths := make([]string, len(requests))
	for i, r := range requests {
		names[i], paths[i] = r.Pkgbase, r.Pkgbase+"/.CI/config"
	}
	infos, warnings, err := c.infos(ctx, names)
	if err != nil {
		return nil, err
	}
	classes := make([]string, len(requests))
	faults := make([]error, len(requests))
	err = c.files.Read(ctx, paths, func(i int, data []byte) error {
		cfg, _, err := state.ParsePackageConfig(paths[i], data)
		if faults[i] = err; err == nil {
			classes[i] = cfg.Class
			return nil
		}
		classes[i], _ = conf.Parse(paths[i], data).Get(classKey)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var wrong []error
	packages := make([]plan.Package, len(requests))
	for i, r := range requests {
		packages[i] = plan.Package{Pkgbase: r.Pkgbase, Asked: r.Class, Class: classes[i], Info: infos[i]}
		if plan.MissesArch(infos[i], arch) {
			warnings = append(warnings, fmt.Sprintf("%s: arch lists neither %s nor any; it is scheduled all the same", names[i]+"/.SRCINFO", arch))
		}
		switch {
		case faults[i] == nil:
		case concernsClass(faults[i]):
			wrong = append(wrong, faults[i])
		default:
			warnings = append(warnings, faults[i].Error())
		}
	}
	for _, text := range warnings {
		a.warnf("%s", text)
	}
	if len(wrong) > 0 {
		return nil, &command.ExitError{Code: command.WrongUsage, Err: errors.Join(wrong...)}
	}
	return packages, nil
}

func concernsClass(err error) bool {
	var list *state.Error
	return !errors.As(err, &list) || slices.ContainsFunc(list.Problems, func(p state.Problem) bool { return p.Key == classKey })
}

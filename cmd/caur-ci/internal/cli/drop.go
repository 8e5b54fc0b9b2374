package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-ci/internal/commit"
	"github.com/caur-build/caur/pkg/deptree"
	"github.com/caur-build/caur/pkg/state"
)

func (a *app) drop() *cobra.Command {
	var h byHand
	cmd := &cobra.Command{
		Use:   "drop PKG…",
		Short: "Take packages out of the repository",
		Long: `Removes the directories of packages. The executor takes the files that nobody builds any more out of the pacman
repository with the next clean-up. Packages that depend on a dropped one are named in a warning.

Packages may be separated by commas, colons or blanks. Without arguments the variable PACKAGES is read.` + byHandHelp,
		Example: `  caur-ci drop paru
  caur-ci drop --dry-run paru yay
  PACKAGES=paru:yay caur-ci drop --push`,
		ValidArgsFunction: a.packageArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runByHand(cmd.Context(), h, func(ctx context.Context, _ *state.RepoConfig, c *catalog) (*handChange, error) {
				return a.drops(ctx, c, args)
			})
		},
	}
	h.flags(cmd)
	return cmd
}

func (a *app) drops(ctx context.Context, c *catalog, args []string) (*handChange, error) {
	requests, err := a.requests(args)
	if err != nil {
		return nil, err
	}
	change := &handChange{}
	for _, r := range requests {
		if _, found := slices.BinarySearch(c.names, r.Pkgbase); !found { // "all", too: nobody means that
			a.warnf("not dropped: there is no package %s", r.Pkgbase)
			continue
		}
		files, err := c.files.Dir(ctx, r.Pkgbase)
		if err != nil {
			return nil, err
		}
		change.add(r.Pkgbase, r.Pkgbase+": dropped", commit.Dir(r.Pkgbase, files, nil))
	}
	if len(change.names) == 0 {
		return nil, fmt.Errorf("none of these packages is there")
	}
	slices.Sort(change.names)
	change.message = commit.Message("drop", change.names)
	return change, a.warnOfUsers(ctx, c, change.names)
}

// warnOfUsers names the packages that stay and need what goes.
func (a *app) warnOfUsers(ctx context.Context, c *catalog, dropped []string) error {
	infos, _, err := c.infos(ctx, c.names)
	if err != nil {
		return err
	}
	var nodes []deptree.Node
	for _, info := range infos {
		if info != nil {
			nodes = append(nodes, deptree.FromInfo(info))
		}
	}
	graph := deptree.New(nodes)
	for _, name := range dropped {
		users := slices.DeleteFunc(slices.Clone(graph.RequiredBy(name)), func(user string) bool { return slices.Contains(dropped, user) })
		if len(users) > 0 {
			a.warnf("%s is needed by %s", name, strings.Join(users, ", "))
		}
	}
	return nil
}

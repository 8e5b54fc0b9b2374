package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/pkg/deptree"
	"github.com/caur-build/caur/pkg/srcinfo"
)

type deptreeOptions struct {
	format   string
	order    bool
	rev      string
	around   []string
	packages []string
}

func (a *app) deptree() *cobra.Command {
	var o deptreeOptions
	cmd := &cobra.Command{
		Use:   "deptree [PKG…]",
		Short: "Show which package needs which, and in what order they are built",
		Long: `Prints the dependency tree of the packages: what each offers (package names and provides) and needs (depends,
makedepends, checkdepends), as their .SRCINFO says. With names, only those packages and what is next to them.

It reads the work tree as it lies, uncommitted changes included; with --rev, or in a bare repository, a commit.

Formats: text is one line for programs, PKGBASE:NAME,…:DEP,… joined with ';'. json has the edges, too. dot is for
Graphviz. svg is a drawing that a browser can drag and zoom: left is built before right, a click shows what a package
needs and what needs it. --around PKG is the same as naming the package.

With --order it prints the build order instead: one line for each wave. The packages of a wave can be built at the same
time, once all waves before are done. Cycles are named. With names, it orders only those packages.` + exitStatus,
		Example: `  caur-ci deptree --order
  caur-ci deptree --order paru libalpm-git
  caur-ci deptree --format dot paru | dot -Tsvg > paru.svg
  caur-ci deptree --format svg --around paru > paru.svg
  caur-ci deptree --rev HEAD~1 --format json | jq '.cycles'`,
		ValidArgsFunction: a.packageArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.order && len(o.around) > 0 {
				return command.Usagef("--around draws what is next to a package and --order orders only those named: name them without --around")
			}
			o.packages = slices.Concat(args, o.around)
			return a.runDeptree(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.format, "format", "text", "text, json, dot or svg")
	cmd.Flags().StringSliceVar(&o.around, "around", nil, "only this package and what is next to it")
	cmd.Flags().BoolVar(&o.order, "order", false, "print the build order in waves, and the cycles")
	cmd.Flags().StringVar(&o.rev, "rev", "", "read this commit instead of the work tree")
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{"text", "json", "dot", "svg"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (a *app) runDeptree(ctx context.Context, o deptreeOptions) (err error) {
	formats := []string{"text", "json", "dot", "svg"}
	if o.order {
		formats = formats[:2]
	}
	if !slices.Contains(formats, o.format) {
		return command.Usagef("--format %s: want %s", o.format, strings.Join(formats, " or "))
	}
	repo, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer closeRepo(ctx, repo, &err)
	files, err := localFiles(ctx, repo, o.rev)
	if err != nil {
		return err
	}
	packages, err := newCatalog(ctx, files)
	if err != nil {
		return err
	}
	for i, name := range o.packages {
		name = strings.TrimSuffix(name, "/") // as a shell completes it
		if o.packages[i] = name; !slices.Contains(packages.names, name) {
			return command.Usagef("there is no package %q", name)
		}
	}
	graph, err := a.graph(ctx, packages)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(a.io.Out)
	if o.order {
		err = writeOrder(out, graph.Order(o.packages), o.format)
	} else {
		if len(o.packages) > 0 {
			graph = graph.Around(o.packages)
		}
		err = writeGraph(out, graph, o.format, o.packages)
	}
	if err != nil {
		return err
	}
	return out.Flush()
}

// localFiles is what a person looks at: the work tree, or a commit where it was named or there is no work tree.
func localFiles(ctx context.Context, repo *gitrepo.Repo, rev string) (gitrepo.Files, error) {
	if rev == "" && !repo.Bare() {
		return repo.WorkTree()
	}
	if rev == "" {
		rev = "HEAD"
	}
	commit, err := repo.Commit(ctx, rev)
	if err != nil {
		return nil, err
	}
	return repo.At(ctx, commit)
}

// graph reads the dependency tree of all packages and warns of what is missing in it.
func (a *app) graph(ctx context.Context, packages *catalog) (*deptree.Graph, error) {
	infos, warnings, err := packages.infos(ctx, packages.names)
	if err != nil {
		return nil, err
	}
	for _, text := range append(packages.oddities(), warnings...) {
		a.warnf("%s", text)
	}
	return deptree.New(nodes(packages.names, infos)), nil
}

func nodes(names []string, infos []*srcinfo.Info) []deptree.Node {
	list := make([]deptree.Node, len(names))
	for i, name := range names {
		list[i] = deptree.Node{Pkgbase: name, Names: []string{name}}
		if infos[i] != nil {
			list[i] = deptree.FromInfo(infos[i])
			list[i].Pkgbase = name
		}
	}
	return list
}

func writeGraph(out *bufio.Writer, graph *deptree.Graph, format string, focus []string) error {
	switch format {
	case "json":
		data, err := graph.JSON()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%s\n", data)
		return err
	case "dot":
		return graph.DOT(out)
	case "svg":
		return graph.SVG(out, focus)
	}
	_, err := fmt.Fprintln(out, graph.Text())
	return err
}

func writeOrder(out *bufio.Writer, order deptree.Order, format string) error {
	if format == "json" {
		return json.NewEncoder(out).Encode(order)
	}
	for i, wave := range order.Waves {
		if _, err := fmt.Fprintf(out, "wave %d: %s\n", i+1, strings.Join(wave, " ")); err != nil {
			return err
		}
	}
	for i, cycle := range order.Cycles {
		if _, err := fmt.Fprintf(out, "cycle %d: %s\n", i+1, strings.Join(cycle, " → ")); err != nil {
			return err
		}
	}
	return nil
}

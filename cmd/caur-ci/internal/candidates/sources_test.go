package candidates_test

import (
	"context"
	"strings"
	"testing"

	"github.com/caur-build/caur/cmd/caur-ci/internal/candidates"
	"github.com/caur-build/caur/internal/pkgbuild"
	"github.com/caur-build/caur/pkg/pkgdir"
	"github.com/caur-build/caur/pkg/srcinfo"
	"github.com/caur-build/caur/pkg/state"
)

// directory makes a package directory of files; .SRCINFO is made of the PKGBUILD where it is not among them.
func directory(t testing.TB, files map[string]string) pkgdir.Dir {
	t.Helper()
	d := pkgdir.Dir{}
	for name, text := range files {
		if err := d.Add(name, pkgdir.File{Data: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, there := files[".SRCINFO"]; !there && files["PKGBUILD"] != "" {
		f, err := pkgbuild.Parse("PKGBUILD", []byte(files["PKGBUILD"]))
		if err != nil {
			t.Fatal(err)
		}
		info, dynamic, err := f.Static().Srcinfo()
		if err != nil || len(dynamic) > 0 {
			t.Fatalf("%v %v", err, dynamic)
		}
		d[".SRCINFO"] = pkgdir.File{Data: info.Bytes()}
	}
	return d
}

// known makes what a run knows of a package.
func known(t testing.TB, pkgbase string, files pkgdir.Dir) *candidates.Package {
	t.Helper()
	config, _, err := state.ParsePackageConfig(".CI/config", files[".CI/config"].Data)
	if err != nil {
		t.Fatal(err)
	}
	p := &candidates.Package{
		Pkgbase: pkgbase, Config: config, State: &state.PackageState{},
		Files: func(context.Context) (pkgdir.Dir, error) { return files, nil },
	}
	if text, there := files[".SRCINFO"]; there {
		if p.Info, _, err = srcinfo.Parse(".SRCINFO", text.Data); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// asked runs one source for one package.
func asked(t testing.TB, f candidates.Finder, p *candidates.Package) (*candidates.Draft, error) {
	t.Helper()
	if !f.Wants(p) {
		t.Fatalf("%s does not want the package", f.Name())
	}
	if err := f.Prepare(t.Context(), []*candidates.Package{p}); err != nil {
		t.Fatal(err)
	}
	d := candidates.NewDraft(p)
	return d, f.Check(t.Context(), d)
}

func reasons(d *candidates.Draft) string {
	var list []string
	for _, r := range d.Reasons {
		list = append(list, r.Source+": "+r.Text)
	}
	for _, r := range d.Notes {
		list = append(list, "note "+r.Source+": "+r.Text)
	}
	return strings.Join(list, "\n")
}

// changedText is one file of the draft's new content; "" when nothing changed.
func changedText(d *candidates.Draft, name string) string { return string(d.Changed()[name].Data) }

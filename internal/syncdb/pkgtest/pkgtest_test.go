package pkgtest_test

import (
	"testing"

	"github.com/caur-build/caur/internal/syncdb"
	"github.com/caur-build/caur/internal/syncdb/pkgtest"
)

func TestAQuickPackageIsReadAsARealOne(t *testing.T) {
	path := pkgtest.Make(t, t.TempDir(), pkgtest.Spec{Name: "a", Version: "1:2-3"})
	p, err := syncdb.ReadPackage(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.CheckFilename(); err != nil || p.Name != "a" || p.Base == "" || p.Version != "1:2-3" || p.ISize == 0 || len(p.Files) != 3 {
		t.Errorf("%v %+v", err, p)
	}
}

func TestARepositoryIsTheSameEachTime(t *testing.T) {
	var descs [2]string
	for i := range descs {
		db := syncdb.New()
		pkgtest.Repository(t, db, 20)
		for e := range db.Each() {
			descs[i] += e.Desc()
		}
		if db.Len() != 20 {
			t.Errorf("%d packages", db.Len())
		}
	}
	if descs[0] != descs[1] {
		t.Error("two repositories of the same size differ")
	}
}

//go:build realrepo

package interfere_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caur-build/caur/pkg/interfere"
)

// TestRealRepository tries the interferences of every package of a real PKGBUILD repository and prints how often each of
// them was applied:
//
//	CAUR_REAL_REPO=path/to/clone go test -tags realrepo -run RealRepository -v ./pkg/interfere
//
// Nothing of the repository is run, and the clone stays as it is.
func TestRealRepository(t *testing.T) {
	repo := os.Getenv("CAUR_REAL_REPO")
	if repo == "" {
		t.Fatal("set CAUR_REAL_REPO to a clone of a PKGBUILD repository")
	}
	files, err := filepath.Glob(filepath.Join(repo, "*", "PKGBUILD"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no packages in %s: %v", repo, err)
	}
	steps, prepares := map[string]int{}, 0
	began := time.Now()
	for _, file := range files {
		dir := filepath.Dir(file)
		report, err := interfere.Apply(t.Context(), interfere.Options{Dir: dir, DryRun: true})
		if err != nil {
			t.Error(err)
			continue
		}
		applied := map[string]bool{}
		for _, s := range report.Applied {
			if !applied[s.Name] {
				steps[s.Name]++
			}
			applied[s.Name] = true
		}
		for _, name := range []string{"PKGBUILD.append", "PKGBUILD.prepend"} {
			part, err := os.ReadFile(filepath.Join(dir, ".CI", name))
			if (err == nil) != applied[name] {
				t.Errorf("%s: %s is there: %v, applied: %v", dir, name, err == nil, applied[name])
			}
			for line := range bytes.Lines(part) {
				if text := bytes.TrimRight(line, "\n"); len(text) > 0 && !bytes.Contains(report.Diff, append([]byte("+"), text...)) {
					t.Errorf("%s: the diff lacks line %q of %s", dir, text, name)
					break
				}
			}
		}
		if _, err := os.Stat(filepath.Join(dir, ".CI", "prepare")); err == nil {
			prepares++
		}
	}
	t.Logf("%d packages in %v; prepare: %d; applied: %v", len(files), time.Since(began).Round(time.Millisecond), prepares, steps)
}

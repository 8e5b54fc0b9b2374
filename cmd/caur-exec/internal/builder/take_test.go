package builder

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/caur-build/caur/pkg/queue"
)

// What a container may leave in its output directory: only plain files of the job's own packages leave it.
func TestOnlyPlainPackagesOfTheJobAreTaken(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test makes a device node: run make test as root")
	}
	out, taken, elsewhere := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "key")
	write := func(path string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("content"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	name := func(pkgname, version string) string { return pkgname + "-" + version + "-x86_64.pkg.tar.zst" }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write(elsewhere)
	write(filepath.Join(out, name("good", "1-1")))
	write(filepath.Join(out, name("other", "1-1")))
	write(filepath.Join(out, "good-1-1-aarch64.pkg.tar.zst"))
	write(filepath.Join(out, "good-1-1-x86_64.pkg.tar.xz"))
	write(filepath.Join(out, "..x.pkg.tar.zst"))
	write(filepath.Join(out, "-rf"))
	write(filepath.Join(out, "good-1-1-x86_64.pkg.tar.zst\n"))
	write(filepath.Join(out, name("good", "$(id)-1")))
	must(os.WriteFile(filepath.Join(out, name("good", "2-1")), nil, 0o644))
	must(os.Symlink(elsewhere, filepath.Join(out, name("good", "3-1"))))
	must(os.Link(elsewhere, filepath.Join(out, name("good", "4-1"))))
	must(unix.Mknod(filepath.Join(out, name("good", "5-1")), unix.S_IFBLK|0o644, int(unix.Mkdev(8, 0))))
	must(unix.Mkfifo(filepath.Join(out, name("good", "6-1")), 0o644))
	must(os.Mkdir(filepath.Join(out, name("good", "7-1")), 0o755))

	names, ignored, err := takeResults(queue.Job{Pkgbase: "good", Arch: "x86_64"}, out, taken)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{name("good", "1-1")}; !slices.Equal(names, want) {
		t.Errorf("taken %q, want %q", names, want)
	}
	if entries, err := os.ReadDir(taken); err != nil || len(entries) != 1 {
		t.Errorf("%d files were moved, %v", len(entries), err)
	}
	for _, why := range []string{"3-1-x86_64.pkg.tar.zst\": no regular file", "4-1-x86_64.pkg.tar.zst\": has more than one name", "5-1-x86_64.pkg.tar.zst\": no regular file",
		"6-1-x86_64.pkg.tar.zst\": no regular file", "7-1-x86_64.pkg.tar.zst\": no regular file", "2-1-x86_64.pkg.tar.zst\": empty", "other-1-1-x86_64.pkg.tar.zst\": no package of this job",
		"aarch64.pkg.tar.zst\": of architecture aarch64", "\"..x.pkg.tar.zst\": no legal", "\"-rf\": no legal"} {
		if !slices.ContainsFunc(ignored, func(s string) bool { return strings.Contains(s, why) }) {
			t.Errorf("nothing says %q:\n%s", why, strings.Join(ignored, "\n"))
		}
	}
	if len(ignored) != 13 {
		t.Errorf("%d were left:\n%s", len(ignored), strings.Join(ignored, "\n"))
	}
}

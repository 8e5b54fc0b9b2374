package landing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/caur-build/caur/pkg/queue"
)

const name = "foo-1-1-any.pkg.tar.zst"

var place = Place{TargetRepo: "demo", Arch: "x86_64", Pkgbase: "foo", Token: 7}

func fileOf(content string) queue.File {
	sum := sha256.Sum256([]byte(content))
	return queue.File{Name: name, Size: int64(len(content)), SHA256: hex.EncodeToString(sum[:])}
}

func writeFile(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newZone(t *testing.T) (*Zone, string) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "landing")
	z, err := NewZone(root)
	if err != nil {
		t.Fatal(err)
	}
	return z, root
}

func TestWhatTheLocalSenderPutsTheReceiverTakes(t *testing.T) {
	z, root := newZone(t)
	s, err := NewLocal(root, place)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	src := writeFile(t, filepath.Join(t.TempDir(), name), "content")
	var f queue.File
	for range 2 { // a second call finds it done
		if f, err = s.Put(t.Context(), src, name); err != nil || f != fileOf("content") {
			t.Fatalf("%+v, %v", f, err)
		}
	}
	if _, err := os.Stat(src); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file was not moved: %v", err)
	}
	var got strings.Builder
	if err := z.Copy(t.Context(), place, f, &got); err != nil || got.String() != "content" {
		t.Fatalf("%q, %v", got.String(), err)
	}
	if err := z.Remove(place); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) != 0 {
		t.Errorf("left in the zone: %v, %v", left, err)
	}
	if err := z.Remove(place); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
}

func TestTheLocalSenderCopiesAcrossFileSystems(t *testing.T) {
	_, root := newZone(t)
	shm, err := os.MkdirTemp("/dev/shm", "caur")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(shm)
	s, err := NewLocal(root, place)
	if err != nil {
		t.Fatal(err)
	}
	src := writeFile(t, filepath.Join(shm, name), "content")
	if f, err := s.Put(t.Context(), src, name); err != nil || f != fileOf("content") {
		t.Fatalf("%+v, %v", f, err)
	}
	if left, err := os.ReadDir(filepath.Join(root, place.Dir())); err != nil || len(left) != 1 || left[0].Name() != name {
		t.Errorf("in the zone: %v, %v", left, err)
	}
	if _, err := os.Stat(src); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file was not moved: %v", err)
	}
}

func TestTheSenderRefusesWhatIsNoPackage(t *testing.T) {
	_, root := newZone(t)
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := NewLocal(root, place)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct{ file, name string }{
		"a link":                  {link, name},
		"a fifo":                  {fifo, name},
		"a directory":             {dir, name},
		"an empty file":           {writeFile(t, filepath.Join(dir, "empty"), ""), name},
		"nothing":                 {filepath.Join(dir, "none"), name},
		"an illegal name":         {writeFile(t, filepath.Join(dir, "file"), "x"), "../" + name},
		"a name without -pkgrel-": {writeFile(t, filepath.Join(dir, "file2"), "x"), "foo.pkg.tar.zst"},
	} {
		if _, err := s.Put(t.Context(), c.file, c.name); err == nil {
			t.Errorf("%s was sent", what)
		}
	}
	canceled, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("reason")
	cancel(reason)
	if _, err := s.Put(canceled, writeFile(t, filepath.Join(dir, "file3"), "x"), name); !errors.Is(err, reason) {
		t.Errorf("canceled: %v", err)
	}
}

func TestPlacesThatAreNoPlainNamesAreRefused(t *testing.T) {
	z, root := newZone(t)
	for _, bad := range []Place{
		{"..", "x86_64", "foo", 1}, {"demo", "../x", "foo", 1}, {"demo", "x86_64", "", 1}, {"demo", "x86_64", ".foo", 1},
		{"demo", "x86_64", "-foo", 1}, {"demo", "x86_64", "a/b", 1}, {"demo", "x86_64", "a\x00b", 1}, {"demo", "x86_64", "foo", 0},
	} {
		if _, err := NewLocal(root, bad); err == nil {
			t.Errorf("local sender for %+v", bad)
		}
		if _, err := NewSFTP(SFTPConfig{}, bad); err == nil || !strings.Contains(err.Error(), "landing zone") {
			t.Errorf("SFTP sender for %+v: %v", bad, err)
		}
		if err := z.Copy(t.Context(), bad, fileOf("x"), io.Discard); err == nil {
			t.Errorf("took from %+v", bad)
		}
		if err := z.Remove(bad); err == nil {
			t.Errorf("removed %+v", bad)
		}
	}
}

func TestTheReceiverRefuses(t *testing.T) {
	secret := writeFile(t, filepath.Join(t.TempDir(), "secret"), "content")
	at := func(root string) string { return filepath.Join(root, place.Dir(), name) }
	mkdir := func(t *testing.T, dir string) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	must := func(t *testing.T, err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		what    string
		prepare func(t *testing.T, root string)
		err     string
	}{
		{"other content of the same size", func(t *testing.T, root string) { writeFile(t, at(root), "CONTENT") }, "SHA-256"},
		{"less", func(t *testing.T, root string) { writeFile(t, at(root), "conten") }, "has not the 7 bytes"},
		{"more", func(t *testing.T, root string) { writeFile(t, at(root), "content!") }, "has not the 7 bytes"},
		{"nothing", func(*testing.T, string) {}, "no such file"},
		{"a link to a file", func(t *testing.T, root string) {
			mkdir(t, filepath.Dir(at(root)))
			must(t, os.Symlink(secret, at(root)))
		}, "is a link"},
		{"a second name of a file", func(t *testing.T, root string) {
			other := writeFile(t, filepath.Join(root, "other"), "content")
			mkdir(t, filepath.Dir(at(root)))
			must(t, os.Link(other, at(root)))
		}, "hard link"},
		{"a fifo", func(t *testing.T, root string) {
			mkdir(t, filepath.Dir(at(root)))
			must(t, syscall.Mkfifo(at(root), 0o644))
		}, "no regular file"},
		{"a directory", func(t *testing.T, root string) { mkdir(t, at(root)) }, "no regular file"},
		{"a link in place of the token", func(t *testing.T, root string) {
			elsewhere := filepath.Join(root, "elsewhere")
			writeFile(t, filepath.Join(elsewhere, name), "content")
			mkdir(t, filepath.Join(root, "demo", "x86_64", "foo"))
			must(t, os.Symlink(elsewhere, filepath.Join(root, place.Dir())))
		}, "not a directory but a link"},
		{"a link in place of the target repo", func(t *testing.T, root string) {
			elsewhere := filepath.Join(root, "elsewhere")
			writeFile(t, filepath.Join(elsewhere, "x86_64", "foo", "7", name), "content")
			must(t, os.Symlink(elsewhere, filepath.Join(root, "demo")))
		}, "not a directory but a link"},
		{"a file in place of the pkgbase", func(t *testing.T, root string) { writeFile(t, filepath.Join(root, "demo", "x86_64", "foo"), "x") }, "not a directory"},
	}
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			z, root := newZone(t)
			tt.prepare(t, root)
			err := z.Copy(t.Context(), place, fileOf("content"), io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error is %v, want %q", err, tt.err)
			}
		})
	}
}

func TestCheckFiles(t *testing.T) {
	job := queue.Job{TargetRepo: "demo", Arch: "x86_64", Pkgbase: "foo", Pkgnames: []string{"foo", "foo-data"}}
	file := func(name string) queue.File { f := fileOf("x"); f.Name = name; return f }
	tests := []struct {
		what  string
		files []queue.File
		err   string
	}{
		{"all of them", []queue.File{file("foo-1-1-x86_64.pkg.tar.zst"), file("foo-data-1-1-any.pkg.tar.zst"), file("foo-debug-1-1-x86_64.pkg.tar.zst")}, ""},
		{"none", nil, "no files"},
		{"another package", []queue.File{file("bar-1-1-any.pkg.tar.zst")}, "not a package of foo, which builds foo, foo-data"},
		{"debug of another", []queue.File{file("bar-debug-1-1-any.pkg.tar.zst")}, "not a package of foo"},
		{"another architecture", []queue.File{file("foo-1-1-aarch64.pkg.tar.zst")}, "not for x86_64"},
		{"twice", []queue.File{file("foo-1-1-any.pkg.tar.zst"), file("foo-1-1-any.pkg.tar.zst")}, "twice"},
		{"no package", []queue.File{file("foo.txt")}, "not a legal package file name"},
		{"a signature", []queue.File{file("foo-1-1-any.pkg.tar.zst.sig")}, "not a legal package file name"},
		{"a path", []queue.File{file("a/foo-1-1-any.pkg.tar.zst")}, "not a legal package file name"},
		{"no size", []queue.File{{Name: "foo-1-1-any.pkg.tar.zst", SHA256: fileOf("x").SHA256}}, "without a size"},
		{"no hash", []queue.File{{Name: "foo-1-1-any.pkg.tar.zst", Size: 1, SHA256: "x"}}, "without a size or a SHA-256"},
	}
	for _, tt := range tests {
		err := CheckFiles(job, tt.files)
		if (tt.err == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: %v, want %q", tt.what, err, tt.err)
		}
	}
	if err := CheckFiles(queue.Job{Arch: "x86_64", Pkgbase: "foo"}, []queue.File{file("bar-1-1-any.pkg.tar.zst")}); err != nil {
		t.Errorf("a job without pkgnames: %v", err)
	}
}

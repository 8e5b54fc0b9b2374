package landing

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caur-build/caur/internal/testenv"
)

func TestACheckTriesWhatAnUploadNeedsAndLeavesNothing(t *testing.T) {
	server := testenv.SSHD(t)
	good := config(server)
	elsewhere, file := good, good
	elsewhere.Path = filepath.Join(server.Root, "not-there")
	file.Path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file.Path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	gone := good
	gone.Port = 1
	for what, c := range map[string]struct {
		config SFTPConfig
		err    string // "" for none
	}{
		"a zone that works":     {good, ""},
		"a path that is wrong":  {elsewhere, "not-there"},
		"a path to a file":      {file, "is no directory"},
		"a server that is gone": {gone, "connection refused"},
	} {
		s := sender(t, c.config)
		err := s.Check(t.Context())
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", what, err, c.err)
		}
	}
	if left, err := os.ReadDir(server.Root); err != nil || len(left) > 0 {
		t.Errorf("left in the zone: %v %v", left, err)
	}

	root := filepath.Join(t.TempDir(), "zone")
	here, err := NewLocal(root, place)
	if err != nil {
		t.Fatal(err)
	}
	if err := here.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
		t.Errorf("left in the zone: %v %v", left, err)
	}
	nowhere, err := NewLocal("/proc/nowhere", place)
	if err != nil {
		t.Fatal(err)
	}
	if err := nowhere.Check(t.Context()); err == nil {
		t.Error("no error for a zone that cannot be written to")
	}
}

package container_test

import (
	"strings"
	"testing"

	"github.com/caur-build/caur/cmd/caur-exec/internal/container"
)

// The capabilities of the list, with and without CAP_SYS_ADMIN (bit 21), and whether set-user-id programs gain any.
const privilegesSeen = "awk '/^CapBnd|^NoNewPrivs/ {print $2}' /proc/self/status | tr '\\n' ' '"

var privilegeCases = []struct {
	name  string
	asked []string
	want  string
}{
	{"nothing is asked for", nil, "00000000800400fb 1"},
	{"sudo", []string{container.Sudo}, "00000000800400fb 0"},
	{"a capability", []string{"SYS_ADMIN"}, "00000000802400fb 1"},
	{"both", []string{"SYS_ADMIN", container.Sudo}, "00000000802400fb 0"},
}

func TestABuildHasThePrivilegesItsPackageAskedForAndNoOther(t *testing.T) {
	engine := overlayEngine(t, t.TempDir())
	for _, c := range privilegeCases {
		spec := shell(t, privilegesSeen)
		spec.Privileges = c.asked
		if _, out := run(t, engine, spec); strings.TrimSpace(out) != c.want {
			t.Errorf("%s: %s, want %s", c.name, out, c.want)
		}
	}
	spec := shell(t, "true")
	spec.Privileges = []string{"EVERYTHING"}
	if _, err := engine.Run(t.Context(), spec, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "EVERYTHING") {
		t.Errorf("a privilege that is none: %v", err)
	}
}

func TestADockerBuildHasThePrivilegesItsPackageAskedForAndNoOther(t *testing.T) {
	engine, image, _ := dockerEngine(t)
	for _, c := range privilegeCases {
		spec := dockerSpec(t, image, privilegesSeen)
		spec.Privileges = c.asked
		if _, out := run(t, engine, spec); strings.TrimSpace(out) != c.want {
			t.Errorf("%s: %s, want %s", c.name, out, c.want)
		}
	}
}

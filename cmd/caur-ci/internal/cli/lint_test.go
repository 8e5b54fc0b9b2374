package cli

import (
	"testing"
	"time"

	"github.com/caur-build/caur/pkg/queue"
	"github.com/caur-build/caur/pkg/srcinfo"
)

func TestTheFirstDifferenceIsTheOneThatIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		diff           string
		line           int
		removed, added string
		more           int
	}{
		"changed": {"--- a\n+++ b\n@@ -1,3 +1,3 @@\n pkgbase = a\n-\tpkgver = 1\n+\tpkgver = 2\n \tpkgrel = 1\n", 2, "pkgver = 1", "pkgver = 2", 0},
		"missing": {"--- a\n+++ b\n@@ -7,2 +7,3 @@\n \tarch = any\n+\tdepends = b\n \n", 8, "", "depends = b", 0},
		"removed": {"--- a\n+++ b\n@@ -7,2 +7,1 @@\n \tarch = any\n-\tdepends = b\n-\tdepends = c\n", 8, "depends = b", "", 1},
		"later":   {"--- a\n+++ b\n@@ -3,1 +3,2 @@\n+\tepoch = 1\n \tx = y\n@@ -9,1 +10,1 @@\n-\tz = 1\n+\tz = 2\n", 3, "", "epoch = 1", 1},
	} {
		line, removed, added, more := firstDifference(c.diff)
		if line != c.line || removed != c.removed || added != c.added || more != c.more {
			t.Errorf("%s: got line %d, %q, %q, %d more; want line %d, %q, %q, %d more", name, line, removed, added, more, c.line, c.removed, c.added, c.more)
		}
	}
}

func TestABumpCountsOnlyForItsVersion(t *testing.T) {
	for _, c := range []struct{ version, bump, want string }{
		{"1:2.0-1", "1:2.0-1/3", "1:2.0-1.3"},
		{"1:2.0-1", "1:2.0/2", "1:2.0-1.2"},
		{"1:2.0-1", "1:1.9-1/3", "1:2.0-1"},
		{"2.0-1", "4", "2.0-1.4"},
		{"2.0-1.5", "5", "2.0-2.0"},
		{"2.0-1", "", "2.0-1"},
	} {
		bump, err := srcinfo.ParseBump(c.bump)
		if err != nil {
			t.Fatal(err)
		}
		if got := bumpedVersion(c.version, bump); got != c.want {
			t.Errorf("%s with CI_PACKAGE_BUMP=%s is %s, want %s", c.version, c.bump, got, c.want)
		}
	}
}

func TestADayIsADateOrATimeAgo(t *testing.T) {
	now := time.Date(2026, 8, 22, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2026-08-01": "2026-08-01T00:00:00Z", "2026-08-01T10:00:00+02:00": "2026-08-01T10:00:00+02:00",
		"7d": "2026-08-15T12:00:00Z", "2w": "2026-08-08T12:00:00Z",
		"HEAD~3": "", "scheduled": "", "7": "", "d": "", "99999d": "", "2026-13-01": "",
	} {
		day, ok := parseDay(text, now)
		if ok != (want != "") || ok && day.Format(time.RFC3339) != want {
			t.Errorf("%s is %v, %v, want %q", text, day, ok, want)
		}
	}
}

func TestABuilderTakesNumbersUpToItsOwnAndItsName(t *testing.T) {
	for _, c := range []struct {
		builder, class string
		takes          bool
	}{
		{"8", "", true}, {"8", "8", true}, {"8", "9", false}, {"", "1", true}, {"", "2", false},
		{"8", "host1", true}, {"gpu", "host1", true}, {"gpu", "1", false}, {"gpu", "gpu", false},
	} {
		if got := takesClass(queue.Builder{Name: "host1", Class: c.builder}, c.class); got != c.takes {
			t.Errorf("a builder of class %q takes %q: %v, want %v", c.builder, c.class, got, c.takes)
		}
	}
}

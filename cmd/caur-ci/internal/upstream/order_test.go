package upstream

import (
	"encoding/json"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/caur-build/caur/internal/testenv"
)

func sign(n int) int { return max(-1, min(1, n)) }

func TestVersionsAreOrderedAsPythonDoes(t *testing.T) {
	rising := []string{
		"", "dog", "release", "v", "4.2.x", "2025.beta.1.x", // no versions at all: older than any
		"0", "0.1.dev1", "0.1a1", "0.1", "1.0.dev456", "1.0a1", "1.0a2.dev456", "1.0a12.dev456", "1.0a12", "1.0b1.dev456", "1.0b2",
		"1.0b2.post345.dev456", "1.0b2.post345", "1.0rc1.dev456", "1.0rc1", "1.0", "1.0+abc.5", "1.0+abc.7", "1.0+5", "1.0.post456.dev34",
		"1.0.post456", "1.0-457", "1.1.dev1", "1.1", "1.9", "1.10", "v1.10.1", "20240101", "123456789012345678901234567890", "1!0.1",
	}
	for i, a := range rising {
		for j, b := range rising {
			if i < 6 && j < 6 {
				continue
			}
			if got, want := sign(parseVersion(a).compare(parseVersion(b))), sign(i-j); got != want {
				t.Errorf("%q against %q: %d, not %d", a, b, got, want)
			}
		}
	}
	for _, same := range [][2]string{{"1.0", "1"}, {"1.0", "v1.0.0"}, {"1.0-rc.1", "1.0c1"}, {"1.0-alpha", "1.0a0"}, {"1.0-r4", "1.0.post4"}, {"01.02", "1.2"}, {"1.0+A-b", "1.0+a.b"}} {
		if parseVersion(same[0]).compare(parseVersion(same[1])) != 0 {
			t.Errorf("%q is not %q", same[0], same[1])
		}
	}
}

// oracle sorts by the rules of the installed nvchecker: it prints, for each pair, how the two compare.
const oracle = `import json, sys
from nvchecker.sortversion import sort_version_keys
key = sort_version_keys["parse_version"]
out = []
for a, b in json.load(sys.stdin):
	x, y = key(a), key(b)
	out.append(-1 if x < y else 1 if x > y else 0)
print(json.dumps(out))`

func TestTheOrderIsThatOfTheRealProgram(t *testing.T) {
	testenv.Need(t, "nvchecker")
	random := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"1", "0", "2", "10", "00", "007", ".", ".", ".", "-", "_", "+", "a", "b", "rc", "alpha", "beta", "pre", "preview", "post", "rev", "r", "dev", "v", "x", "!", "final", " ", "é"}
	pick := func() string {
		var b strings.Builder
		for range 1 + random.IntN(7) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		return b.String()
	}
	var pairs [][2]string
	for range 20_000 {
		pairs = append(pairs, [2]string{pick(), pick()})
	}
	input, err := json.Marshal(pairs)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/usr/bin/python3", "-c", oracle)
	cmd.Stdin = strings.NewReader(string(input))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []int
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	faults := 0
	for i, p := range pairs {
		if got := sign(parseVersion(p[0]).compare(parseVersion(p[1]))); got != want[i] {
			t.Errorf("%q against %q: %d, not %d", p[0], p[1], got, want[i])
			if faults++; faults > 10 {
				t.FailNow()
			}
		}
	}
}

func TestTagsOfRealProjectsComeOutInOrder(t *testing.T) {
	for want, tags := range map[string][]string{
		"v1.10.0":        {"v1.9.0", "v1.10.0", "v1.10.0-rc1", "nightly"},
		"4.2.10":         {"4.2.10", "4.2.9", "3.99"},
		"v6.10.1-arch10": {"v6.9-arch1", "v6.10.1-arch2", "v6.10.1-arch10"},
	} {
		var found []candidate
		for _, tag := range tags {
			found = append(found, candidate{version: tag})
		}
		r, err := newRules(Entry{}, true)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.choose(found); err != nil || got.version != want {
			t.Errorf("%v: %v %v", tags, got, err)
		}
	}
}

func TestLegacyPartsAreThoseOfSetuptools(t *testing.T) {
	for text, want := range map[string][]string{
		"":           {"*final"},
		"1.0-foo":    {"00000001", "*final-", "*foo", "*final"},
		"foo-1.0.0":  {"*foo", "*final-", "00000001", "*final"},
		"1.0-alpha.": {"00000001", "*alpha", "*final"},
		"x.dev":      {"*x", "*@", "*final"},
		"1_2":        {"00000001", "*_", "00000002", "*final"},
	} {
		if diff := cmp.Diff(want, legacyParts(text)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
	if !slices.IsSorted([]string{"*@", "*a", "*final", "*final-"}) {
		t.Error("the order of bytes is not what this relies on")
	}
}

package srcinfo_test

import (
	"cmp"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/caur-build/caur/internal/testenv"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// ascending is in the order of pacman; a version after = is the same as the one before it.
var ascending = []string{
	"1.0alpha", "1.0a", "1.0b", "1.0beta", "1.0p", "1.0pre", "1.0rc", "1.0rc2", "1.0", "=1.0-1", "1.0.", "=1.0.", "1.0.a", "1.0.1", "1.1",
	"1.1.r5.gabc", "1.1.r10.gabc", "2", "=02", "=2-9", "2.0", "=2.0-1.3", "2.0.0.0", "10", "10.r1", "20260630", "1:0", "=01:0", "1:0.1-1", "2:0.0.1",
}

func TestVercmpOrders(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{
		{"1.5.0", "1.5.0", 0}, {"1.5.1", "1.5.0", 1}, {"1.5.1", "1.5", 1}, {"1.5.0-1", "1.5.0-2", -1}, {"1.5.0-1", "1.5.1-1", -1},
		{"1.5-1", "1.5", 0}, {"1.5", "1.5-1", 0}, {"1.1-1", "1.1", 0}, {"1.0-1", "1.1", -1},
		{"1.5b-1", "1.5-1", -1}, {"1.5b", "1.5", -1}, {"1.5b-1", "1.5", -1}, {"1.5b", "1.5.1", -1},
		{"1.0a", "1.0alpha", -1}, {"1.0alpha", "1.0b", -1}, {"1.0b", "1.0beta", -1}, {"1.0beta", "1.0rc", -1}, {"1.0rc", "1.0", -1},
		{"1.5.a", "1.5", 1}, {"1.5.b", "1.5.a", 1}, {"1.5.1", "1.5.b", 1}, {"1.5.b-1", "1.5.b", 0},
		{"2.0", "2_0", 0}, {"2.0_a", "2_0.a", 0}, {"2.0a", "2.0.a", -1}, {"2___a", "2_a", 1},
		{"0:1.0", "0:1.0", 0}, {"0:1.0", "0:1.1", -1}, {"1:1.0", "0:1.0", 1}, {"1:1.0", "0:1.1", 1}, {"1:1.0", "2:1.1", -1}, {"0:1.0", "1.0", 0}, {"1:1.0", "1.1", 1}, {":1.0", "1.0", 0},
		{"001", "1", 0}, {"1..0", "1.0", 1}, {"", "1", -1}, {"", "", 0}, {"a", "", -1}, {"", "a", 1}, {"1.", "1", 1}, {"1", "1+", -1}, {"é", "a", 1},
		{"99999999999999999999999", "99999999999999999999998", 1}, {"1-1-1", "1-1-2", -1}, {"1-2-1", "1-1-2", 1},
	} {
		if got := srcinfo.Vercmp(tc.a, tc.b); sign(got) != tc.want {
			t.Errorf("Vercmp(%q, %q) = %d, want %d", tc.a, tc.b, got, tc.want)
		}
		if got := srcinfo.Vercmp(tc.b, tc.a); sign(got) != -tc.want {
			t.Errorf("Vercmp(%q, %q) = %d, want %d", tc.b, tc.a, got, -tc.want)
		}
	}
}

func sign(n int) int { return cmp.Compare(n, 0) }

// theirs asks vercmp(8).
func theirs(t testing.TB, a, b string) int {
	t.Helper()
	out, err := exec.Command("vercmp", a, b).Output()
	if err != nil {
		t.Fatalf("vercmp %q %q: %v", a, b, err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatalf("vercmp %q %q printed %q", a, b, out)
	}
	return n
}

func TestVercmpAgreesWithTheProgram(t *testing.T) {
	testenv.Need(t, "bash", "vercmp")
	var pairs [][2]string
	for n, a := range ascending {
		for _, b := range ascending[n:min(n+4, len(ascending))] {
			pairs = append(pairs, [2]string{strings.TrimPrefix(a, "="), strings.TrimPrefix(b, "=")})
		}
	}
	random := rand.New(rand.NewPCG(1, 2)) // the same versions each time
	for len(pairs) < 400 {
		a, b := randomVersion(random), randomVersion(random)
		if random.IntN(2) == 0 { // most differences lie near the end
			b = a[:random.IntN(len(a)+1)] + randomVersion(random)
		}
		if !strings.HasPrefix(a, "-") && !strings.HasPrefix(b, "-") {
			pairs = append(pairs, [2]string{a, b})
		}
	}
	var lines strings.Builder
	for _, p := range pairs {
		lines.WriteString(p[0] + "\n" + p[1] + "\n")
	}
	cmd := exec.Command("bash", "-c", `while IFS= read -r a && IFS= read -r b; do vercmp "$a" "$b" || exit; done`)
	cmd.Stdin = strings.NewReader(lines.String())
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("vercmp: %v", err)
	}
	answers := strings.Fields(string(out))
	if len(answers) != len(pairs) {
		t.Fatalf("%d answers to %d pairs", len(answers), len(pairs))
	}
	for n, p := range pairs {
		if got := sign(srcinfo.Vercmp(p[0], p[1])); strconv.Itoa(got) != answers[n] {
			t.Errorf("Vercmp(%q, %q) = %d, vercmp says %s", p[0], p[1], got, answers[n])
		}
	}
}

func randomVersion(random *rand.Rand) string {
	parts := []string{"0", "1", "2", "9", "00", "10", "a", "b", "rc", "Z", ".", ".", ".", "-", "-1", "_", "+", "~", ":", "1:", "r", ".r", "é", "%"}
	var b strings.Builder
	for range 1 + random.IntN(6) {
		b.WriteString(parts[random.IntN(len(parts))])
	}
	return b.String()
}

func TestVercmpSortsVersionsOfARelease(t *testing.T) {
	versions := []string{"1.0-1.1", "1.0rc1-1", "1:0.9-1", "1.0-1", "1.0-2", "1.0.r3.gabc-1", "1.0-1.10"}
	slices.SortFunc(versions, srcinfo.Vercmp)
	want := []string{"1.0rc1-1", "1.0-1", "1.0-1.1", "1.0-1.10", "1.0-2", "1.0.r3.gabc-1", "1:0.9-1"}
	if !slices.Equal(versions, want) {
		t.Errorf("got %q, want %q", versions, want)
	}
}

// FuzzVercmp compares with the program, where the strings can be its arguments.
func FuzzVercmp(f *testing.F) {
	testenv.Need(f, "vercmp")
	for n := 1; n < len(ascending); n++ {
		f.Add(strings.TrimPrefix(ascending[n-1], "="), strings.TrimPrefix(ascending[n], "="))
	}
	f.Add("1:2-3-4", "1:2-3")
	f.Add("1é", "1.a")
	f.Fuzz(func(t *testing.T, a, b string) {
		got := sign(srcinfo.Vercmp(a, b))
		if strings.ContainsRune(a+b, 0) || strings.HasPrefix(a, "-") || strings.HasPrefix(b, "-") || len(a)+len(b) > 10_000 {
			return
		}
		if want := sign(theirs(t, a, b)); got != want {
			t.Fatalf("Vercmp(%q, %q) = %d, vercmp says %d", a, b, got, want)
		}
	})
}

func BenchmarkVercmp(b *testing.B) {
	for b.Loop() {
		srcinfo.Vercmp("1:2.10.3.r12.gabcdef0-1.2", "1:2.10.3.r11.g0123456-1")
	}
}

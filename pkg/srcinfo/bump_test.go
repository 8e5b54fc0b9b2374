package srcinfo_test

import (
	"testing"

	"github.com/caur-build/caur/pkg/srcinfo"
)

func TestParseBump(t *testing.T) {
	for text, want := range map[string]srcinfo.Bump{
		"":                 {},
		"1.2-3/4":          {Version: "1.2-3", N: 4},
		"2:1.2+r3_g4-1/10": {Version: "2:1.2+r3_g4-1", N: 10},
		"1.2-3.1/2":        {Version: "1.2-3.1", N: 2},
		"1.2/2":            {Version: "1.2", N: 2},
		"20260630/1":       {Version: "20260630", N: 1},
		"1.2-3/0":          {Version: "1.2-3"},
		"7":                {N: 7},
	} {
		got, err := srcinfo.ParseBump(text)
		if err != nil || got != want {
			t.Errorf("ParseBump(%q) = %+v, %v", text, got, err)
		}
		if got.String() != text {
			t.Errorf("String() of %q = %q", text, got.String())
		}
	}
	if got, err := srcinfo.ParseBump("1.2-3"); err != nil || got.String() != "1.2-3/1" {
		t.Errorf("a version alone is %q, %v", got, err)
	}
	for _, text := range []string{
		"/1", "1.2-3/", "1.2-3/x", "1.2-3/-1", "1.2-3/+1", "1.2-3/1/2", "1.2-3/1000001", "1000001", "99999999999999999999", "-1", "1 2-3/1", "1-2-3-4/1",
		"x:1-1/1", "1.2-3a/1", "1'2/1 ", "1.2-3/1\n", "é/1",
	} {
		if got, err := srcinfo.ParseBump(text); err == nil {
			t.Errorf("ParseBump(%q) = %+v, want an error", text, got)
		}
	}
}

func TestNextBumpIsNewerThanWhatIsBuilt(t *testing.T) {
	bump := func(version string, n int) srcinfo.Bump { return srcinfo.Bump{Version: version, N: n} }
	for _, tc := range []struct {
		built      string
		configured srcinfo.Bump
		want       srcinfo.Bump
	}{
		{"1.2-3", srcinfo.Bump{}, bump("1.2-3", 1)},
		{"1.2-3.1", srcinfo.Bump{}, bump("1.2-3", 2)},
		{"1.2-3.9", bump("1.2-3", 9), bump("1.2-3", 10)},
		{"1.2-3.1", bump("1.2-3", 5), bump("1.2-3", 6)},
		{"1.2-3.1", bump("1.2-3", 1), bump("1.2-3", 2)},
		{"1.2-3", bump("1.1-1", 8), bump("1.2-3", 1)},
		{"4:1.2-3.4", bump("1.2-3", 8), bump("4:1.2-3", 5)}, // today loses the epoch and gives up
		{"1.2-3", srcinfo.Bump{N: 4}, bump("1.2-3", 1)},
	} {
		if got, err := srcinfo.NextBump(tc.built, tc.configured); err != nil || got != tc.want {
			t.Errorf("NextBump(%s, %s) = %s, %v; want %s", tc.built, tc.configured, got, err, tc.want)
		}
	}
	for _, built := range []string{"", "1.2", "1.2-a", "1.2-3.", "1.2-3.4.5", "a/b-1", "1.2-3.1000000", "1.2-3.99999999999999999999", "1 2-3"} {
		if got, err := srcinfo.NextBump(built, srcinfo.Bump{}); err == nil {
			t.Errorf("NextBump(%q) = %s, want an error", built, got)
		}
	}
	if got, err := srcinfo.NextBump("1-1", bump("1-1", 1_000_000)); err == nil {
		t.Errorf("a bump beyond the limit: %s", got)
	}
}

func FuzzParseBump(f *testing.F) {
	for _, seed := range []string{"", "1.2-3/4", "7", "1:2_3+r4-5.6/7", "1.2"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, err := srcinfo.ParseBump(text)
		if err != nil {
			return
		}
		if again, err := srcinfo.ParseBump(b.String()); err != nil || again != b {
			if b.Version != "" || b.N != 0 { // a bump of nothing is written as nothing
				t.Fatalf("%q is %+v, written %q, read %+v, %v", text, b, b.String(), again, err)
			}
		}
		if next, err := srcinfo.NextBump(b.Version, b); err == nil && (next.N < 1 || next.Version == "") {
			t.Fatalf("NextBump(%q) = %+v", b.Version, next)
		}
	})
}

package childproc

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTailIsSafeToPrint(t *testing.T) {
	for in, want := range map[string]string{
		"":                         "",
		"  plain\n":                "plain",
		"a\tb\nc":                  "a\tb\nc",
		"\x1b[31mred\x1b[0m":       `\x1b[31mred\x1b[0m`,
		"10%\r20%\r":               "10%\n20%",
		"bell\x07 nul\x00 del\x7f": `bell\x07 nul\x00 del\x7f`,
		"c1\u009b31m":              `c1\x9b31m`,
		"latin \xe9 end":           "latin \ufffd end",
		"über":                     "über",
		"abc\u202egnp":             `abc\x202egnp`,
	} {
		var b tailBuffer
		if _, err := b.Write([]byte(in)); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var b tailBuffer
	for range 1000 {
		_, _ = b.Write([]byte("ünïcödé "))
	}
	_, _ = b.Write([]byte("the end"))
	got := b.String()
	if !strings.HasPrefix(got, "…") || !strings.HasSuffix(got, "the end") || len(got) > tailSize+4 || !utf8.ValidString(got) || strings.Contains(got, "\ufffd") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	if cap(b.buf) > 4*tailSize {
		t.Errorf("%d bytes are kept", cap(b.buf))
	}
}

func TestTailOfOneLongWriteIsBounded(t *testing.T) {
	var b tailBuffer
	_, _ = b.Write([]byte(strings.Repeat("x", 10<<20) + "end"))
	if got := b.String(); len(got) > tailSize+4 || !strings.HasSuffix(got, "end") || cap(b.buf) > 4*tailSize {
		t.Errorf("%d bytes shown, %d kept", len(got), cap(b.buf))
	}
}

func TestMinimalEnvPassesOnlyWhatIsNeeded(t *testing.T) {
	t.Setenv("PATH", "/bin")
	t.Setenv("HOME", "/home/x")
	t.Setenv("LANG", "de_DE")
	t.Setenv("TZ", "UTC")
	t.Setenv("https_proxy", "http://proxy:1")
	t.Setenv("SSL_CERT_FILE", "/ca")
	for _, secret := range []string{"REDIS_PASSWORD", "REDIS_URL", "CI_JOB_TOKEN", "SSH_AUTH_SOCK", "LD_PRELOAD", "GNUPGHOME"} {
		t.Setenv(secret, "secret")
	}
	got := MinimalEnv("HOME=/build", "EXTRA=1", "EXTRA=2", "EMPTY=")
	for _, want := range []string{"PATH=/bin", "HOME=/build", "LANG=C.UTF-8", "TZ=UTC", "https_proxy=http://proxy:1", "SSL_CERT_FILE=/ca", "EXTRA=2", "EMPTY="} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in %v", want, got)
		}
	}
	if strings.Contains(strings.Join(got, " "), "secret") || slices.Contains(got, "EXTRA=1") || slices.Contains(got, "HOME=/home/x") {
		t.Errorf("too much in %v", got)
	}
}

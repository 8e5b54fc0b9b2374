package conf_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/caur-build/caur/internal/conf"
	"github.com/google/go-cmp/cmp"
)

func TestParseReadsEverySpellingOfASetting(t *testing.T) {
	for _, tc := range []struct {
		name, line, key, value string
	}{
		{"plain", "A=b", "A", "b"},
		{"blanks around both", " \tA \t=\t b c \t", "A", "b c"},
		{"double quotes", `A="b c"`, "A", "b c"},
		{"single quotes", `A='b c'`, "A", "b c"},
		{"quotes keep blanks", `A=" b "`, "A", " b "},
		{"one pair only", `A=""b""`, "A", `"b"`},
		{"quotes that do not match stay", `A="b'`, "A", `"b'`},
		{"a lone quote stays", `A="`, "A", `"`},
		{"quotes inside stay", `A=b "c"`, "A", `b "c"`},
		{"empty", "A=", "A", ""},
		{"empty quotes", `A=""`, "A", ""},
		{"equals sign in the value", "A=b=c", "A", "b=c"},
		{"hash in the value is no comment", "A=b # c", "A", "b # c"},
		{"digits and underscore", "1_a9=x", "1_a9", "x"},
		{"CRLF", "A=b\r\n", "A", "b"},
		{"byte order mark", "\ufeffA=b\n", "A", "b"},
		{"Latin-1 bytes", "A=\xe4\xf6\n", "A", "\xe4\xf6"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := conf.Parse("x", []byte(tc.line))
			if got, ok := f.Get(tc.key); !ok || got != tc.value {
				t.Errorf("Get(%q) = %q, %v; want %q", tc.key, got, ok, tc.value)
			}
			if got := f.Line(tc.key); got != 1 {
				t.Errorf("Line(%q) = %d, want 1", tc.key, got)
			}
		})
	}
}

func TestParseIgnoresAndReportsWhatIsNoSetting(t *testing.T) {
	f := conf.Parse("x", []byte("# A=1\n\nB-C=1\n=2\nno equals\n  \nexport D=1\nA=3\nÄ=1\n"))
	if got := f.Keys(); !slices.Equal(got, []string{"A"}) {
		t.Errorf("Keys() = %q", got)
	}
	if got, want := f.Ignored(), []int{3, 4, 5, 7, 9}; !slices.Equal(got, want) {
		t.Errorf("Ignored() = %v, want %v", got, want)
	}
	if _, ok := f.Get("D"); ok {
		t.Error("export D=1 set D")
	}
	if f.Line("D") != 0 {
		t.Error("Line of an absent key is not 0")
	}
}

func TestLastOccurrenceWins(t *testing.T) {
	f := conf.Parse("dir/config", []byte("B=1\nA=1\nB=2\n"))
	if got, _ := f.Get("B"); got != "2" || f.Line("B") != 3 {
		t.Errorf("B = %q in line %d, want 2 in line 3", got, f.Line("B"))
	}
	if got := f.Keys(); !slices.Equal(got, []string{"B", "A"}) {
		t.Errorf("Keys() = %q, want the order of first appearance", got)
	}
	want := []conf.Entry{{Key: "B", Value: "1", Line: 1}, {Key: "A", Value: "1", Line: 2}, {Key: "B", Value: "2", Line: 3}}
	if diff := cmp.Diff(want, f.Entries()); diff != "" {
		t.Errorf("Entries() (-want +got):\n%s", diff)
	}
	if f.Name() != "dir/config" {
		t.Errorf("Name() = %q", f.Name())
	}
}

func TestSetChangesOnlyItsLine(t *testing.T) {
	for _, tc := range []struct {
		name, before, key, value, after string
	}{
		{"same value changes nothing", "A = \"b\"  \n#x\n", "A", "b", "A = \"b\"  \n#x\n"},
		{"blanks and comments stay", "# c\n  A =  b \nB=1\n", "A", "c", "# c\n  A =  c \nB=1\n"},
		{"quotes stay", "A='b'\n", "A", "c d", "A='c d'\n"},
		{"quotes added only where needed", "A=b\n", "A", " c", "A=\" c\"\n"},
		{"a value in quotes is quoted again", "A=b\n", "A", `"c"`, "A=\"\"c\"\"\n"},
		{"CRLF stays", "A=b\r\nB=1\r\n", "A", "c", "A=c\r\nB=1\r\n"},
		{"missing final newline stays", "B=1\nA=b", "A", "c", "B=1\nA=c"},
		{"the occurrence that counts", "A=1\nA=2\n", "A", "3", "A=1\nA=3\n"},
		{"empty value", "A=b\n", "A", "", "A=\n"},
		{"from empty", "A= \nB=1\n", "A", "x", "A= x\nB=1\n"},
		{"new key", "B=1\n", "A", "x", "B=1\nA=x\n"},
		{"new key in an empty file", "", "A", "x", "A=x\n"},
		{"new key in CRLF style", "B=1\r\n", "A", "x", "B=1\r\nA=x\r\n"},
		{"new key keeps a missing final newline", "B=1", "A", "x", "B=1\nA=x"},
		{"new key after CRLF without final newline", "C=1\r\nB=1", "A", "x", "C=1\r\nB=1\r\nA=x"},
		{"new key after nothing but a byte order mark", "\ufeff", "A", "x", "\ufeff\nA=x"},
		{"byte order mark stays", "\ufeffA=1\n", "A", "x", "\ufeffA=x\n"},
		{"line breaks become blanks", "A=b\n", "A", "x\r\ny\nz\rB=1", "A=x y z B=1\n"},
		{"Latin-1 neighbours stay", "C=\xe4\nA=b\n", "A", "c", "C=\xe4\nA=c\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := conf.Parse("x", []byte(tc.before))
			f.Set(tc.key, tc.value)
			if got := string(f.Bytes()); got != tc.after {
				t.Errorf("got  %q\nwant %q", got, tc.after)
			}
		})
	}
}

func TestSetRefusesAKeyThatCannotBeReadBack(t *testing.T) {
	for _, key := range []string{"", "A B", "A=", "Ä", "A\n"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Set(%q) did not panic", key)
				}
			}()
			conf.Parse("x", nil).Set(key, "v")
		}()
	}
}

func TestDeleteRemovesEveryOccurrence(t *testing.T) {
	f := conf.Parse("x", []byte("\ufeffA=1\nB=1\n# c\nA=2\nC=3"))
	f.Delete("A")
	f.Delete("absent")
	if got, want := string(f.Bytes()), "\ufeffB=1\n# c\nC=3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, _ := f.Get("C"); got != "3" || f.Line("C") != 3 || f.Line("A") != 0 {
		t.Errorf("after Delete: C = %q in line %d, A in line %d", got, f.Line("C"), f.Line("A"))
	}
	f.Set("B", "2")
	if got, want := string(f.Bytes()), "\ufeffB=2\n# c\nC=3"; got != want {
		t.Errorf("Set after Delete: got %q, want %q", got, want)
	}
}

// The Bash pipelines must read what we write, so that a repository can switch
// back: the reader here is their regular expression, run by bash.
func TestBashReadsTheSameKeysAndValues(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal("bash is missing: run make test, which installs it")
	}
	f := conf.Parse("config", []byte("# c\n  A = b c\nD_1=x=y\n=z\nE=\nA-B=1\nA=last"))
	f.Set("F", "1.0-1/2")
	f.Set("D_1", "q # r")
	const reader = `declare -A v
while IFS= read -r line || [ -n "$line" ]; do
	[[ "$line" =~ ^[[:space:]]*([a-zA-Z0-9_]+)[[:space:]]*=[[:space:]]*(.*)[[:space:]]*$ ]] && v["${BASH_REMATCH[1]}"]="${BASH_REMATCH[2]}"
done
for k in "${!v[@]}"; do printf '%s=%s\n' "$k" "${v[$k]}"; done`
	cmd := exec.CommandContext(t.Context(), bash, "-c", reader)
	cmd.Stdin = strings.NewReader(string(f.Bytes()))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	theirs := strings.Split(strings.TrimSpace(string(out)), "\n")
	var ours []string
	for _, key := range f.Keys() {
		value, _ := f.Get(key)
		ours = append(ours, key+"="+value)
	}
	slices.Sort(theirs)
	slices.Sort(ours)
	if diff := cmp.Diff(theirs, ours); diff != "" {
		t.Errorf("(-bash +ours):\n%s", diff)
	}
}

func FuzzRewrite(f *testing.F) {
	for _, seed := range []string{
		"", "A=1\n", "\ufeffA=1\r\nB='2'\r\n", "# c\n A = \" x \" \nnoise\nA=", "A=1\nB=2\nA=3", "\xe4=\xf6\nA=\xe4\x00", "A\v=\f\"'\n",
	} {
		f.Add([]byte(seed), "A", "x")
		f.Add([]byte(seed), "NEW_1", "'q'\n ")
	}
	f.Fuzz(func(t *testing.T, data []byte, key, value string) {
		file := conf.Parse("x", data)
		if string(file.Bytes()) != string(data) {
			t.Fatalf("unchanged file differs: %q became %q", data, file.Bytes())
		}
		if probe := conf.Parse("probe", []byte(key+"=")); !slices.Equal(probe.Keys(), []string{key}) {
			return
		}
		others := map[string]string{}
		for _, k := range file.Keys() {
			if k != key {
				others[k], _ = file.Get(k)
			}
		}
		file.Set(key, value)
		want := strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ").Replace(value)
		for _, read := range []*conf.File{file, conf.Parse("x", file.Bytes())} {
			if got, ok := read.Get(key); !ok || got != want {
				t.Fatalf("Set(%q, %q), Get gives %q, %v from %q", key, value, got, ok, file.Bytes())
			}
			for k, v := range others {
				if got, _ := read.Get(k); got != v {
					t.Fatalf("%s changed from %q to %q", k, v, got)
				}
			}
		}
		file.Delete(key)
		again := conf.Parse("x", file.Bytes())
		if _, ok := again.Get(key); ok || len(again.Keys()) != len(others) {
			t.Fatalf("after Delete(%q): %q", key, file.Bytes())
		}
	})
}

func BenchmarkParse2534Configs(b *testing.B) {
	data := []byte("BUILDER_CLASS=9\nCI_PACKAGE_BUMP=1.2.3-1/4\nCI_PKGBUILD_SOURCE=aur\nCI_REBUILD_TRIGGERS=boost:icu\n")
	b.ReportAllocs()
	for b.Loop() {
		for range 2534 {
			f := conf.Parse("config", data)
			if _, ok := f.Get("CI_PACKAGE_BUMP"); !ok {
				b.Fatal("not read")
			}
		}
	}
}

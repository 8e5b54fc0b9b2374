package settings

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
)

const hidden = "hunter2-very-secret"

type holder struct {
	Open    Secret
	private Secret
	inner   struct{ deep []Secret }
	pointer *Secret
	m       map[string]Secret
	any     any
}

func newHolder() holder {
	s := NewSecret(hidden)
	h := holder{Open: s, private: s, pointer: &s, m: map[string]Secret{"k": s}, any: s}
	h.inner.deep = []Secret{s}
	return h
}

func TestSecretNeverPrints(t *testing.T) {
	s := NewSecret(hidden)
	h := newHolder()
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%08v", "%-20s", "%t", "%U"} {
		for _, v := range []any{s, &s, h, &h, []Secret{s}, map[string]any{"x": s, "y": h}, fmt.Errorf("failed with %v and %w", s, errors.New("x"))} {
			fmt.Fprintf(&out, verb, v)
		}
	}
	fmt.Fprint(&out, s, h)
	fmt.Fprintln(&out, &s, &h)
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Error("message", "secret", s, "pointer", &s, "struct", h, "list", []Secret{s}, slog.Group("g", "x", s))
	}
	encode(t, &out, json.Marshal, map[string]any{"a": s, "b": &s, "c": h, "d": map[string]Secret{hiddenKey: s}})
	encode(t, &out, xml.Marshal, h.Open)
	encode(t, &out, toml.Marshal, map[string]any{"a": s, "b": h.Open})
	if err := template.Must(template.New("x").Parse("{{.Open}} {{printf \"%v\" .Open}} {{.}}")).Execute(&out, h); err != nil {
		t.Fatal(err)
	}
	if y, err := s.MarshalYAML(); err != nil || y != mask {
		t.Errorf("YAML: %v, %v", y, err)
	}
	if strings.Contains(out.String(), hidden) || strings.Contains(out.String(), fmt.Sprintf("%x", hidden)) {
		t.Errorf("the secret was printed:\n%s", out.String())
	}
	if !strings.Contains(out.String(), mask) {
		t.Error("nothing was printed at all")
	}
}

const hiddenKey = "key"

func encode(t *testing.T, out *bytes.Buffer, marshal func(any) ([]byte, error), v any) {
	t.Helper()
	data, err := marshal(v)
	if err != nil {
		t.Error(err)
	}
	out.Write(data)
}

func TestSecretZeroAndEqual(t *testing.T) {
	if s := (Secret{}); s.String() != "" || s.Reveal() != "" || !s.IsZero() || !NewSecret("").IsZero() {
		t.Errorf("the zero Secret is not empty: %v", s)
	}
	if !NewSecret("a").Equal(NewSecret("a")) || NewSecret("a").Equal(NewSecret("b")) || !NewSecret("").Equal(Secret{}) {
		t.Error("Equal does not compare the values")
	}
	if NewSecret(hidden).Reveal() != hidden {
		t.Error("Reveal does not give the value")
	}
}

type nested struct {
	Level string `env:"LEVEL, default=info"`
	Depth int    `env:"DEPTH"`
}

type target struct {
	Host    string        `env:"HOST, default=localhost" help:"where the server is"`
	Port    int           `env:"PORT, default=6379"`
	Wait    time.Duration `env:"WAIT, default=90s"`
	Factor  float64       `env:"FACTOR"`
	On      bool          `env:"ON"`
	Names   []string      `env:"NAMES, default=a,b"`
	Token   Secret        `env:"TOKEN"`
	Key     Secret        `env:"KEY"`
	KeyFile string        `env:"KEY_FILE, default=/etc/key"`
	Must    string        `env:"MUST, required" help:"the name of this machine"`
	Sub     nested
	Pre     nested `env:", prefix=PRE_"`
	_       int
}

func TestLoadTakesTheFirstValueInOrder(t *testing.T) {
	dir := t.TempDir()
	files := 0
	file := func(content string) string {
		files++
		path := filepath.Join(dir, fmt.Sprint("f", files))
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	defaults := target{Host: "localhost", Port: 6379, Wait: 90 * time.Second, Names: []string{"a", "b"}, KeyFile: "/etc/key",
		Must: "m", Sub: nested{Level: "info"}, Pre: nested{Level: "info"}}
	with := func(change func(*target)) target {
		c := defaults
		change(&c)
		return c
	}
	for _, test := range []struct {
		name   string
		preset target
		env    map[string]string
		want   target
	}{
		{name: "defaults", want: defaults},
		{name: "environment", env: map[string]string{"HOST": "h", "PORT": "1", "WAIT": "2m", "FACTOR": "1.5", "ON": "true", "NAMES": "x", "DEPTH": "3", "PRE_LEVEL": "debug"},
			want: with(func(c *target) {
				c.Host, c.Port, c.Wait, c.Factor, c.On, c.Names = "h", 1, 2*time.Minute, 1.5, true, []string{"x"}
				c.Sub.Depth, c.Pre.Level = 3, "debug"
			})},
		{name: "an empty variable takes the default", env: map[string]string{"HOST": "", "PORT": ""}, want: defaults},
		{name: "what the caller has set wins", preset: target{Host: "flag"}, env: map[string]string{"HOST": "h"},
			want: with(func(c *target) { c.Host = "flag" })},
		{name: "a file without its newline", env: map[string]string{"TOKEN_FILE": file("tok\n"), "PORT_FILE": file("77")},
			want: with(func(c *target) { c.Token, c.Port = NewSecret("tok"), 77 })},
		{name: "one newline only, CRLF too", env: map[string]string{"TOKEN_FILE": file("a\n\r\n"), "HOST_FILE": file("  h ")},
			want: with(func(c *target) { c.Token, c.Host = NewSecret("a\n"), "  h " })},
		{name: "the variable wins over the file", env: map[string]string{"TOKEN": "direct", "TOKEN_FILE": "/not/there"},
			want: with(func(c *target) { c.Token = NewSecret("direct") })},
		{name: "an empty variable lets the file in", env: map[string]string{"TOKEN": "", "TOKEN_FILE": file("f")},
			want: with(func(c *target) { c.Token = NewSecret("f") })},
		{name: "NAME_FILE that is a setting itself is not read", env: map[string]string{"KEY_FILE": "/not/there"},
			want: with(func(c *target) { c.KeyFile = "/not/there" })},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := test.preset
			env := map[string]string{"MUST": "m"}
			for k, v := range test.env {
				env[k] = v
			}
			if err := Load(context.Background(), &got, Map(env)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(target{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

type checked struct {
	Low  int `env:"LOW, default=5"`
	High int `env:"HIGH, default=3"`
}

func (c *checked) Check() []string {
	if c.Low > c.High {
		return []string{fmt.Sprintf("LOW=%d is more than HIGH=%d", c.Low, c.High)}
	}
	return nil
}

func TestLoadSaysEverythingThatIsWrong(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("x7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var c target
	err := Load(context.Background(), &c, Map(map[string]string{
		"PORT": "many", "WAIT": "5 minutes", "FACTOR": "half", "ON": "perhaps", "DEPTH_FILE": bad,
		"TOKEN_FILE": filepath.Join(dir, "absent"), "PRE_DEPTH": "",
	}))
	var all *Error
	if !errors.As(err, &all) {
		t.Fatalf("got %v", err)
	}
	want := []string{
		`PORT="many": must be a whole number`,
		`WAIT="5 minutes": must be a duration such as 90s, 15m or 2h`,
		`FACTOR="half": must be a number`,
		`ON="perhaps": must be true or false`,
		"TOKEN_FILE: open " + filepath.Join(dir, "absent") + ": no such file or directory",
		"MUST is not set (the name of this machine)",
		"DEPTH (from " + bad + "): must be a whole number",
	}
	if diff := cmp.Diff(want, all.Problems); diff != "" {
		t.Error(diff)
	}
	if all.ExitCode() != 2 {
		t.Error("wrong settings must end with exit code 2")
	}
	for _, p := range want {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("the error does not say %q", p)
		}
	}
}

func TestLoadAsksTheStructs(t *testing.T) {
	var c struct{ Sub checked }
	err := Load(context.Background(), &c, Map(nil))
	if err == nil || err.Error() != "settings: LOW=5 is more than HIGH=3" {
		t.Errorf("got %v", err)
	}
	if err := Load(context.Background(), &c, Map(map[string]string{"HIGH": "9"})); err == nil {
		t.Error("a value that is set is overwritten by a later Load")
	}
}

type picky string

func (p *picky) EnvDecode(v string) error {
	if v == "bad" {
		return errors.New("must be good")
	}
	*p = picky(v)
	return nil
}

func TestLoadNeverShowsASecretThatItRefuses(t *testing.T) {
	var c struct {
		Token Secret `env:"TOKEN"`
		Word  picky  `env:"WORD"`
	}
	err := load(context.Background(), &c, Map(map[string]string{"TOKEN_FILE": "x", "WORD": "bad"}), func(string) ([]byte, error) {
		return nil, &fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}
	})
	if err == nil || !strings.Contains(err.Error(), "TOKEN_FILE: open x: permission denied") || !strings.Contains(err.Error(), `WORD="bad": must be good`) {
		t.Errorf("got %v", err)
	}
}

func TestLoadRefusesAWrongTarget(t *testing.T) {
	var private struct {
		X int `env:"X, unknown"`
	}
	for _, bad := range []any{nil, target{}, new(int), &private, (*target)(nil)} {
		err := Load(context.Background(), bad, Map(nil))
		var wrong *Error
		if err == nil || errors.As(err, &wrong) {
			t.Errorf("%T: got %v", bad, err)
		}
	}
}

func TestFirstTakesTheFirstThatIsNotEmpty(t *testing.T) {
	l := First(Map(map[string]string{"A": "", "B": "1"}), Map(map[string]string{"A": "2", "B": "3"}))
	for name, want := range map[string]string{"A": "2", "B": "1"} {
		if got, ok := l.Lookup(name); got != want || !ok {
			t.Errorf("%s: %q", name, got)
		}
	}
	if _, ok := l.Lookup("C"); ok {
		t.Error("found what is not there")
	}
	t.Setenv("CAUR_TEST_SETTING", "e")
	if got, _ := Environ().Lookup("CAUR_TEST_SETTING"); got != "e" {
		t.Errorf("environment: %q", got)
	}
}

func TestDescribeListsTheSettings(t *testing.T) {
	got, err := Describe(&target{})
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]Setting{}
	for _, s := range got {
		byName[s.Name] = s
	}
	for _, want := range []Setting{
		{Name: "HOST", Default: "localhost", Help: "where the server is", File: true},
		{Name: "NAMES", Default: "a,b", File: true},
		{Name: "KEY", Secret: true},
		{Name: "MUST", Required: true, Help: "the name of this machine", File: true},
		{Name: "PRE_LEVEL", Default: "info", File: true},
	} {
		if diff := cmp.Diff(want, byName[want.Name]); diff != "" {
			t.Error(diff)
		}
	}
	if got[0].Name != "HOST" {
		t.Error("not in the order of the source")
	}
	for _, bad := range []any{nil, 3} {
		if _, err := Describe(bad); err == nil {
			t.Errorf("%T is described", bad)
		}
	}
}

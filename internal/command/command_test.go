package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func testRoot(run func(*cobra.Command, []string) error) *cobra.Command {
	root := &cobra.Command{Use: "prog"}
	group := &cobra.Command{Use: "repo"}
	group.AddCommand(&cobra.Command{Use: "verify", RunE: run, Args: cobra.ExactArgs(1)})
	leaf := &cobra.Command{Use: "check", RunE: run}
	leaf.Flags().Int("jobs", 1, "")
	root.AddCommand(group, leaf)
	return root
}

type settingsError struct{}

func (settingsError) Error() string { return "2 settings are missing" }
func (settingsError) ExitCode() int { return WrongUsage }

func TestExitCodesAndMessages(t *testing.T) {
	tests := []struct {
		name string
		args []string
		err  error
		code int
		want string // part of standard error, "" = nothing is printed there
	}{
		{"a command that does its work exits 0", []string{"check"}, nil, Done, ""},
		{"a failure exits 1 and says why", []string{"check"}, errors.New("disk full"), Failed, "prog: disk full\n"},
		{"wrong settings exit 2", []string{"check"}, fmt.Errorf("start: %w", settingsError{}), WrongUsage, "2 settings are missing"},
		{"a verdict has an exit code of its own and no message", []string{"check"}, &ExitError{Code: 4}, 4, ""},
		{"an unknown command exits 2 and proposes one", []string{"chek"}, nil, WrongUsage, "did you mean check"},
		{"an unknown subcommand exits 2", []string{"repo", "frobnicate"}, nil, WrongUsage, `unknown command "frobnicate" for "prog repo"`},
		{"a missing argument exits 2", []string{"repo", "verify"}, nil, WrongUsage, "accepts 1 arg"},
		{"an unknown flag exits 2", []string{"check", "--wrong"}, nil, WrongUsage, "unknown flag: --wrong"},
		{"a wrong flag value exits 2", []string{"check", "--jobs", "x"}, nil, WrongUsage, "invalid argument"},
		{"hostile text cannot drive the terminal", []string{"check"}, errors.New("a\x1b[2Jb"), Failed, "a␛[2Jb"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out, errOut bytes.Buffer
			streams := &IO{In: strings.NewReader(""), Out: &out, Err: &errOut}
			root := testRoot(func(*cobra.Command, []string) error { return tt.err })
			if code := Run(t.Context(), streams, root, tt.args); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if tt.want == "" && errOut.Len() > 0 || !strings.Contains(errOut.String(), tt.want) {
				t.Errorf("standard error %q, want it to contain %q", errOut.String(), tt.want)
			}
		})
	}
}

func TestInterruptIsNamedAsSuch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var errOut bytes.Buffer
	streams := &IO{In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: &errOut}
	root := testRoot(func(cmd *cobra.Command, _ []string) error { return fmt.Errorf("read: %w", cmd.Context().Err()) })
	if code := Run(ctx, streams, root, []string{"check"}); code != Failed {
		t.Errorf("exit code %d, want %d", code, Failed)
	}
	if !strings.Contains(errOut.String(), "interrupted") {
		t.Errorf("standard error %q does not say that the command was interrupted", errOut.String())
	}
}

func TestVersionAndHelpAreAnsweredOnStandardOutput(t *testing.T) {
	for _, args := range [][]string{{"--version"}, {"--help"}, {}, {"repo"}, {"completion", "bash"}} {
		var out, errOut bytes.Buffer
		streams := &IO{In: strings.NewReader(""), Out: &out, Err: &errOut}
		code := Run(t.Context(), streams, testRoot(nil), args)
		if code != Done || out.Len() == 0 || errOut.Len() > 0 {
			t.Errorf("%v: code %d, %d bytes on standard output, standard error %q", args, code, out.Len(), errOut.String())
		}
	}
}

func TestColorFollowsEnvironmentAndTerminal(t *testing.T) {
	tests := []struct {
		env  map[string]string
		tty  bool
		want bool
	}{
		{nil, true, true},
		{nil, false, false},
		{map[string]string{"NO_COLOR": "1"}, true, false},
		{map[string]string{"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, true, false},
		{map[string]string{"TERM": "dumb"}, true, false},
		{map[string]string{"GITLAB_CI": "true"}, false, true},
		{map[string]string{"GITHUB_ACTIONS": "true"}, false, true},
	}
	for _, tt := range tests {
		s := &IO{OutTTY: tt.tty, ErrTTY: tt.tty, Getenv: func(k string) (string, bool) { v, ok := tt.env[k]; return v, ok }}
		if got := wantsColor(s); got != tt.want {
			t.Errorf("env %v, terminal %v: colour %v, want %v", tt.env, tt.tty, got, tt.want)
		}
	}
}

func TestLoggerKeepsHostileTextHarmless(t *testing.T) {
	var buf bytes.Buffer
	s := &IO{Err: &buf, Getenv: func(string) (string, bool) { return "", false }}
	s.Logger().Info("built", "pkgbase", "a\x1b]0;title\x07", "err", errors.New("b\u202ec"))
	if text := buf.String(); strings.ContainsAny(text, "\x1b\x07\u202e") || !strings.Contains(text, "built") {
		t.Errorf("log line %q", text)
	}
}

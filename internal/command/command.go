// Package command is the scaffolding that both programs share: exit codes, signals, the version, terminal rules
// and log output. It knows nothing of packages, queues or git.
//
// Exit codes, stated in every command's help: 0 done, 1 failed, 2 wrong usage or settings. A command that
// answers a question with its exit code (such as a review verdict) returns an *ExitError with a code of its own.
package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes of both programs.
const (
	Done       = 0 // the command did what it was asked to do
	Failed     = 1 // something went wrong; the message says what, where and what to do
	WrongUsage = 2 // wrong arguments, flags or settings; nothing was started
)

// ExitError carries an exit code other than Failed. Err may be nil: the command has already said all there is to say.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Code)
	}
	return e.Err.Error()
}

func (e *ExitError) Unwrap() error { return e.Err }

// ExitCode makes any error with this method decide the exit code of the program.
func (e *ExitError) ExitCode() int { return e.Code }

// Usagef returns an error for wrong arguments or flags; it ends the program with WrongUsage.
func Usagef(format string, args ...any) error {
	return &ExitError{Code: WrongUsage, Err: fmt.Errorf(format, args...)}
}

// Main runs the command line of a program and returns its exit code. newRoot is called once, with the streams of
// the process. The first SIGINT or SIGTERM cancels the context; a second one ends the program at once.
func Main(newRoot func(*IO) *cobra.Command) int {
	ctx, stop := notifyContext(context.Background())
	defer stop()
	streams := System()
	return Run(ctx, streams, newRoot(streams), os.Args[1:])
}

// Run executes root with args and turns its error into one message on streams.Err and an exit code.
func Run(ctx context.Context, streams *IO, root *cobra.Command, args []string) int {
	prepare(root, streams)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return Done
	}
	code := exitCode(err)
	if text := message(ctx, err); text != "" {
		fmt.Fprintf(streams.Err, "%s: %s\n", root.Name(), text)
	}
	if code == WrongUsage {
		fmt.Fprintf(streams.Err, "Try '%s --help'.\n", root.Name())
	}
	return code
}

func prepare(root *cobra.Command, streams *IO) {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.Version = Version()
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return Usagef("%w (see '%s --help')", err, cmd.CommandPath())
	})
	wrapArgs(root)
}

// wrapArgs makes the errors of cobra's argument checks usage errors, and a command group without a known
// subcommand refuse its arguments instead of printing help and ending well.
func wrapArgs(cmd *cobra.Command) {
	check := cmd.Args
	group := cmd.HasSubCommands() && !cmd.Runnable()
	cmd.Args = func(c *cobra.Command, args []string) error {
		if group && len(args) > 0 {
			return Usagef("unknown command %q for %q%s", args[0], c.CommandPath(), suggestions(c, args[0]))
		}
		if check == nil {
			return nil
		}
		if err := check(c, args); err != nil {
			return Usagef("%w (see '%s --help')", err, c.CommandPath())
		}
		return nil
	}
	if group {
		cmd.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	}
	for _, sub := range cmd.Commands() {
		wrapArgs(sub)
	}
}

func suggestions(c *cobra.Command, word string) string {
	if c.SuggestionsMinimumDistance <= 0 {
		c.SuggestionsMinimumDistance = 2
	}
	if near := c.SuggestionsFor(word); len(near) > 0 {
		return fmt.Sprintf(" (did you mean %s?)", strings.Join(near, " or "))
	}
	return ""
}

func exitCode(err error) int {
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) && coded.ExitCode() > 0 {
		return coded.ExitCode()
	}
	return Failed
}

func message(ctx context.Context, err error) string {
	var exit *ExitError
	if errors.As(err, &exit) && exit.Err == nil {
		return ""
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return "interrupted; nothing is half-written, run the command again to go on"
	}
	return Sanitize(err.Error())
}

func notifyContext(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, ok := <-signals; !ok {
			return
		}
		cancel()
		if sig, ok := <-signals; ok {
			code := 128
			if number, ok := sig.(syscall.Signal); ok {
				code += int(number)
			}
			os.Exit(code)
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		<-done
		cancel()
	}
}

// version is set by the linker for releases (-X github.com/caur-build/caur/internal/command.version=1.2.3).
var version string

// Version is the release, or for a build from a checkout the module version and commit that the Go linker recorded.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	text := info.Main.Version
	if text == "" {
		text = "(devel)"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 && !strings.Contains(text, s.Value[:12]) {
			text += " " + s.Value[:12]
		}
	}
	return text
}

package command

import (
	"io"
	"log/slog"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// IO holds the streams of a command and what is known about them, so that tests can replace them.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
	OutTTY   bool                                 // Out is a terminal
	ErrTTY   bool                                 // Err is a terminal: progress bars are welcome
	Color    bool                                 // ANSI colours are welcome on Out and Err
	Width    int                                  // columns of the terminal, 0 when unknown
	Getenv   func(string) (value string, ok bool) // the environment
}

// System returns the streams of this process. Colours follow NO_COLOR (https://no-color.org), CLICOLOR_FORCE and
// TERM=dumb; GitLab's and GitHub's job logs understand ANSI colours, so they get them.
func System() *IO {
	s := &IO{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		OutTTY: term.IsTerminal(int(os.Stdout.Fd())),
		ErrTTY: term.IsTerminal(int(os.Stderr.Fd())),
		Getenv: os.LookupEnv,
	}
	if width, _, err := term.GetSize(int(os.Stderr.Fd())); err == nil {
		s.Width = width
	}
	s.Color = wantsColor(s)
	return s
}

func wantsColor(s *IO) bool {
	set := func(key string) bool { v, ok := s.Getenv(key); return ok && v != "" && v != "0" }
	switch {
	case set("NO_COLOR"):
		return false
	case set("CLICOLOR_FORCE"), set("GITLAB_CI"), set("GITHUB_ACTIONS"):
		return true
	}
	if kind, _ := s.Getenv("TERM"); kind == "dumb" {
		return false
	}
	return s.OutTTY && s.ErrTTY
}

// Logger returns the program's log on Err: coloured lines for people, JSON with LOG_FORMAT=json, and debug
// messages with LOG_LEVEL=debug. Control characters in texts are made visible, so that what a package says about
// itself cannot drive a terminal.
func (s *IO) Logger() *slog.Logger {
	level := slog.LevelInfo
	if text, ok := s.Getenv("LOG_LEVEL"); ok {
		// An unknown level keeps the default: a log setting must not stop a build server.
		_ = level.UnmarshalText([]byte(text))
	}
	if format, _ := s.Getenv("LOG_FORMAT"); format == "json" {
		return slog.New(slog.NewJSONHandler(s.Err, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(tint.NewTextHandler(s.Err, &tint.Options{
		Level:      level,
		TimeFormat: time.DateTime,
		NoColor:    !s.Color,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			switch v := a.Value.Any().(type) {
			case string:
				a.Value = slog.StringValue(Sanitize(v))
			case error:
				a.Value = slog.StringValue(Sanitize(v.Error()))
			}
			return a
		},
	}))
}

// Sanitize makes control characters other than newline and tab visible (ESC becomes ␛), and bidirectional
// overrides too: text from outside must neither drive the terminal nor read differently from what it is.
func Sanitize(text string) string {
	if !strings.ContainsFunc(text, dangerous) {
		return text
	}
	return strings.Map(func(r rune) rune {
		switch {
		case !dangerous(r):
			return r
		case r < 0x20:
			return 0x2400 + r // the symbol for this control character
		default:
			return unicode.ReplacementChar
		}
	}, text)
}

func dangerous(r rune) bool {
	if r == '\n' || r == '\t' {
		return false
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
}

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/internal/redisconn"
	"github.com/caur-build/caur/internal/settings"
)

// logSettings are those of the build logs.
type logSettings struct {
	Retention retention `env:"LOGS_RETENTION, default=7d" help:"how long a log is kept, such as 7d or 36h"`
	MaxMiB    int64     `env:"LOGS_MAX_MIB, default=128" help:"most that is kept of one log, in MiB"`
}

// keptLogs are the settings of roles that serve and keep logs, but do not write them.
type keptLogs struct {
	Path string `env:"LOGS_PATH" help:"folder to which logs are moved from Redis a minute after a build has ended; all roles with web pages need the same (default: they stay in Redis)"`
}

// Check says what is wrong with the values.
func (s *logSettings) Check() []string {
	if s.MaxMiB < 1 {
		return []string{"LOGS_MAX_MIB: at least 1"}
	}
	return nil
}

// retention is a duration that may be given in days.
type retention struct{ time.Duration }

// EnvDecode reads "7d" or a Go duration; the interface of go-envconfig.
func (r *retention) EnvDecode(text string) (err error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		r.Duration = time.Duration(n) * 24 * time.Hour
	} else {
		r.Duration, err = time.ParseDuration(text)
	}
	if err != nil || r.Duration < time.Minute {
		return errors.New("must be a time of at least a minute, such as 7d or 36h")
	}
	return nil
}

// lookup makes the environment of the command a source of settings.
type lookup func(string) (string, bool)

func (l lookup) Lookup(name string) (string, bool) { return l(name) }

// load fills target from the environment; what flags have already set wins.
func (a *app) load(ctx context.Context, target any) error {
	return settings.Load(ctx, target, lookup(a.io.Getenv))
}

// redisError gives wrong Redis settings the exit code of wrong settings.
func redisError(err error) error {
	if errors.Is(err, redisconn.ErrConfig) {
		return &command.ExitError{Code: command.WrongUsage, Err: err}
	}
	return err
}

// settingsHelp is the list of a role's settings for its help.
func settingsHelp(target any) string {
	list, err := settings.Describe(target)
	if err != nil {
		panic(err) // a struct of ours: a mistake in its tags shows in every test
	}
	var out bytes.Buffer
	out.WriteString("\n\nSettings (environment):\n")
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	seen := map[string]bool{}
	for _, s := range list {
		if seen[s.Name] {
			continue
		}
		seen[s.Name] = true
		fmt.Fprintf(w, "  %s\t%s", s.Name, s.Help)
		switch {
		case s.Required:
			fmt.Fprint(w, " [required]")
		case s.Default != "":
			fmt.Fprintf(w, " [%s]", s.Default)
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // to a buffer
	return strings.TrimRight(out.String(), "\n")
}

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/caur-build/caur/internal/childproc"
)

// shellcheckLevels are what --shellcheck takes.
var shellcheckLevels = []string{"auto", "off", "error", "warning", "info", "style"}

const (
	// shellcheckTime bounds one PKGBUILD: shellcheck needs minutes for text that is made for it.
	shellcheckTime = 30 * time.Second
	// shellcheckTotal bounds all of them: nobody waits longer for a commit.
	shellcheckTotal = 5 * time.Minute
	// shellcheckExcludes is what every PKGBUILD does: variables that only makepkg reads (SC2034) or sets (SC2154), cd without
	// exit, since makepkg stops at errors (SC2164), the first item of an array such as $pkgname (SC2128), arrays with a bare
	// $pkgver in them (SC2206), "$pkgdir"usr"…" (SC2140), and what it cannot follow (SC1090, SC1091).
	shellcheckExcludes = "SC2034,SC2154,SC2164,SC2128,SC2206,SC2140,SC1090,SC1091"
)

// shellchecker asks the program shellcheck, which reads text and runs none of it.
type shellchecker struct {
	program  string // "" asks nobody
	severity string
	until    time.Time
}

func (a *app) newShellchecker(o lintOptions) shellchecker {
	s := shellchecker{severity: o.shellcheck}
	switch {
	case o.shellcheck == "off", o.shellcheck == "auto" && !o.staged && len(o.packages) == 0:
		return shellchecker{}
	case o.shellcheck == "auto":
		s.severity = "warning"
	}
	program, err := exec.LookPath("shellcheck")
	if err != nil {
		if o.shellcheck != "auto" {
			a.warnf("shellcheck is not installed, so nothing is told of what it would find")
		}
		return shellchecker{}
	}
	s.program, s.until = program, time.Now().Add(shellcheckTotal)
	return s
}

// check asks about a PKGBUILD. It is handed over as text, so that nothing beside it is read.
func (s shellchecker) check(ctx context.Context, p *lintedPackage) error {
	if s.program == "" {
		return nil
	}
	limited, cancel := context.WithDeadline(ctx, earlier(time.Now().Add(shellcheckTime), s.until))
	defer cancel()
	var out bytes.Buffer
	err := childproc.Run(limited, childproc.Cmd{
		Path: s.program, Dir: "/", Env: childproc.MinimalEnv(), Stdin: bytes.NewReader(p.dir["PKGBUILD"].Data), Stdout: &out,
		Args: []string{"--norc", "--shell=bash", "--format=json1", "--severity=" + s.severity, "--exclude=" + shellcheckExcludes, "-"},
	})
	var ended *childproc.ExitError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		p.add("PKGBUILD", 1, ruleShellcheck, "shellcheck did not end within %s, or %s for all packages, so nothing is told of what it would find: --shellcheck off does without", shellcheckTime, shellcheckTotal)
		return nil
	case errors.As(err, &ended) && ended.Code == 1: // it found something
	case err != nil:
		return fmt.Errorf("%s/PKGBUILD: ask shellcheck (--shellcheck off does without): %w", p.name, err)
	}
	var report struct {
		Comments []struct {
			Line    int
			Code    int
			Message string
		}
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return fmt.Errorf("%s/PKGBUILD: read the answer of shellcheck (--shellcheck off does without): %w", p.name, err)
	}
	for _, c := range report.Comments {
		p.add("PKGBUILD", c.Line, ruleShellcheck, "%s (SC%04d)", c.Message, c.Code)
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caur-build/caur/internal/command"
	"github.com/caur-build/caur/pkg/queue"
	"github.com/caur-build/caur/pkg/srcinfo"
)

// buildFailed is the exit code for a build that ended badly.
const buildFailed = 3

type logOptions struct {
	server    string
	follow    bool
	timestamp int64
}

func (a *app) logs() *cobra.Command {
	var o logOptions
	cmd := &cobra.Command{
		Use:   "logs PKGBASE",
		Short: "Print the log of a build",
		Long: `Prints the newest log of a package, or that of --timestamp, from the web pages of the build system. With --follow it
waits for a log that is not there yet, prints it while it grows, goes on where it was when the connection breaks, and
ends with the build. On a terminal only colours are let through.

LOGS_URL is where the log pages are, such as https://builds.example.org/logs/logs.html; --server wins.

Exit status: 0 the build went well or has not ended yet, 1 the log cannot be read, 2 wrong usage or settings, 3 the
build ended badly.`,
		Example: `  caur-ci logs firefox-nightly --follow
  caur-ci logs linux --server https://builds.example.org | grep -n 'error:'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runLogs(cmd.Context(), args[0], o) },
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
			return a.packageArgs(cmd, args, toComplete)
		},
	}
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on until the build ends")
	cmd.Flags().StringVar(&o.server, "server", "", "`URL` of the web pages (default: that of $LOGS_URL)")
	cmd.Flags().Int64Var(&o.timestamp, "timestamp", 0, "the log of this job instead of the newest")
	return cmd
}

func (a *app) runLogs(ctx context.Context, pkgbase string, o logOptions) error {
	if !srcinfo.LegalName(pkgbase) {
		return command.Usagef("logs: %.100q is no package name", pkgbase)
	}
	fromEnv, _ := a.io.Getenv("LOGS_URL")
	base, err := logServer(cmp.Or(o.server, fromEnv))
	if err != nil {
		return err
	}
	r := &logReader{client: &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: 30 * time.Second, Proxy: http.ProxyFromEnvironment}},
		base: base, out: a.io.Out, wait: waitFor, warn: a.warnf}
	if a.io.OutTTY {
		r.out = &colourWriter{out: a.io.Out}
	}
	status, ended, err := r.run(ctx, pkgbase, o)
	if err != nil || !ended {
		return err
	}
	if s := queue.Status(status); !s.Good() {
		return &command.ExitError{Code: buildFailed, Err: fmt.Errorf("the build of %s ended: %s", pkgbase, s)}
	}
	return nil
}

// logServer is the folder of the web pages, from their address or that of the log page.
func logServer(text string) (*url.URL, error) {
	if text == "" {
		return nil, command.Usagef("logs: where are the logs? Set LOGS_URL or give --server")
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, command.Usagef("logs: the server is not an http or https address")
	}
	u.RawQuery, u.Fragment = "", ""
	if i := strings.LastIndexByte(u.Path, '/'); strings.HasSuffix(u.Path, ".html") && i >= 0 {
		u.Path = u.Path[:i]
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + "/"
	return u, nil
}

// logReader reads one log over HTTP.
type logReader struct {
	client *http.Client
	base   *url.URL
	out    io.Writer
	wait   func(context.Context, time.Duration) bool
	warn   func(string, ...any)
}

const (
	firstPause = time.Second
	longPause  = 15 * time.Second
	maxTries   = 20 // in a row, without a byte
)

var errNoLog = errors.New("there is no such log (yet, or any more)")

// outputError says that what reads our output has gone: trying again is no use.
type outputError struct{ error }

// run prints a log, and says with which status its build ended, if it has.
func (r *logReader) run(ctx context.Context, pkgbase string, o logOptions) (status int, ended bool, err error) {
	path := "api/logs/" + url.PathEscape(pkgbase)
	if o.timestamp > 0 {
		path += "/" + strconv.FormatInt(o.timestamp, 10)
	}
	offset, tries := int64(0), 0
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		var info logInfo
		if info, err = r.head(ctx, path); err == nil {
			if o.timestamp == 0 && info.timestamp != "" {
				o.timestamp = 1 // from here on it is this log, however many newer ones there are
				path += "/" + info.timestamp
			}
			var n int64
			n, err = r.copy(ctx, path, offset, info, o.follow)
			if offset += n; n > 0 {
				pause, tries = firstPause, 0
			}
			if err == nil {
				return r.end(ctx, path, info)
			}
		}
		var out outputError
		waiting := errors.Is(err, errNoLog) && offset == 0
		if tries++; !o.follow || errors.As(err, &out) || ctx.Err() != nil || errors.Is(err, errNoLog) && !waiting || tries > maxTries && !waiting {
			return 0, false, fmt.Errorf("log of %s: %w", pkgbase, err)
		}
		if tries == 1 {
			r.warn("log of %s: %v; waiting", pkgbase, err)
		}
		if !r.wait(ctx, pause) {
			return 0, false, context.Cause(ctx)
		}
	}
}

type logInfo struct {
	size      int64
	timestamp string
	ended     bool
	status    int
}

func (r *logReader) request(ctx context.Context, method, path, query string) (*http.Response, error) {
	u := r.base.JoinPath(path)
	u.RawQuery = query
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, errors.New("the server's address makes no request")
	}
	answer, err := r.client.Do(req)
	if err != nil {
		var bare *url.Error // its text holds the whole address
		if errors.As(err, &bare) {
			err = bare.Err
		}
		return nil, fmt.Errorf("ask %s: %w", r.base.Host, err)
	}
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusPartialContent {
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusNotFound {
			return nil, errNoLog
		}
		return nil, fmt.Errorf("%s answers %s", r.base.Host, answer.Status)
	}
	return answer, nil
}

func (r *logReader) head(ctx context.Context, path string) (logInfo, error) {
	answer, err := r.request(ctx, http.MethodHead, path, "")
	if err != nil {
		return logInfo{}, err
	}
	_ = answer.Body.Close()
	info := logInfo{timestamp: answer.Header.Get("X-Log-Timestamp")}
	if info.size, err = strconv.ParseInt(answer.Header.Get("X-Log-Size"), 10, 64); err != nil {
		return logInfo{}, fmt.Errorf("%s does not say how long the log is: is it a server of caur's?", r.base.Host)
	}
	if info.timestamp != "" {
		if _, err := strconv.ParseUint(info.timestamp, 10, 63); err != nil {
			return logInfo{}, fmt.Errorf("%s gives a strange timestamp", r.base.Host)
		}
	}
	if text := answer.Header.Get("X-Log-Status"); text != "" {
		if info.status, err = strconv.Atoi(text); err == nil {
			info.ended = true
		}
	}
	return info, nil
}

// copy prints from offset on: to the log's end, or without follow only what was there.
func (r *logReader) copy(ctx context.Context, path string, offset int64, info logInfo, follow bool) (int64, error) {
	answer, err := r.request(ctx, http.MethodGet, path, "offset="+strconv.FormatInt(offset, 10))
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	body := io.Reader(answer.Body)
	if !follow {
		body = io.LimitReader(body, info.size-offset)
	}
	var n int64
	for buffer := make([]byte, 64<<10); ; {
		k, err := body.Read(buffer)
		n += int64(k)
		if _, outErr := r.out.Write(buffer[:k]); outErr != nil {
			return n, outputError{outErr}
		}
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, fmt.Errorf("read from %s: %w", r.base.Host, err)
		}
	}
}

// end asks how the build ended: a log that has just ended did not say so when it began.
func (r *logReader) end(ctx context.Context, path string, info logInfo) (status int, ended bool, err error) {
	if info.ended {
		return info.status, true, nil
	}
	if info, err = r.head(ctx, path); err != nil {
		return 0, false, err
	}
	return info.status, info.ended, nil
}

func waitFor(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

package cli

import (
	"fmt"
	"strings"
	"time"
)

// section begins a part of the log that a reader can fold, where the log's viewer knows such a thing, and returns what
// ends it. GitLab has markers (docs.gitlab.com, "Custom collapsible sections"), GitHub the commands ::group:: and
// ::endgroup::; on a terminal and in a pipe the title is a line.
func (a *app) section(name, title string, folded bool) (end func()) {
	set := func(key string) bool { v, _ := a.io.Getenv(key); return v != "" }
	write := func(format string, args ...any) { _, _ = fmt.Fprintf(a.io.Err, format, args...) } // as in say
	switch {
	case set("GITLAB_CI"):
		id := strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
				return r
			}
			return '_'
		}, strings.ToLower(name))
		option := ""
		if folded {
			option = "[collapsed=true]"
		}
		write("\x1b[0Ksection_start:%d:%s%s\r\x1b[0K%s\n", time.Now().Unix(), id, option, title)
		return func() { write("\x1b[0Ksection_end:%d:%s\r\x1b[0K\n", time.Now().Unix(), id) }
	case set("GITHUB_ACTIONS"):
		write("::group::%s\n", title)
		return func() { write("::endgroup::\n") }
	}
	write("%s\n", title)
	return func() {}
}

// folds says whether the log's viewer can fold sections, so that a line for every package harms nobody.
func (a *app) folds() bool {
	for _, key := range []string{"GITLAB_CI", "GITHUB_ACTIONS"} {
		if v, _ := a.io.Getenv(key); v != "" {
			return true
		}
	}
	return false
}

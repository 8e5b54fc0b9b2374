// Package upstream finds the newest version of a piece of software where its makers publish it. It reads the files of
// nvchecker (nvchecker(1), "Configuration Files") and answers for the sources and options that are common in real ones
// without running anything; for all others it says so, and the real program is asked.
//
// Words: an entry is one table of such a file; its source says whom to ask (github, pypi, git…). A candidate is one
// version that the source knows; some sources give a list of them, of which the list options (include_regex,
// exclude_regex, ignored, sort_version_key) leave one. The version that comes out has passed prefix and from_pattern.
//
// Results are those of nvchecker, with two differences. The tags of GitHub and Gitea are asked of git instead of the API,
// which has no limit an hour and a revision for each. The revision of an annotated tag is the commit, not the tag object:
// a PKGBUILD can do nothing with the latter.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/caur-build/caur/cmd/caur-ci/internal/download"
	"github.com/caur-build/caur/internal/git"
	"github.com/caur-build/caur/internal/settings"
)

// maxFile is far beyond any real nvchecker.toml.
const maxFile = 256 << 10

// UnsupportedError is an entry that only the real program can check.
type UnsupportedError struct{ Reason string }

// Error is the reason.
func (e *UnsupportedError) Error() string { return e.Reason }

func unsupported(format string, args ...any) error {
	return &UnsupportedError{fmt.Sprintf(format, args...)}
}

// Entry is one table of an nvchecker file.
type Entry struct {
	Name    string         // of the table; many sources take it for the name of the software
	Options map[string]any // as TOML has them
}

// ParseEntry picks the table of a package out of its nvchecker file: that of its name, or the only one.
func ParseEntry(name string, data []byte, pkgbase string) (Entry, error) {
	if len(data) > maxFile {
		return Entry{}, fmt.Errorf("%s has more than %d bytes", name, maxFile)
	}
	var tables map[string]any
	if err := toml.Unmarshal(data, &tables); err != nil {
		var at *toml.DecodeError
		if errors.As(err, &at) {
			row, _ := at.Position()
			return Entry{}, fmt.Errorf("%s:%d: %s", name, row, strings.TrimPrefix(at.Error(), "toml: "))
		}
		return Entry{}, fmt.Errorf("%s: %w", name, err)
	}
	delete(tables, "__config__")
	names := slices.Sorted(maps.Keys(tables))
	chosen := pkgbase
	if _, there := tables[pkgbase]; !there {
		if len(names) != 1 {
			return Entry{}, fmt.Errorf("%s has %d tables, none of them called [%s]: which one says where new versions are?", name, len(names), pkgbase)
		}
		chosen = names[0]
	}
	options, ok := tables[chosen].(map[string]any)
	if !ok {
		return Entry{}, fmt.Errorf("%s: %q is no table", name, chosen)
	}
	return Entry{Name: chosen, Options: options}, nil
}

// Source is the entry's source; "none" where it names none, as nvchecker has it.
func (e Entry) Source() string {
	if s, ok := e.Options["source"].(string); ok {
		return s
	}
	return "none"
}

// text is an option that must be a string; "" where it is not there.
func (e Entry) text(key string) (string, error) {
	switch v := e.Options[key].(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	}
	return "", fmt.Errorf("the option %s must be a string", key)
}

// named is the option that has the name of the source, else the name of the table.
func (e Entry) named(key string) (string, error) {
	v, err := e.text(key)
	if v == "" && err == nil {
		v = e.Name
	}
	return v, err
}

// on says whether an option is set as Python understands it: strip_release = "true" is, and so is "false".
func (e Entry) on(key string) bool {
	switch v := e.Options[key].(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case int64:
		return v != 0
	}
	return true
}

// Result is the newest version.
type Result struct {
	Version  string
	Revision string // the commit it is, where the source says so
}

// Keys are the tokens of nvchecker's key file.
type Keys struct{ tokens map[string]settings.Secret }

// ParseKeys reads a key file: a TOML table [keys].
func ParseKeys(text settings.Secret) (Keys, error) {
	var file struct {
		Keys map[string]string `toml:"keys"`
	}
	if err := toml.Unmarshal([]byte(text.Reveal()), &file); err != nil {
		return Keys{}, errors.New("nvchecker's key file is not TOML with a table [keys] of strings") // err may show a token
	}
	k := Keys{tokens: make(map[string]settings.Secret, len(file.Keys))}
	for name, token := range file.Keys {
		k.tokens[name] = settings.NewSecret(token)
	}
	return k, nil
}

// Hide takes the tokens out of a text that others wrote.
func (k Keys) Hide(text string) string {
	for _, token := range k.tokens {
		if len(token.Reveal()) >= 4 {
			text = strings.ReplaceAll(text, token.Reveal(), "***")
		}
	}
	return text
}

// get looks a token up by host, then by the older name.
func (k Keys) get(host, legacy string) settings.Secret {
	if token, there := k.tokens[strings.ToLower(host)]; there {
		return token
	}
	return k.tokens[legacy]
}

// Checker asks the sources. It is for several goroutines.
type Checker struct {
	Web      *download.Client
	Keys     Keys
	LsRemote func(ctx context.Context, url string, patterns ...string) ([]git.Ref, error) // nil: git.LsRemote
}

// candidate is one version that a source knows.
type candidate struct {
	version, revision string
	when              *version // parsed, once it was needed
}

// source is how one source is asked.
type source struct {
	ask func(*Checker, context.Context, Entry) ([]candidate, error)
	// leave are options that nvchecker knows and we do not; any other unknown option is passed over, as nvchecker does.
	leave []string
	list  bool // the list options count
}

// sources by name. What is not here needs the program: cmd and jq, htmlparser, container, and thirty rare ones.
func sources() map[string]source {
	return map[string]source{
		"github":     {ask: (*Checker).github, leave: []string{"use_latest_tag", "include_prereleases", "token"}, list: true},
		"gitlab":     {ask: (*Checker).gitlab, leave: []string{"token"}, list: true},
		"gitea":      {ask: (*Checker).gitea, leave: []string{"token"}, list: true},
		"git":        {ask: (*Checker).git, list: true},
		"pypi":       {ask: (*Checker).pypi, list: true},
		"npm":        {ask: (*Checker).npm},
		"cratesio":   {ask: (*Checker).cratesio, list: true},
		"archpkg":    {ask: (*Checker).archpkg},
		"aur":        {ask: (*Checker).aur, leave: []string{"use_last_modified"}},
		"regex":      {ask: (*Checker).regex, leave: []string{"post_data", "post_data_type"}, list: true},
		"httpheader": {ask: (*Checker).httpheader, list: true},
		"manual":     {ask: (*Checker).manual},
	}
}

// Supports says why the entry needs the real program, with an *UnsupportedError, or nil when Newest answers for it.
func Supports(e Entry) error {
	s, known := sources()[e.Source()]
	if !known {
		return unsupported("source %q", e.Source())
	}
	for _, key := range slices.Concat([]string{"proxy", "httptoken", "verify_cert"}, s.leave) {
		if _, there := e.Options[key]; there {
			return unsupported("option %s of source %s", key, e.Source())
		}
	}
	_, err := newRules(e, s.list)
	if err == nil && (e.Source() == "regex" || e.Source() == "httpheader") {
		_, err = e.pattern("regex")
	}
	if encoding, _ := e.text("encoding"); err == nil && e.Source() == "regex" {
		if _, bad := decode(nil, encoding); bad != nil {
			err = unsupported("encoding = %q", encoding)
		}
	}
	var no *UnsupportedError
	if errors.As(err, &no) {
		return err
	}
	return nil // a mistake in the entry is for Newest to tell
}

// Newest asks the entry's source for the newest version.
func (c *Checker) Newest(ctx context.Context, e Entry) (Result, error) {
	if err := Supports(e); err != nil {
		return Result{}, err
	}
	s := sources()[e.Source()]
	rules, err := newRules(e, s.list)
	if err != nil {
		return Result{}, err
	}
	found, err := s.ask(c, ctx, e)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", e.Source(), err)
	}
	best, err := rules.choose(found)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", e.Source(), err)
	}
	text, err := rules.rewrite(strings.ReplaceAll(best.version, "\n", " "))
	return Result{Version: text, Revision: best.revision}, err
}

func (*Checker) manual(_ context.Context, e Entry) ([]candidate, error) {
	v, err := e.text("manual")
	if err == nil && strings.TrimSpace(v) == "" {
		err = errors.New("the option manual, which says the version, is missing")
	}
	return []candidate{{version: strings.TrimSpace(v)}}, err
}

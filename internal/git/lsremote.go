package git

import (
	"context"
	"fmt"
	"strings"
)

// Ref is a name on a remote and the object it points to.
type Ref struct{ Name, SHA string }

// LsRemote lists the refs of a remote that match the patterns of git-ls-remote(1), all when there are none. A tag that is
// an object has a second entry NAME^{} for what it points to.
func LsRemote(ctx context.Context, url string, patterns ...string) ([]Ref, error) {
	clean, secrets := separate(url)
	args := append([]string{"ls-remote", "-q", "--", clean}, patterns...)
	out, err := command{args: args, secrets: secrets}.output(ctx)
	if err != nil {
		return nil, err
	}
	var refs []Ref
	for line := range strings.Lines(string(out)) {
		sha, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok || !isHash(sha) {
			return nil, fmt.Errorf("git ls-remote of %s: unexpected line %q", scrub(clean), line)
		}
		refs = append(refs, Ref{Name: name, SHA: sha})
	}
	return refs, nil
}

// isHash says whether s is a full object name, SHA-1 or SHA-256.
func isHash(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == ""
}

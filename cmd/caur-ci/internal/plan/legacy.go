package plan

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// LegacyFile is where the CI definition of today's repositories expects the parameters of the TypeScript manager.
const LegacyFile = ".ci/schedule-params.txt"

// legacyTree is the dependency tree's file, beside the parameters.
const legacyTree = "deptree.txt"

// Legacy is what the manager needs beside the plan.
type Legacy struct {
	SSHHost, SSHPort, SSHUser, RedisPort string

	// Tree is the text form of the dependency tree of the whole repository.
	Tree string
	// WithCommit hands the commit and pipeline over: the manager reports to GitLab only, so elsewhere it must not.
	WithCommit bool
}

// WriteLegacy writes the parameters to file, as bash reads them with source, and the dependency tree to deptree.txt
// beside it. The parameters come last, because a later job acts when they are there; for the same reason an empty plan
// removes those of an earlier run.
func (p *Plan) WriteLegacy(file string, l Legacy) error {
	if p.Empty() {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove the parameters of an earlier run: %w", err)
		}
		return nil
	}
	params, err := p.legacyParams(l)
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if len(p.Jobs) > 0 {
		if err := writeFile(filepath.Join(filepath.Dir(file), legacyTree), []byte(l.Tree+"\n")); err != nil {
			return err
		}
	}
	return writeFile(file, params)
}

// legacyParams gives one `declare` line a variable. The variables are exported: the manager reads them from its
// environment.
func (p *Plan) legacyParams(l Legacy) ([]byte, error) {
	var b strings.Builder
	for _, v := range []struct{ name, value string }{
		{"REDIS_SSH_HOST", l.SSHHost}, {"REDIS_SSH_PORT", l.SSHPort}, {"REDIS_SSH_USER", l.SSHUser}, {"REDIS_PORT", l.RedisPort},
	} {
		fmt.Fprintf(&b, "declare -x %s=%s\n", v.name, bashQuote(v.value))
	}
	if len(p.Jobs) > 0 {
		bashArray(&b, "PARAMS_SCHEDULE", p.scheduleParams(l))
	}
	if c := p.Cleanup; c != nil {
		params := []string{"auto-repo-remove", "--target-repo=" + c.TargetRepo}
		bashArray(&b, "PARAMS_AUTOREPOREMOVE", append(p.withCommit(params, l, c.Commit), c.Pkgbases...))
	}
	if strings.ContainsRune(b.String(), 0) {
		return nil, errors.New("a parameter holds a NUL byte, which bash cannot keep")
	}
	return []byte(b.String()), nil
}

// scheduleParams is the manager's command line (executor.md, "Compatibility"). What all jobs have in common is taken
// from the first.
func (p *Plan) scheduleParams(l Legacy) []string {
	common := p.Jobs[0]
	params := []string{"schedule"}
	if common.Arch != DefaultArch {
		params = append(params, "--arch="+common.Arch)
	}
	params = append(params, "--target-repo="+common.TargetRepo, "--source-repo="+common.SourceRepo)
	params = p.withCommit(params, l, common.Commit)
	if common.ArchMirror != "" {
		params = append(params, "--arch-mirror="+common.ArchMirror)
	}
	for _, job := range p.Jobs {
		params = append(params, job.Pkgbase+"/"+job.Class)
	}
	return params
}

func (p *Plan) withCommit(params []string, l Legacy, commit string) []string {
	if !l.WithCommit || commit == "" {
		return params
	}
	return append(params, "--commit", commit)
}

func bashArray(b *strings.Builder, name string, values []string) {
	fmt.Fprintf(b, "declare -a %s=(", name)
	for i, value := range values {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(b, "[%d]=%s", i, bashQuote(value))
	}
	b.WriteString(")\n")
}

// bashQuote writes a value as `declare -p` does: in double quotes, or with control characters in $'…', because bash uses
// two of those bytes inside of arrays for itself and would double them.
func bashQuote(value string) string {
	if !strings.ContainsFunc(value, isControl) {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`").Replace(value) + `"`
	}
	var b strings.Builder
	b.WriteString("$'")
	for i := range len(value) {
		switch c := value[i]; {
		case c == '\\' || c == '\'':
			b.WriteByte('\\')
			b.WriteByte(c)
		case isControl(rune(c)) && c != 0: // NUL stays for the caller to find
			fmt.Fprintf(&b, "\\%03o", c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

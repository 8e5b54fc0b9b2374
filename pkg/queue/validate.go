package queue

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

var (
	legalName  = regexp.MustCompile(`^[A-Za-z0-9_@+][A-Za-z0-9_@.+-]*$`)
	legalPlace = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+-]*$`) // target repos and architectures are directory names too
	legalClass = regexp.MustCompile(`^([0-9]{1,9}|[A-Za-z0-9_.-]*[A-Za-z_.-][A-Za-z0-9_.-]*)$`)
	legalBatch = regexp.MustCompile(`^[A-Za-z0-9_.:/@+-]+$`)
)

const (
	maxField   = 4096 // bytes of a free text field of a job
	maxMessage = 1000 // bytes kept of a message

	maxPriority = 100
	maxTime     = 1 << 46 // Unix ms; the year 4199
)

// class gives a class its one spelling: 1 when empty, numbers without leading zeros.
func class(s string) string {
	if s == "" {
		return "1"
	}
	if strings.Trim(s, "0123456789") == "" {
		if s = strings.TrimLeft(s, "0"); s == "" {
			return "0"
		}
	}
	return s
}

func numeric(class string) bool { return strings.Trim(class, "0123456789") == "" }

// check returns every fault of a batch.
func (b Batch) check() error {
	var faults []error
	if b.ID != "" && (len(b.ID) > 200 || !legalBatch.MatchString(b.ID)) {
		faults = append(faults, fmt.Errorf("batch id %q: want up to 200 of A-Z a-z 0-9 _ . : / @ + -", b.ID))
	}
	seen := make(map[string]bool, len(b.Jobs))
	for _, j := range b.Jobs {
		if err := j.check(); err != nil {
			faults = append(faults, err)
		}
		if seen[j.ID()] {
			faults = append(faults, fmt.Errorf("job %s: twice in one batch", j.ID()))
		}
		seen[j.ID()] = true
	}
	if c := b.Cleanup; c != nil {
		if !legalPlace.MatchString(c.TargetRepo) || !legalPlace.MatchString(c.Arch) {
			faults = append(faults, fmt.Errorf("clean-up of %q, architecture %q: not a legal target repo and architecture", c.TargetRepo, c.Arch))
		}
	}
	return errors.Join(faults...)
}

func (j Job) check() error {
	fault := func(field, value, want string) error {
		return fmt.Errorf("job %q: %s %.60q: %s", j.ID(), field, value, want)
	}
	switch {
	case !legalName.MatchString(j.Pkgbase):
		return fault("pkgbase", j.Pkgbase, "not a legal package name")
	case !legalPlace.MatchString(j.TargetRepo):
		return fault("target_repo", j.TargetRepo, "want letters, digits, _ . + -")
	case !legalPlace.MatchString(j.Arch):
		return fault("arch", j.Arch, "want letters, digits, _ . + -")
	case j.SourceRepo != "" && !legalPlace.MatchString(j.SourceRepo):
		return fault("source_repo", j.SourceRepo, "want letters, digits, _ . + -")
	case !legalClass.MatchString(class(j.Class)):
		return fault("build_class", j.Class, "want a number or the name of a builder")
	}
	if j.Priority < -maxPriority || j.Priority > maxPriority || j.NotBefore < 0 || j.NotBefore > maxTime {
		return fmt.Errorf("job %q: priority %d, not before %d: want a priority from -%d to %d and a time in Unix ms", j.ID(), j.Priority, j.NotBefore, maxPriority, maxPriority)
	}
	for _, text := range []string{j.Commit, j.SourceCommit, j.ArchMirror} {
		if len(text) > maxField || !printable(text) {
			return fault("commit, source_commit or arch_mirror", text, "too long, or not plain text")
		}
	}
	for field, names := range map[string][]string{"pkgnames": j.Pkgnames, "provides": j.Provides, "dependencies": j.Dependencies} {
		for _, name := range names {
			if name == "" || len(name) > 512 || !printable(name) {
				return fault(field, name, "not a name")
			}
		}
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// message makes a text from outside fit for storage: valid, of bounded length.
func message(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + "…"
	}
	return s
}

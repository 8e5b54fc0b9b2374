package state

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caur-build/caur/internal/conf"
)

const (
	keyCommit      = "CI_GIT_COMMIT"
	keyMaintainers = "CI_AUR_MAINTAINERS"
	keyTimestamp   = "CI_PKGBUILD_TIMESTAMP"
	keyHeld        = "CI_AUR_HELD_SINCE"
)

// PackageState is the file of one package on the state branch. Keys and lines that
// it does not know are kept. The zero PackageState is that of a package without a file.
type PackageState struct {
	GitCommit      string    // newest upstream commit that was scheduled, 40 or 64 hexadecimal digits
	AURMaintainers []string  // maintainer first, then co-maintainers, when the last version was taken over
	Timestamp      time.Time // AUR LastModified of the PKGBUILD that was taken over; the zero time where unknown
	Held           Held      // the AUR accounts that had the package when it was last looked at

	file *conf.File
	read stateFields // as they were in the file
}

// Held says who was seen to hold a package in the AUR, and since when (pipeline.md section 4, adoption). In the file it is
// SECONDS:ACCOUNT,ACCOUNT, the time since 1970 with a + behind it where Longer; nothing in it means anything to a shell.
type Held struct {
	Accounts []string  // sorted; nobody for an orphan
	Since    time.Time // when they were first seen; the zero time where nobody looked yet
	Longer   bool      // that was the first look: they may have held it for years
}

// Seen is h after a look at time now at the accounts that hold the package.
func (h Held) Seen(accounts []string, now time.Time) Held {
	sorted := slices.Sorted(slices.Values(accounts))
	if !h.Since.IsZero() && slices.Equal(h.Accounts, sorted) {
		return h
	}
	return Held{Accounts: sorted, Since: now.UTC().Truncate(time.Second), Longer: h.Since.IsZero()}
}

func (h Held) equal(o Held) bool {
	return h.Since.Equal(o.Since) && h.Longer == o.Longer && slices.Equal(h.Accounts, o.Accounts)
}

func (h Held) String() string {
	if h.Since.IsZero() {
		return ""
	}
	longer := ""
	if h.Longer {
		longer = "+"
	}
	return strconv.FormatInt(h.Since.Unix(), 10) + longer + ":" + strings.Join(h.Accounts, ",")
}

func parseHeld(value string) (h Held, err error) {
	seconds, names, _ := strings.Cut(value, ":")
	seconds, h.Longer = strings.CutSuffix(seconds, "+")
	if h.Since, err = parseSeconds(seconds); err != nil {
		return Held{}, err
	}
	h.Accounts = slices.Sorted(slices.Values(accounts(names)))
	return h, nil
}

func accounts(list string) (names []string) {
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

func parseSeconds(value string) (time.Time, error) {
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err != nil || seconds < 0 || seconds > maxSeconds {
		return time.Time{}, errors.New("must be a time in seconds since 1970")
	}
	return time.Unix(seconds, 0).UTC(), nil
}

type stateFields struct {
	commit      string
	maintainers []string
	timestamp   time.Time
	held        Held
}

// ParsePackageState reads the file of a package. Problems are remarks; the error is an *Error with every wrong value.
func ParsePackageState(name string, data []byte) (*PackageState, []Problem, error) {
	file := conf.Parse(name, data)
	s := &PackageState{file: file}
	list, wrong := fill(s, stateTable, file, nil)
	list = append(list, remarks(file, stateTable, func(string) string { return "" })...)
	sortProblems(list)
	if len(wrong) > 0 {
		return nil, list, &Error{wrong}
	}
	s.read = stateFields{s.GitCommit, slices.Clone(s.AURMaintainers), s.Timestamp, s.Held}
	return s, list, nil
}

var commitID = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

func stateSettings() []setting[PackageState] {
	return []setting[PackageState]{
		{Key{Name: keyCommit}, func(s *PackageState, value string) error {
			s.GitCommit = value
			if !commitID.MatchString(value) {
				return errors.New("must be the full ID of a commit")
			}
			return nil
		}},
		{Key{Name: keyMaintainers}, func(s *PackageState, value string) error {
			s.AURMaintainers = accounts(value)
			return nil
		}},
		{Key{Name: keyTimestamp}, func(s *PackageState, value string) (err error) {
			s.Timestamp, err = parseSeconds(value)
			return err
		}},
		{Key{Name: keyHeld}, func(s *PackageState, value string) (err error) {
			s.Held, err = parseHeld(value)
			return err
		}},
	}
}

// maxSeconds is the end of the year 9999, so that every time can be written as JSON.
const maxSeconds = 253402300799

// Bytes is the file to write: what was read, with the lines changed whose value changed. It is
// empty where nothing is known: such a package needs no file.
func (s *PackageState) Bytes() []byte {
	file := conf.Parse("", nil)
	if s.file != nil {
		file = conf.Parse(s.file.Name(), s.file.Bytes())
	}
	put := func(key, value string, changed bool) {
		switch {
		case !changed:
		case value == "":
			file.Delete(key)
		default:
			file.Set(key, value)
		}
	}
	put(keyCommit, s.GitCommit, s.GitCommit != s.read.commit)
	put(keyMaintainers, strings.Join(s.AURMaintainers, ","), !slices.Equal(s.AURMaintainers, s.read.maintainers))
	seconds := ""
	if !s.Timestamp.IsZero() {
		seconds = strconv.FormatInt(s.Timestamp.Unix(), 10)
	}
	put(keyTimestamp, seconds, !s.Timestamp.Equal(s.read.timestamp))
	put(keyHeld, s.Held.String(), !s.Held.equal(s.read.held))
	return file.Bytes()
}

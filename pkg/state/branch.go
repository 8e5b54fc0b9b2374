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
)

// PackageState is the file of one package on the state branch. Keys and lines that
// it does not know are kept. The zero PackageState is that of a package without a file.
type PackageState struct {
	GitCommit      string    // newest upstream commit that was scheduled, 40 or 64 hexadecimal digits
	AURMaintainers []string  // maintainer first, then co-maintainers, when the last version was taken over
	Timestamp      time.Time // AUR LastModified of the PKGBUILD that was taken over; the zero time where unknown

	file *conf.File
	read stateFields // as they were in the file
}

type stateFields struct {
	commit      string
	maintainers []string
	timestamp   time.Time
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
	s.read = stateFields{s.GitCommit, slices.Clone(s.AURMaintainers), s.Timestamp}
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
			for name := range strings.SplitSeq(value, ",") {
				if name = strings.TrimSpace(name); name != "" {
					s.AURMaintainers = append(s.AURMaintainers, name)
				}
			}
			return nil
		}},
		{Key{Name: keyTimestamp}, func(s *PackageState, value string) error {
			seconds, err := strconv.ParseInt(value, 10, 64)
			if err != nil || seconds < 0 || seconds > maxSeconds {
				return errors.New("must be a time in seconds since 1970")
			}
			s.Timestamp = time.Unix(seconds, 0).UTC()
			return nil
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
	return file.Bytes()
}

package changes

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/caur-build/caur/pkg/srcinfo"
)

// allPackages as NAME of [deploy NAME] stands for every package.
const allPackages = "all"

var (
	deployRequest = regexp.MustCompile(`\[deploy[ \t]+([^\]\n]*)\]`)
	deployName    = regexp.MustCompile(`^[A-Za-z0-9_@.+-]+$`)
)

// DeployError is every [deploy NAME] whose NAME is no package. It is fatal: whoever wrote it waits for a build that
// would never come.
type DeployError struct{ Wrong []WrongDeploy }

// WrongDeploy is one wrong name and the commit that has it.
type WrongDeploy struct{ Commit, Name, Reason string }

func (e *DeployError) Error() string {
	lines := make([]string, len(e.Wrong))
	for i, w := range e.Wrong {
		lines[i] = fmt.Sprintf("commit %s asks for [deploy %s], but %s", short(w.Commit), w.Name, w.Reason)
	}
	return strings.Join(lines, "\n") + "\nNothing was scheduled and no tag was moved: fix the message and force-push"
}

// short is how people write a commit.
func short(id string) string { return id[:min(len(id), 12)] }

func (s *Set) addDeploys(in Input) error {
	byName := map[string][]string{}
	var wrong []WrongDeploy
	for _, commit := range in.Commits {
		for _, name := range s.requests(commit) {
			switch reason := s.refuse(name, in.Dirs); {
			case name == allPackages:
				s.All = commit.ID
			case slices.Contains(s.Removed, name):
				s.warnf("commit %s asks for [deploy %s], but the package has been removed since", short(commit.ID), name)
			case reason != "":
				wrong = append(wrong, WrongDeploy{Commit: commit.ID, Name: name, Reason: reason})
			default:
				byName[name] = append(byName[name], commit.ID)
			}
		}
	}
	if len(wrong) > 0 {
		return &DeployError{Wrong: wrong}
	}
	for name, commits := range byName {
		s.Deploy = append(s.Deploy, Deploy{Pkgbase: name, Commits: slices.Compact(commits)})
	}
	slices.SortFunc(s.Deploy, func(a, b Deploy) int { return strings.Compare(a.Pkgbase, b.Pkgbase) })
	return nil
}

// requests lists the names in a message. What cannot be a name ([deploy PKG…], [deploy a, b]) is more likely prose, and
// has never scheduled anything: it is only warned of.
func (s *Set) requests(commit Commit) []string {
	var names []string
	for _, match := range deployRequest.FindAllStringSubmatch(commit.Message, -1) {
		name := strings.TrimSpace(match[1])
		if !deployName.MatchString(name) {
			s.warnf("commit %s says %s, which names no package: write one [deploy NAME] for each package", short(commit.ID), match[0])
			continue
		}
		names = append(names, name)
	}
	return names
}

// refuse says why a name cannot be scheduled, "" when it can.
func (s *Set) refuse(name string, dirs map[string]bool) string {
	hasPKGBUILD, exists := dirs[name]
	switch {
	case !exists:
		return "there is no such package"
	case !srcinfo.LegalName(name):
		return IllegalName
	case !hasPKGBUILD:
		return "the directory holds no PKGBUILD"
	}
	return ""
}

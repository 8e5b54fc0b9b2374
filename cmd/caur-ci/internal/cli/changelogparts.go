package cli

import (
	"context"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strings"

	"github.com/caur-build/caur/cmd/caur-ci/internal/changes"
	"github.com/caur-build/caur/cmd/caur-ci/internal/gitrepo"
	"github.com/caur-build/caur/pkg/srcinfo"
	"github.com/caur-build/caur/pkg/state"
)

// historyCommit is a commit and the packages that it touches.
type historyCommit struct {
	changes.Commit
	dirs map[string]bool
}

// historyCommits lists the commits of a range but merges, newest first.
func historyCommits(ctx context.Context, repo *gitrepo.Repo, from, to string) ([]historyCommit, error) {
	args := []string{"log", "--no-merges", "--no-renames", "--name-only", "-z", "--format=tformat:%x01%H%x02%B%x03", "--end-of-options", to}
	if from != "" {
		args = append(args, "^"+from)
	}
	out, err := repo.Program().Output(ctx, args...)
	if err != nil {
		return nil, fmt.Errorf("read the history: %w", err)
	}
	var commits []historyCommit
	for text := range strings.SplitSeq(string(out), "\x01") {
		head, files, ok := strings.Cut(text, "\x03")
		id, message, complete := strings.Cut(head, "\x02")
		if !ok || !complete {
			continue
		}
		c := historyCommit{Commit: changes.Commit{ID: id, Message: message}, dirs: map[string]bool{}}
		for path := range strings.SplitSeq(files, "\x00") {
			if dir, _, inside := strings.Cut(strings.TrimPrefix(path, "\n"), "/"); inside {
				c.dirs[dir] = true
			}
		}
		commits = append(commits, c)
	}
	return commits, nil
}

// deploys gives the packages that messages ask to build anew. A name that is no package (any more) asks for nothing.
func deploys(commits []historyCommit, dirs map[string]bool) map[string]bool {
	names := map[string]bool{}
	for _, c := range commits {
		if !strings.Contains(c.Message, "[deploy") {
			continue
		}
		set, err := changes.Find(changes.Input{Commits: []changes.Commit{c.Commit}, Dirs: dirs})
		if err != nil {
			continue
		}
		for _, d := range set.Deploy {
			names[d.Pkgbase] = true
		}
	}
	return names
}

func touched(sets ...map[string]bool) []string {
	all := map[string]bool{}
	for _, set := range sets {
		maps.Copy(all, set)
	}
	return slices.Sorted(maps.Keys(all))
}

var (
	byMachine    = regexp.MustCompile(`^(chore|feat)\((update|bump|packages|add|drop)\)`)
	conventional = regexp.MustCompile(`^[a-z]+(\([^)]*\))?!?: *`)
)

// notesOf gives what people wrote about each package. A commit about many packages says nothing of one.
func notesOf(commits []historyCommit) map[string][]string {
	notes := map[string][]string{}
	for _, c := range commits {
		subject, _, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
		if byMachine.MatchString(subject) || len(c.dirs) > 10 {
			continue
		}
		subject = strings.TrimSpace(conventional.ReplaceAllString(subject, ""))
		for dir := range c.dirs {
			if subject != "" && subject != dir && !slices.Contains(notes[dir], subject) {
				notes[dir] = append(notes[dir], subject)
			}
		}
	}
	return notes
}

// repoSnapshot is the packages of a commit and the versions that were asked for.
type repoSnapshot struct {
	catalog  *catalog
	dirs     map[string]bool
	versions map[string]string // "" where .SRCINFO tells none
	upstream map[string]string // [epoch:]pkgver of it
}

// snapshotOf reads a commit; nil is an empty repository.
func snapshotOf(ctx context.Context, repo *gitrepo.Repo, commit *gitrepo.Commit) (*repoSnapshot, error) {
	s := &repoSnapshot{versions: map[string]string{}, upstream: map[string]string{}}
	if commit == nil {
		return s, nil
	}
	files, err := repo.At(ctx, *commit)
	if err != nil {
		return nil, err
	}
	if s.catalog, err = newCatalog(ctx, files); err != nil {
		return nil, err
	}
	s.dirs = s.catalog.dirs
	return s, nil
}

func (s *repoSnapshot) has(name string) bool { return s.dirs[name] && srcinfo.LegalName(name) }

// readVersions reads what .SRCINFO and CI_PACKAGE_BUMP make of the packages' versions.
func (s *repoSnapshot) readVersions(ctx context.Context, names []string) error {
	if s.catalog == nil {
		return nil
	}
	infos, _, err := s.catalog.infos(ctx, names)
	if err != nil {
		return err
	}
	paths := make([]string, len(names))
	for i, name := range names {
		paths[i] = name + "/.CI/config"
	}
	bumps := make([]srcinfo.Bump, len(names))
	err = s.catalog.files.Read(ctx, paths, func(i int, data []byte) error {
		if config, _, _ := state.ParsePackageConfig(paths[i], data); config != nil {
			bumps[i] = config.Bump
		}
		return nil
	})
	for i, name := range names {
		if infos[i] == nil {
			continue
		}
		version := infos[i].Version()
		s.versions[name] = bumpedVersion(version, bumps[i])
		s.upstream[name] = strings.TrimSuffix(version, "-"+infos[i].Pkgrel)
	}
	return err
}

// bumpedVersion is the version that is built (pipeline.md section 1, CI_PACKAGE_BUMP).
func bumpedVersion(version string, bump srcinfo.Bump) string {
	at := strings.LastIndexByte(version, '-')
	switch {
	case bump.N == 0 || at < 0:
	case bump.Version == "":
		if rel, ok := new(big.Rat).SetString(version[at+1:]); ok {
			return version[:at+1] + rel.Add(rel, big.NewRat(int64(bump.N), 10)).FloatString(1)
		}
	case bump.Version == version, bump.Version == version[:at]:
		return fmt.Sprintf("%s.%d", version, bump.N)
	}
	return version
}

// entryFor says what happened to a package; false when nothing did that is worth a line.
func entryFor(name string, before, after *repoSnapshot, relevant, deployed bool) (changelogEntry, bool) {
	e := changelogEntry{Pkgbase: name, Old: before.versions[name], New: after.versions[name]}
	switch was, is := before.has(name), after.has(name); {
	case !was && !is:
		return e, false
	case !was:
		e.Kind, e.Old = kindAdded, ""
	case !is:
		e.Kind, e.New = kindDropped, ""
	case before.upstream[name] != after.upstream[name]:
		e.Kind = kindUpdated
	case e.Old != e.New, deployed && !relevant:
		e.Kind = kindRebuilt
	default:
		e.Kind = kindFixed
	}
	return e, true
}

package history

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caur-build/caur/pkg/queue"
)

// Group is builds that failed for the same reason.
type Group struct {
	Class  string
	Builds []*Build // newest first
}

// Failures groups the builds that failed since then by why, the largest group first. Of one package and reason only the
// newest build is listed.
func (x *Index) Failures(since time.Time) []Group {
	type cause struct{ class, id string }
	seen := map[cause]bool{}
	byClass := map[string]*Group{}
	for _, b := range x.Recent(since, maxBuilds, (*Build).Bad) {
		c := cause{b.Class(), b.Job.ID()}
		if seen[c] {
			continue
		}
		seen[c] = true
		if byClass[c.class] == nil {
			byClass[c.class] = &Group{Class: c.class}
		}
		byClass[c.class].Builds = append(byClass[c.class].Builds, b)
	}
	groups := make([]Group, 0, len(byClass))
	for _, g := range byClass {
		groups = append(groups, *g)
	}
	slices.SortFunc(groups, func(a, b Group) int {
		return cmp.Or(-cmp.Compare(len(a.Builds), len(b.Builds)), cmp.Compare(a.Class, b.Class))
	})
	return groups
}

// Feed gives the events after one that was seen before, and a channel that is closed when more have come. After "$" there
// are only those that will come, and last is where to begin then. gap says that some after it are not kept any more.
func (x *Index) Feed(after string) (events []queue.Event, last string, gap bool, more <-chan struct{}) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if after == "$" {
		return nil, x.last, false, x.news
	}
	i, _ := slices.BinarySearchFunc(x.feed, after, func(e queue.Event, id string) int { return compareIDs(e.ID, id) })
	if i < len(x.feed) && x.feed[i].ID == after {
		i++
	} else if after != "" && i == 0 && len(x.feed) > 0 {
		gap = true
	}
	events = slices.Clone(x.feed[i:min(len(x.feed), i+feedPage)])
	last = after
	if len(events) > 0 {
		last = events[len(events)-1].ID
	}
	return events, last, gap, x.news
}

const feedPage = 256

// compareIDs orders event IDs, MILLISECONDS-NUMBER.
func compareIDs(a, b string) int {
	ams, an := splitID(a)
	bms, bn := splitID(b)
	return cmp.Or(cmp.Compare(ams, bms), cmp.Compare(an, bn))
}

func splitID(id string) (ms, n uint64) {
	left, right, _ := strings.Cut(id, "-")
	ms, _ = strconv.ParseUint(left, 10, 64)
	n, _ = strconv.ParseUint(right, 10, 64)
	return ms, n
}

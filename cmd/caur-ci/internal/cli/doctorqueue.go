package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caur-build/caur/pkg/queue"
)

// builderSeen is how long ago a builder may have been heard of to count as there; the queue goes by the same.
const builderSeen = 10 * time.Minute

// askQueue reads the queue, and looks whether anyone builds what the packages ask for.
func (c *checkup) askQueue(ctx context.Context, classes map[string]string) error {
	if !c.a.queueConfigured(c.cfg) {
		c.add(doctorWarning, "queue", "not asked: its settings are not here", "set REDIS_URL, or REDIS_SSH_HOST in "+configFile+"; only the jobs that enqueue need it")
		return nil
	}
	var s *queue.Snapshot
	err := c.a.withQueue(ctx, c.cfg, func(q *queue.Queue) (err error) {
		s, err = q.Snapshot(ctx)
		return err
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		c.add(doctorFailed, "queue", err.Error(), "check REDIS_URL, the password and the tunnel; 'caur-exec doctor' on a build host looks from there")
		return nil
	}
	c.ok("queue", "%d waiting, %d running, %d being published", len(s.Waiting), len(s.Running), len(s.Publishing))
	var alive []queue.BuilderState
	for _, b := range s.Builders {
		if s.Time.Sub(b.LastSeen) <= builderSeen {
			alive = append(alive, b)
		}
	}
	if len(alive) == 0 {
		c.add(doctorWarning, "builders", "none was seen within "+builderSeen.String(), "start 'caur-exec builder' on a build host; jobs wait until then")
		return nil
	}
	c.ok("builders", "%d", len(alive))
	var nobody []string
	for _, class := range slices.Sorted(maps.Keys(classes)) {
		if !slices.ContainsFunc(alive, func(b queue.BuilderState) bool { return takesClass(b.Builder, class) }) {
			nobody = append(nobody, fmt.Sprintf("%s (of %s)", class, classes[class]))
		}
	}
	if len(nobody) > 0 {
		c.add(doctorWarning, "classes", "no builder takes "+strings.Join(nobody, ", "), "start such a builder, or change BUILDER_CLASS of these packages: their jobs wait")
		return nil
	}
	c.ok("classes", "builders take all that packages ask for")
	return nil
}

// takesClass is the rule of queue.Builder: a number takes numbers up to it, and everybody takes the own name.
func takesClass(b queue.Builder, class string) bool {
	if class == "" {
		class = "1"
	}
	wanted, err := strconv.Atoi(class)
	if err != nil {
		return class == b.Name
	}
	if b.Class == "" {
		return wanted <= 1
	}
	able, err := strconv.Atoi(b.Class)
	return err == nil && wanted <= able
}

package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/caur-build/caur/pkg/queue"
)

// watchRows is how much of what waits a terminal is shown: the rest would scroll away what matters.
const watchRows = 15

const (
	home      = "\x1b[H"
	clearLine = "\x1b[K"
	clearRest = "\x1b[J"
	clearAll  = "\x1b[2J"
)

// watchQueue shows the queue until the context ends. An error of the first look ends it; later ones are told and tried again.
func (a *app) watchQueue(ctx context.Context, read func(context.Context) (*queue.Snapshot, error), o queueOptions) error {
	redraw := a.io.OutTTY && !o.json
	ticker := time.NewTicker(o.every)
	defer ticker.Stop()
	last := ""
	for first := true; ; first = false {
		s, err := read(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return err
		case err != nil:
			a.warnf("%v; trying again", err)
		case redraw:
			if first {
				fmt.Fprint(a.io.Out, clearAll)
			}
			_, err = fmt.Fprint(a.io.Out, a.screen(s))
		default:
			if state := changing(s); state != last {
				last = state
				err = a.printQueue(s, o.json)
			}
		}
		if err != nil && s != nil {
			return fmt.Errorf("show the queue: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// screen is the queue on a terminal: what was there is overwritten line by line, so that nothing flickers.
func (a *app) screen(s *queue.Snapshot) string {
	few := *s
	few.Waiting = few.Waiting[:min(len(few.Waiting), watchRows)]
	text := fmt.Sprintf("%s  running %d, waiting %d, to publish %d\n\n%s\n", s.Time.Local().Format(time.DateTime), len(s.Running), len(s.Waiting), len(s.Publishing), a.queueText(&few))
	if more := len(s.Waiting) - len(few.Waiting); more > 0 {
		text += fmt.Sprintf("and %d more wait\n", more)
	}
	return home + strings.ReplaceAll(text, "\n", clearLine+"\n") + clearRest
}

// changing is what makes another picture of the queue: not the time that passes.
func changing(s *queue.Snapshot) string {
	var b strings.Builder
	for _, j := range s.Running {
		fmt.Fprintln(&b, "r", j.Job.TaskID(), j.Builder, j.Token)
	}
	for _, j := range s.Publishing {
		fmt.Fprintln(&b, "p", j.ID, j.Holder)
	}
	for _, j := range s.Waiting {
		fmt.Fprintln(&b, "w", j.Job.TaskID(), j.Job.Priority, j.Ready, j.Held, j.NoBuilder, j.BlockedBy)
	}
	for _, w := range s.Builders {
		fmt.Fprintln(&b, "b", w.Builder, w.Busy, w.Drained)
	}
	return b.String()
}

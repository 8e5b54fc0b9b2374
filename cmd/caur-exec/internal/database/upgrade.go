package database

import (
	"context"
	"errors"
	"time"

	"github.com/caur-build/caur/pkg/queue"
)

const upgradeEvery = 5 * time.Second

// upgrade takes a queue of the version before over, and returns when it is of this version: builders of the older version get no more jobs, and their last builds are waited for.
// Redis being away is no reason to give up.
func (r *role) upgrade(ctx context.Context) error {
	t := time.NewTicker(upgradeEvery)
	defer t.Stop()
	building := -1
	for {
		u, err := r.q.Upgrade(ctx, false)
		switch {
		case errors.Is(err, queue.ErrProtocol):
			return err
		case err != nil:
			r.trouble(ctx, "take over a queue of an older version", err)
		case u.Done:
			return nil
		case u.Building != building:
			building = u.Building
			r.log.Info("the queue is of an older version; its builders get no more jobs, their last builds are waited for", "protocol", u.From, "building", building)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

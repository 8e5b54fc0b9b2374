package queue

import (
	"context"
	"fmt"
)

// Upgrading says how far [Queue.Upgrade] is.
type Upgrading struct {
	Done     bool
	From     int // the protocol of the queue; with Done, Protocol
	Building int // builds by builders of the older version, which are waited for
}

// Upgrade takes a queue of an older version over to [Protocol], for a rolling upgrade: the database role calls it when it starts, and then every few seconds until it is done. As
// long as builders of the older version are building it only keeps further jobs from them: they finish what they have, and programs of this version are still refused. Then, or at once with
// force, everything that waits, runs or is to be published is taken over in one step, and programs of the older version are refused with a *[ProtocolError]. With force a build that was under
// way comes back to the queue when its lease runs out.
//
// A queue of a newer version gives a *[ProtocolError]; an empty Redis is done.
func (q *Queue) Upgrade(ctx context.Context, force bool) (Upgrading, error) {
	forced := 0
	if force {
		forced = 1
	}
	// The script is told what the others take for a protocol that nothing can have.
	reply, err := q.runAs(ctx, "upgrade", "upgrade the queue", "upgrade", q.protocol, forced)
	if err != nil {
		return Upgrading{}, err
	}
	l := list(reply)
	u := Upgrading{From: int(num(at(l, 0))), Building: int(num(at(l, 1)))}
	u.Done = u.From == q.protocol
	if u.From > q.protocol || !u.Done && u.From != 1 {
		return u, fmt.Errorf("upgrade the queue: %w", &ProtocolError{Queue: u.From, Ours: q.protocol})
	}
	return u, nil
}

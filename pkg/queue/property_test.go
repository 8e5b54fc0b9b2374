package queue

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"
)

func TestTheQueueDoesWhatTheModelDoes(t *testing.T) {
	client := fastRedis(t).Client()
	rapid.Check(t, func(rt *rapid.T) {
		x := newMachine(fresh(client))
		x.m.mode = rapid.SampledFrom([]string{"build", "hold", "skip"}).Draw(rt, "on failure of a dependency")
		x.m.fair.Weights = map[string]int{"r1": rapid.IntRange(1, 5).Draw(rt, "weight")}
		check(rt, x.q.Advertise(ctx(rt), Advert{OnDepFailure: x.m.mode, Weights: x.m.fair.Weights}))
		rt.Repeat(map[string]func(*rapid.T){
			"enqueue":   x.enqueue,
			"claim":     x.claim,
			"claim 2":   x.claim,
			"claim 3":   x.claim,
			"use lease": x.useLease,
			"take":      x.take,
			"use turn":  x.useTurn,
			"cancel":    x.cancel,
			"reap":      x.reap,
			"adjust":    x.adjust,
			"":          x.compare,
		})
		x.finishAll(rt)
		if left := leftovers(t, x.q); len(left) > 0 {
			rt.Fatalf("an empty queue has %v", left)
		}
		check(rt, client.FlushAll(ctx(rt)).Err())
	})
}

// work is a builder that takes jobs until all were enqueued and none is alive, and does with them what a random builder may do.
func work(ctx context.Context, q *Queue, b Builder, seed uint64, allQueued *atomic.Bool) error {
	for round := seed; ; round = round*6364136223846793005 + 1442695040888963407 {
		last := allQueued.Load()
		l, err := q.Claim(ctx, b, time.Minute)
		if err != nil {
			return err
		}
		if l == nil {
			n, err := q.rdb.HLen(ctx, q.keys.key("ids")).Result()
			if err != nil || n == 0 && last {
				return err
			}
			if err := q.Wait(ctx, 50*time.Millisecond); err != nil {
				return err
			}
			continue
		}
		switch (round >> 33) % 9 {
		case 8:
			err = q.Retry(ctx, l, Result{Status: Failed, Failure: &Failure{Class: "download"}}, time.Millisecond)
		case 0:
			err = q.Requeue(ctx, l)
		case 1:
			err = q.Finish(ctx, l, Result{Status: Failed})
		case 2: // dies; another takes the lease back
			seq := q.rdb.HGet(ctx, q.keys.key("ids"), l.Job.ID()).Val()
			q.rdb.ZAddArgs(ctx, q.keys.key("leases"), redis.ZAddArgs{XX: true, Members: []redis.Z{{Score: 1, Member: seq}}})
			_, err = q.Reap(ctx)
		default:
			err = q.Deliver(ctx, l, Result{Duration: time.Second})
		}
		if err != nil && !errors.Is(err, ErrLeaseLost) && !errors.Is(err, ErrCanceled) {
			return err
		}
	}
}

func publishUntil(ctx context.Context, q *Queue, holder string) error {
	for {
		d, err := q.TakeDelivery(ctx, holder, time.Minute)
		if err == nil && d == nil {
			err = q.WaitDelivery(ctx, 50*time.Millisecond)
		} else if err == nil {
			err = q.FinishDelivery(ctx, d, Success, "")
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !errors.Is(err, ErrCanceled) {
			return err
		}
	}
}

// replay holds the history against the model: every start must be of a job that was ready, every job ends once, and nothing is left.
func replay(t *rapid.T, events []Event, all map[string]Job) {
	m := newModel()
	for _, e := range events {
		j := m.alive[e.JobID]
		switch e.Kind {
		case EventQueued:
			queued := all[e.JobID]
			queued.Timestamp = e.Job.Timestamp
			m.add(queued, 0)
			continue
		}
		if j == nil || j.job.Timestamp != e.Job.Timestamp {
			if e.Kind == EventEnded && e.Status == Canceled {
				continue // the model ended it when its successor was queued
			}
			t.Fatalf("%s of %s, which is not alive", e.Kind, e.JobID)
		}
		switch e.Kind {
		case EventStarted:
			if _, ok := m.ready()[j]; !ok {
				t.Fatalf("%s started although it was not ready", e.JobID)
			}
			j.state = "running"
		case EventRequeued:
			j.state = "waiting"
		case EventDelivered:
			j.state = "publishing"
		case EventEnded:
			if e.Status == Canceled {
				continue // its successor is queued next
			}
			m.end(j, e.Status)
		}
	}
	for id := range m.alive {
		t.Fatalf("%s never ended", id)
	}
}

func TestManyClientsAtOnceKeepTheOrderAndFinishEverything(t *testing.T) {
	client := fastRedis(t).Client()
	rapid.Check(t, func(rt *rapid.T) {
		q := fresh(client)
		batch := someJobs(rt, 25)
		for i := range batch {
			batch[i].NotBefore = min(batch[i].NotBefore, 1)
		}
		all := map[string]Job{}
		for _, j := range batch {
			all[j.ID()] = j
		}
		seed := rapid.Uint64().Draw(rt, "seed")
		_, err := q.Enqueue(ctx(rt), Batch{Jobs: batch[:len(batch)/2+1]})
		check(rt, err)
		limited, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		publishing, stop := context.WithCancel(limited)
		var builders, publishers sync.WaitGroup
		var allQueued atomic.Bool
		errs := make(chan error, 60)
		for i := range rapid.IntRange(1, 50).Draw(rt, "builders") {
			builders.Go(func() {
				b := Builder{Name: "h" + strconv.Itoa(i+1), Class: "9"}
				if i == 0 {
					b.Name = "h1"
				}
				errs <- work(limited, New(client, func(n *Queue) { n.keys = q.keys }), b, seed+uint64(i), &allQueued)
			})
		}
		for i := range 2 {
			publishers.Go(func() {
				errs <- publishUntil(publishing, New(client, func(n *Queue) { n.keys = q.keys }), strconv.Itoa(i))
			})
		}
		// The rest comes while they work; jobs of the first half may be replaced.
		_, err = q.Enqueue(ctx(rt), Batch{Jobs: batch[len(batch)/3:]})
		allQueued.Store(true)
		check(rt, err)
		builders.Wait()
		stop()
		publishers.Wait()
		close(errs)
		for err := range errs {
			check(rt, err)
		}
		replay(rt, history(t, q), all)
		if left := leftovers(t, q); len(left) > 0 {
			rt.Fatalf("an empty queue has %v", left)
		}
		check(rt, client.FlushAll(ctx(rt)).Err())
	})
}

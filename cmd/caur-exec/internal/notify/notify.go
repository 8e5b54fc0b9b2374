package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/caur-build/caur/pkg/queue"
)

// times are how long things take; tests have shorter ones.
type times struct {
	lease     time.Duration // of the leadership
	look      time.Duration // at the outbox, when nothing has told of a new entry
	send      time.Duration // one message may take
	firstWait time.Duration // after a failure
	longWait  time.Duration // at most
	flood     time.Duration // the window of NOTIFY_FLOOD
	giveUp    time.Duration // age of an entry that becomes a dead letter, if it has failed often
}

var usualTimes = times{lease: 10 * time.Second, look: 5 * time.Second, send: 30 * time.Second, firstWait: time.Second,
	longWait: 5 * time.Minute, flood: time.Minute, giveUp: 24 * time.Hour}

const giveUpAfter = 10 // failures in a row

// Options of a Notifier.
type Options struct {
	Settings Settings
	Queue    *queue.Queue
	Redis    redis.UniversalClient
	Client   *http.Client // nil: one with time limits that follows no redirect, which would take the token along
	Log      *slog.Logger
	Now      func() time.Time // nil: time.Now
}

// Notifier follows the queue and tells the targets.
type Notifier struct {
	opt     Options
	outbox  *Outbox
	targets []*target
	links   links
	times   times
	who     string
}

// New makes a notifier of settings that were checked.
func New(opt Options) (*Notifier, error) {
	if opt.Client == nil {
		opt.Client = httpClient()
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	targets, problems := opt.Settings.targets(opt.Client)
	if len(problems) > 0 {
		return nil, fmt.Errorf("notifications: %s", problems[0])
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("notifications: %w", err)
	}
	return &Notifier{opt: opt, outbox: NewOutbox(opt.Redis), targets: targets, links: opt.Settings.links(targets), times: usualTimes,
		who: host + ":" + strconv.Itoa(os.Getpid()) + ":" + strconv.FormatInt(time.Now().UnixNano(), 36)}, nil
}

func httpClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = parallel
	return &http.Client{Transport: transport, Timeout: usualTimes.send,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Targets are the names of those that are configured.
func (n *Notifier) Targets() []string {
	names := make([]string, len(n.targets))
	for i, t := range n.targets {
		names[i] = t.name
	}
	return names
}

// Test sends a message to a chat at once, past the outbox.
func (n *Notifier) Test(ctx context.Context, name string) error {
	i := slices.IndexFunc(n.targets, func(t *target) bool { return t.name == name })
	if i < 0 {
		return fmt.Errorf("no target %s; configured are %v", name, n.Targets())
	}
	t := n.targets[i]
	if t.forge != nil {
		return fmt.Errorf("%s takes statuses of commits alone: see what became of them with 'notify ls'", name)
	}
	if err := t.attempt(ctx, n.times.send, func(ctx context.Context) error {
		return t.chat.send(ctx, []Note{{Topic: TopicTest, Time: n.opt.Now()}})
	}); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Run notifies until ctx ends, then returns nil. Trouble with Redis or a target is logged and overcome.
func (n *Notifier) Run(ctx context.Context) error {
	if len(n.targets) == 0 {
		return nil
	}
	n.opt.Log.Info("notifications", "targets", n.Targets())
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = n.times.firstWait, n.times.longWait
	for ctx.Err() == nil {
		led, err := n.outbox.lead(ctx, n.who, n.times.lease)
		if err == nil && led {
			pause.Reset()
			err = n.work(ctx)
		}
		wait := n.times.lease / 3
		if err != nil {
			wait = pause.NextBackOff()
			n.trouble(ctx, "notify", err)
		}
		sleep(ctx, wait, nil)
	}
	return nil
}

func (n *Notifier) trouble(ctx context.Context, doing string, err error) {
	if ctx.Err() == nil && !errors.Is(err, errNotLeading) {
		n.opt.Log.Error("cannot "+doing+", will try again", "error", err)
	}
}

var errNotLeading = errors.New("another process notifies now")

// work reads events and sends while the leadership lasts.
func (n *Notifier) work(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	senders := make([]*sending, len(n.targets))
	for i, t := range n.targets {
		senders[i] = newSending(n, t)
		g.Go(func() error { return senders[i].run(ctx) })
	}
	g.Go(func() error { return n.feed(ctx, func(name string) { wake(senders, name) }) })
	g.Go(func() error { return n.stayLeader(ctx) })
	err := g.Wait()
	release, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if _, leaveErr := n.outbox.lead(release, n.who, 0); leaveErr != nil {
		n.opt.Log.Debug("give up the leadership of the notifications", "error", leaveErr)
	}
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// stayLeader renews the leadership. When Redis is away for too long, another may have it.
func (n *Notifier) stayLeader(ctx context.Context) error {
	for until := time.Now().Add(n.times.lease); ; {
		if !sleep(ctx, n.times.lease/3, nil) {
			return ctx.Err()
		}
		at := time.Now()
		led, err := n.outbox.lead(ctx, n.who, n.times.lease)
		switch {
		case err == nil && led:
			until = at.Add(n.times.lease)
		case err == nil:
			return errNotLeading
		case time.Now().After(until):
			return err
		}
	}
}

// sleep waits; false when ctx ended first. Something on early ends it too.
func sleep(ctx context.Context, d time.Duration, early <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-early:
	case <-t.C:
	}
	return true
}

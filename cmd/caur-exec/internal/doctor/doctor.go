// Package doctor looks at a build host and says what keeps it, or may keep it, from building, and what to do about it:
// Redis and its settings, clocks, the database role, directories and disk, the container engine and the image with the
// programs in it, SSH and the landing zone.
//
// Checks are independent: one that fails hides no other, except where it is the ground that the other stands on; that one
// is then left out. What is written for a check is removed again.
package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/caur-build/caur/cmd/caur-exec/internal/builder"
	"github.com/caur-build/caur/internal/redisconn"
	"github.com/caur-build/caur/pkg/queue"
)

// Status is how a check ended.
type Status string

// The three ends of a check.
const (
	OK      Status = "ok"
	Warning Status = "warning" // builds work; something should be looked at
	Failed  Status = "failed"  // no builds, or none that end well
)

// Finding is the outcome of one check.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"` // what to do, when it is not ok
}

// Options says what to look at.
type Options struct {
	Builder    builder.Settings
	Redis      redisconn.Config
	Executable string           // this program, to be run in a container
	Now        func() time.Time // nil: time.Now
}

// checkLimit bounds one check. The first pull of an image takes longest.
const (
	checkLimit = 30 * time.Second
	imageLimit = 20 * time.Minute
)

type exam struct {
	Options
	findings []Finding
	advert   queue.Advert // empty when it is not known
}

// Examine makes all checks and gives what they found, in the order they were made. It ends early only with ctx.
func Examine(ctx context.Context, o Options) []Finding {
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &exam{Options: o}
	e.redis(ctx)
	e.directories()
	e.engine(ctx)
	e.landing(ctx)
	return e.findings
}

func (e *exam) ok(check, format string, args ...any) {
	e.findings = append(e.findings, Finding{Check: check, Status: OK, Detail: fmt.Sprintf(format, args...)})
}

func (e *exam) add(status Status, check, detail, fix string) {
	e.findings = append(e.findings, Finding{Check: check, Status: status, Detail: detail, Fix: fix})
}

// redis looks at Redis and what only it can tell.
func (e *exam) redis(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	rdb, err := redisconn.Open(ctx, e.Options.Redis)
	if err != nil {
		e.add(Failed, "redis", err.Error(), "see the message; REDIS_URL or REDIS_HOST, REDIS_PORT, REDIS_PASSWORD and REDIS_SSH_* say where it is")
		return
	}
	defer rdb.Close()
	e.ok("redis", "reachable")
	e.redisSettings(ctx, rdb)
	e.clock(ctx, rdb)
	e.queue(ctx, queue.New(rdb))
}

// queue looks for the database role and for another builder of our name.
func (e *exam) queue(ctx context.Context, q *queue.Queue) {
	const check = "database role"
	advert, err := q.Advertised(ctx)
	switch {
	case err != nil:
		e.add(Failed, check, err.Error(), "start the database role (caur-exec database), and use the same version of caur-exec for all roles")
		return
	case len(advert.TargetRepos) == 0 || len(advert.SourceRepos) == 0:
		e.add(Failed, check, "it knows no target repo, or no source repo", "set PACKAGE_TARGET_REPOS and PACKAGE_REPOS of the database role")
	default:
		e.ok(check, "%d source repos, %d target repos", len(advert.SourceRepos), len(advert.TargetRepos))
	}
	e.advert = *advert
	snapshot, err := q.Snapshot(ctx)
	if err != nil {
		e.add(Failed, "queue", err.Error(), "use the same version of caur-exec for all roles")
		return
	}
	e.ok("queue", "%d jobs wait, %d run, %d are to be published, %d builders", len(snapshot.Waiting), len(snapshot.Running),
		len(snapshot.Publishing), len(snapshot.Builders))
}

// clock compares our clock with that of Redis, by which leases run. Only what people and signatures read is wrong when
// they differ, so it takes much to be a failure.
func (e *exam) clock(ctx context.Context, rdb redis.UniversalClient) {
	const check = "clock"
	before := e.Now()
	theirs, err := rdb.Time(ctx).Result()
	after := e.Now()
	if err != nil {
		e.add(Warning, check, fmt.Sprintf("the time of Redis is not known: %v", err), "allow TIME in the ACL of Redis' user")
		return
	}
	trip := after.Sub(before)
	apart := theirs.Sub(before.Add(trip / 2))
	detail := fmt.Sprintf("%v apart from Redis' clock", apart.Round(time.Millisecond))
	const fix = "synchronise the clocks of both machines (timedatectl set-ntp true)"
	switch off := apart.Abs() - trip; {
	case off > 5*time.Minute:
		e.add(Failed, check, detail, fix+": TLS certificates and signatures look invalid otherwise")
	case off > 5*time.Second:
		e.add(Warning, check, detail, fix)
	default:
		e.ok(check, "%s", detail)
	}
}

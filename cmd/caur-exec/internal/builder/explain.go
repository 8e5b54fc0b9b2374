package builder

import (
	"github.com/caur-build/caur/cmd/caur-exec/internal/failure"
	"github.com/caur-build/caur/pkg/queue"
)

// failed says whether a job with that end has something to explain.
func failed(s queue.Status) bool {
	return s == queue.Failed || s == queue.TimedOut || s == queue.SoftwareFailure
}

// explain adds to a result why the build failed. j is nil when it did not get as far as a directory; class is what is known
// without the log.
func (b *builder) explain(r *queue.Result, j *job, class string, tail *failure.Tail) {
	var facts failure.Facts
	if j != nil {
		facts = j.facts
	}
	facts.TimedOut = facts.TimedOut || r.Status == queue.TimedOut
	found, lines := b.failures.Classify(tail.Bytes(), facts)
	switch {
	case class != "":
	case r.Status == queue.SoftwareFailure && failure.Transient(found):
		class = failure.Unknown // we know what went wrong, and it was no download that may work later
	default:
		class = found
	}
	r.Failure = &queue.Failure{Class: class, Lines: lines}
}

// again says whether a build that failed is worth another try, later: its sources or a mirror did not answer, and this was
// the first time.
func (b *builder) again(lease *queue.Lease, r queue.Result) bool {
	return b.RetryAfter > 0 && lease.Retries == 0 && r.Failure != nil && failure.Transient(r.Failure.Class) && r.Status != queue.TimedOut
}

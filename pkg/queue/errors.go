package queue

import (
	"errors"
	"fmt"
)

// Errors that callers tell apart with errors.Is; the text around them says which job.
var (
	// ErrLeaseLost: the token is not, or no longer, the one that counts. Stop, and touch nothing more of this job.
	ErrLeaseLost = errors.New("the lease is lost")
	// ErrCanceled: the job was cancelled by hand or replaced by a newer one. Stop; the job has already ended.
	ErrCanceled = errors.New("the job was canceled")
	// ErrProtocol: the queue belongs to programs of another version; the error is a *ProtocolError.
	ErrProtocol = errors.New("queue protocol differs")
	// ErrNotFound: no such job or clean-up is alive, nor among those that ended in the last seven days.
	ErrNotFound = errors.New("not found in the queue")
)

// ProtocolError names both versions.
type ProtocolError struct{ Queue, Ours int }

func (e *ProtocolError) Error() string {
	older := "this program is older than the queue: update it"
	if e.Ours > e.Queue {
		older = "this program is newer than the queue: update the other programs, the database role takes the queue over when the last of them has finished its build"
	}
	return fmt.Sprintf("the queue in Redis speaks protocol %d, this program speaks %d; %s", e.Queue, e.Ours, older)
}

// Is makes errors.Is(err, ErrProtocol) true.
func (e *ProtocolError) Is(target error) bool { return target == ErrProtocol }

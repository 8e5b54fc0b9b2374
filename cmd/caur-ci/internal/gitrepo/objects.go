package gitrepo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/caur-build/caur/internal/childproc"
)

// maxObject bounds what is kept of one object, in bytes; of a bigger one only the size is known.
const maxObject = 64 << 20

// pipeSize asks for pipes that hold many small objects, so that the two processes rarely wait for each other.
const pipeSize = 1 << 20

// object is what cat-file says about one name.
type object struct {
	id   string // as asked when it is missing
	kind string // commit, tree, blob, tag; "" when it is missing
	size int64
	data []byte // only valid during the call; nil when it is missing or bigger than maxObject
}

// readExisting reads objects that must exist, since other objects name them; got is called for each, in order. Those
// that a partial clone has not fetched yet are fetched before, all in one go.
func (r *Repo) readExisting(ctx context.Context, ids []string, got func(i int, o object) error) error {
	if err := r.fetchAbsent(ctx, ids); err != nil {
		return err
	}
	return r.readObjects(ctx, ids, func(i int, o object) error {
		if o.kind == "" {
			return fmt.Errorf("object %s: %w: the repository is damaged, 'git fsck' says more", ids[i], ErrMissing)
		}
		return got(i, o)
	})
}

// readObjects calls got for each name, in order, also for the missing ones. A name is anything that git resolves: an
// ID, ID^{commit}.
func (r *Repo) readObjects(ctx context.Context, names []string, got func(i int, o object) error) error {
	if len(names) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if r.batch == nil {
		cmd := r.program.Command("cat-file", "--batch")
		// Left alone, git fetches what a partial clone lacks one object at a time, and without credentials.
		cmd.Env = append(cmd.Env, "GIT_NO_LAZY_FETCH=1")
		batch, err := startCatFile(r.ctx, cmd)
		if err != nil {
			return err
		}
		r.batch = batch
	}
	err := r.batch.read(names, got)
	var broken *protocolError
	if errors.As(err, &broken) {
		// The stream is out of step: this process is of no more use.
		closeErr := r.batch.close()
		r.batch = nil
		if r.ctx.Err() != nil {
			return context.Cause(r.ctx)
		}
		return fmt.Errorf("read objects of %s: %w", r.Dir(), errors.Join(closeErr, err))
	}
	return err
}

// protocolError says that nothing more can be read from this cat-file process.
type protocolError struct{ err error }

func (e *protocolError) Error() string { return "git cat-file: " + e.err.Error() }
func (e *protocolError) Unwrap() error { return e.err }

// catFile is a running `git cat-file --batch`.
type catFile struct {
	in   *os.File
	out  *bufio.Reader
	from *os.File
	done chan struct{}
	err  error // how it ended; read after done
	buf  []byte
}

func startCatFile(ctx context.Context, cmd childproc.Cmd) (*catFile, error) {
	inRead, inWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start git cat-file: %w", err)
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start git cat-file: %w", err), inRead.Close(), inWrite.Close())
	}
	growPipe(inWrite)
	growPipe(outRead)
	c := &catFile{in: inWrite, from: outRead, out: bufio.NewReaderSize(outRead, 128<<10), done: make(chan struct{})}
	cmd.Stdin, cmd.Stdout = inRead, outWrite
	go func() {
		defer close(c.done)
		c.err = errors.Join(childproc.Run(ctx, cmd), inRead.Close(), outWrite.Close())
	}()
	return c, nil
}

// growPipe is an optimisation: a system that refuses keeps its default size.
func growPipe(f *os.File) {
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeSize) })
}

// close ends the process and says how it ended.
func (c *catFile) close() error {
	_ = c.in.Close()
	_ = c.from.Close()
	<-c.done
	return c.err
}

// read asks for all names at once from a second goroutine: written from this one, a long list would block for ever as
// soon as both pipes are full.
func (c *catFile) read(names []string, got func(i int, o object) error) error {
	asked := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c.in, strings.Join(names, "\n")+"\n")
		asked <- err
	}()
	var failed error
	for i, name := range names {
		o, err := c.next(name)
		if err != nil {
			_ = c.in.Close() // the writer may still hang in the pipe
			return &protocolError{errors.Join(err, <-asked)}
		}
		if failed == nil {
			failed = got(i, o) // after a failure the rest is read to stay in step
		}
	}
	if err := <-asked; err != nil {
		return &protocolError{err}
	}
	return failed
}

// next reads one answer: "ID TYPE SIZE\n" content "\n", or "NAME missing\n".
func (c *catFile) next(name string) (object, error) {
	line, err := c.out.ReadString('\n')
	if err != nil {
		return object{}, fmt.Errorf("it ended early: %w", err)
	}
	line = strings.TrimSuffix(line, "\n")
	if line == name+" missing" || line == name+" ambiguous" {
		return object{id: name}, nil
	}
	fields := strings.Split(line, " ")
	if len(fields) != 3 {
		return object{}, fmt.Errorf("unknown answer %q", line)
	}
	o := object{id: fields[0], kind: fields[1]}
	if o.size, err = strconv.ParseInt(fields[2], 10, 64); err != nil {
		return object{}, fmt.Errorf("unknown answer %q", line)
	}
	if o.size > maxObject {
		_, err = io.CopyN(io.Discard, c.out, o.size+1)
		return o, err
	}
	n := int(o.size) + 1 // a newline follows
	if cap(c.buf) < n {
		c.buf = make([]byte, n+n/4)
	}
	if _, err := io.ReadFull(c.out, c.buf[:n]); err != nil {
		return object{}, fmt.Errorf("it ended early: %w", err)
	}
	o.data = c.buf[: n-1 : n-1]
	return o, nil
}

package aursync

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/caur-build/caur/internal/childproc"
	"github.com/caur-build/caur/internal/git"
)

// objects reads the objects of a repository through one `git cat-file --batch`.
type objects struct {
	in, from *os.File
	out      *bufio.Reader
	done     chan error
}

func openObjects(ctx context.Context, repo git.Repo) (*objects, error) {
	inRead, inWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start git cat-file: %w", err)
	}
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start git cat-file: %w", err), inRead.Close(), inWrite.Close())
	}
	o := &objects{in: inWrite, from: outRead, out: bufio.NewReaderSize(outRead, 64<<10), done: make(chan error, 1)}
	cmd := repo.Command("cat-file", "--batch")
	cmd.Stdin, cmd.Stdout = inRead, outWrite
	go func() { o.done <- errors.Join(childproc.Run(ctx, cmd), inRead.Close(), outWrite.Close()) }()
	return o, nil
}

// close ends git, and says how that went.
func (o *objects) close() error {
	err := o.in.Close()
	_ = o.from.Close() // it may be about to write what nobody reads
	return errors.Join(<-o.done, err)
}

// lostError says that git itself failed: nothing more can be read.
type lostError struct{ err error }

func (e *lostError) Error() string { return "git cat-file: " + e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// read gives an object of a kind that has at most so many bytes. Its size is known, and refused, before it is read.
func (o *objects) read(id, kind string, most int64) ([]byte, error) {
	if _, err := o.in.WriteString(id + "\n"); err != nil {
		return nil, &lostError{err}
	}
	head, err := o.out.ReadString('\n')
	if err != nil {
		return nil, &lostError{err}
	}
	fields := strings.Fields(head)
	if len(fields) == 2 && fields[1] == "missing" {
		return nil, fmt.Errorf("git has no object %.12s", id)
	}
	if len(fields) != 3 {
		return nil, &lostError{fmt.Errorf("unexpected line %.80q", head)}
	}
	size, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return nil, &lostError{fmt.Errorf("unexpected line %.80q", head)}
	}
	if fields[1] != kind || size > most {
		if _, err := io.CopyN(io.Discard, o.out, size+1); err != nil {
			return nil, &lostError{err}
		}
		if fields[1] != kind {
			return nil, fmt.Errorf("object %.12s is a %s, not a %s", id, fields[1], kind)
		}
		return nil, fmt.Errorf("object %.12s has %d bytes, more than the %d that are left", id, size, most)
	}
	data := make([]byte, size+1) // with the line break after it
	if _, err := io.ReadFull(o.out, data); err != nil {
		return nil, &lostError{err}
	}
	return data[:size:size], nil
}

package builder_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// wire is a way to a server that can be cut: what goes through it breaks, and nothing new gets through until it is mended.
type wire struct {
	addr, to string
	tried    chan struct{} // holds one when somebody tried while it was cut

	mu    sync.Mutex
	dead  bool
	conns map[net.Conn]bool
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{addr: l.Addr().String(), to: to, tried: make(chan struct{}, 1), conns: make(map[net.Conn]bool)}
	t.Cleanup(func() {
		l.Close()
		w.cut()
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.carry(c)
		}
	}()
	return w
}

func (w *wire) carry(in net.Conn) {
	defer in.Close()
	if !w.hold(in) {
		select {
		case w.tried <- struct{}{}:
		default:
		}
		return
	}
	defer w.drop(in)
	out, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer out.Close()
	if !w.hold(out) {
		return
	}
	defer w.drop(out)
	go func() {
		_, _ = io.Copy(out, in)
		out.Close()
	}()
	_, _ = io.Copy(in, out)
}

func (w *wire) hold(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.dead {
		w.conns[c] = true
	}
	return !w.dead
}

func (w *wire) drop(c net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c)
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
	for c := range w.conns {
		c.Close()
	}
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = false
	select {
	case <-w.tried:
	default:
	}
}

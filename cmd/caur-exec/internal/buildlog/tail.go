package buildlog

import "fmt"

// tail keeps the last tailSize bytes of what it is given.
type tail struct {
	ring  []byte
	next  int   // where the next byte goes, once the ring is full
	total int64 // bytes given
}

func (t *tail) add(p []byte) int {
	n := len(p)
	t.total += int64(n)
	p = p[max(0, n-tailSize):]
	if free := tailSize - len(t.ring); free > 0 {
		k := min(free, len(p))
		t.ring, p = append(t.ring, p[:k]...), p[k:]
	}
	for len(p) > 0 {
		k := copy(t.ring[t.next:], p)
		t.next, p = (t.next+k)%tailSize, p[k:]
	}
	return n
}

// appendTo adds the kept bytes to b, after a line that says what is missing.
func (t *tail) appendTo(b []byte) []byte {
	if missing := t.total - int64(len(t.ring)); missing > 0 {
		b = fmt.Appendf(b, "\n[caur: %d bytes are left out here]\n", missing)
	}
	b = append(b, t.ring[t.next:]...)
	return append(b, t.ring[:t.next]...)
}

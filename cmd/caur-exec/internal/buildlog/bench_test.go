package buildlog

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

// compilerOutput is text as builds print it, n bytes: long lines that repeat with small differences.
func compilerOutput(n int) []byte {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "\x1b[32m[%5d/9731]\x1b[0m Building CXX object src/core/CMakeFiles/core.dir/module_%x/file_%d.cpp.o -O2 -fstack-protector-strong -Wall\n", i, i*2654435761, i%997)
	}
	return []byte(b.String()[:n])
}

// BenchmarkWrite is one build that prints as fast as it can; the goal is 50 MB/s.
func BenchmarkWrite(b *testing.B) {
	for _, text := range []struct {
		name string
		data []byte
	}{{"compiler", compilerOutput(16 << 20)}, {"noise", []byte(noise(16 << 20))}} {
		b.Run(text.name, func(b *testing.B) {
			s, server := newStore(b, Options{})
			b.SetBytes(int64(len(text.data)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				k := Key{"p", int64(i)}
				w := openWriter(b, s, k)
				for rest := text.data; len(rest) > 0; {
					n := min(len(rest), 8<<10)
					if _, err := w.Write(rest[:n]); err != nil {
						b.Fatal(err)
					}
					rest = rest[n:]
				}
				end(b, w, 0)
				b.StopTimer()
				if i == 0 {
					b.ReportMetric(float64(server.Client().MemoryUsage(b.Context(), dataKey(k), 0).Val())/float64(len(text.data)), "redis-bytes/byte")
				}
				server.Client().Del(b.Context(), scriptKeys(k)...)
				b.StartTimer()
			}
		})
	}
}

// BenchmarkFollow2000 is 2,000 followers of one log that grows by 4 MiB.
func BenchmarkFollow2000(b *testing.B) {
	const followers = 2000
	s, server := newStore(b, Options{})
	data := compilerOutput(4 << 20)
	b.SetBytes(followers * int64(len(data)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		k := Key{"p", int64(i)}
		w := openWriter(b, s, k)
		var done sync.WaitGroup
		for range followers {
			f := follow(b, s, k, 0)
			done.Go(func() {
				n, err := io.Copy(io.Discard, f)
				if err != nil || n != int64(len(data)) {
					b.Errorf("follower got %d bytes, %v", n, err)
				}
				_ = f.Close()
			})
		}
		if _, err := w.Write(data); err != nil {
			b.Fatal(err)
		}
		end(b, w, 0)
		done.Wait()
		server.Client().Del(b.Context(), scriptKeys(k)...)
	}
}

// BenchmarkReadFinished is one reader of a finished log of 64 MiB.
func BenchmarkReadFinished(b *testing.B) {
	s, _ := newStore(b, Options{})
	data := compilerOutput(64 << 20)
	w := openWriter(b, s, zlib)
	if _, err := w.Write(data); err != nil {
		b.Fatal(err)
	}
	end(b, w, 0)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if n, err := io.Copy(io.Discard, follow(b, s, zlib, 0)); err != nil || n != int64(len(data)) {
			b.Fatalf("read %d bytes, %v", n, err)
		}
	}
}

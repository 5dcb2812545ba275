package sim

import (
	"bytes"
	"flag"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

var (
	seeds = flag.Int("seeds", 0, "how many seeds; 0 means a number that suits the kind of run")
	from  = flag.Uint64("from", 1, "the first seed")
)

// TestSimulation runs the seeds, as many at once as there are processors.
func TestSimulation(t *testing.T) {
	n := *seeds
	switch {
	case n > 0:
	case raceEnabled:
		n = 40
	case testing.Short():
		n = 100
	default:
		n = 400
	}
	var done atomic.Uint64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() { // the end of a bubble that failed is that of the goroutine
			for !t.Failed() {
				i := done.Add(1)
				if i > uint64(n) {
					return
				}
				one(t, *from+i-1, n == 1 && testing.Verbose())
			}
		})
	}
	wg.Wait()
	t.Logf("%d seeds from %d: %s", n, *from, &sums)
}

// TestSameSeedSameRun compares the traces of two runs, byte by byte.
func TestSameSeedSameRun(t *testing.T) {
	n := uint64(40)
	if testing.Short() || raceEnabled {
		n = 10
	}
	for seed := *from; seed < *from+n; seed++ {
		a, b := one(t, seed, false), one(t, seed, false)
		if !bytes.Equal(a, b) {
			at := 0
			for at < min(len(a), len(b)) && a[at] == b[at] {
				at++
			}
			t.Fatalf("seed %d: the runs part after %d bytes:\n%s\n---\n%s", seed, at, excerpt(a, at), excerpt(b, at))
		}
	}
}

func excerpt(b []byte, at int) []byte { return b[max(0, at-600):min(len(b), at+300)] }

// one runs a seed in a bubble of virtual time, and returns its trace.
func one(t *testing.T, seed uint64, show bool) (trace []byte) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, seed)
		defer func() {
			trace = w.log.Bytes()
			if p := recover(); p != nil {
				if _, planned := p.(failure); !planned {
					panic(fmt.Sprintf("seed %d: %v\n%s", seed, p, excerpt(trace, len(trace))))
				}
			}
			w.end()
			if show {
				t.Logf("%s", trace)
			}
			if w.failed != "" {
				t.Errorf("seed %d: %s\nlast of all:\n%s\nagain: go test ./internal/sim -run 'TestSimulation$' -seeds 1 -from %d -v", seed, w.failed, excerpt(trace, len(trace)), seed)
			}
		}()
		w.run()
	})
	return trace
}

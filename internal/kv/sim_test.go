package kv

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/theseus-run/theseus/internal/disk"
	"github.com/theseus-run/theseus/internal/disk/simdisk"
)

// A world is one run of the simulation: a disk, one process after the other on it,
// and what may be found on it.
type world struct {
	t     *testing.T
	seed  uint64
	r     *rand.Rand
	d     *simdisk.Disk
	syncs bool // they may fail
	mood  int  // one operation of the disk in that many goes wrong; 0 for none
	calm  bool // no sync fails either

	now   string          // what the process has that runs
	tried map[string]bool // what a kill may have left instead: a change in progress or refused
	power map[string]bool // what a loss of power may leave
}

// TestSimulation lets everything go wrong in an order that a seed decides, then lets
// nothing go wrong any more. KV_SIM_SEEDS is how many seeds; KV_SIM_SEED is one that
// is to be seen again.
func TestSimulation(t *testing.T) {
	seeds, first := 300, 0
	if testing.Short() {
		seeds = 60
	}
	if n, err := strconv.Atoi(os.Getenv("KV_SIM_SEEDS")); err == nil {
		seeds = n
	}
	if n, err := strconv.Atoi(os.Getenv("KV_SIM_SEED")); err == nil {
		seeds, first = 1, n
	}
	for seed := range uint64(seeds) {
		seed += uint64(first)
		w := &world{t: t, seed: seed, r: rand.New(rand.NewPCG(seed, 9)), power: map[string]bool{"": true}, tried: map[string]bool{}}
		w.d = simdisk.New([]simdisk.Model{simdisk.Strict, simdisk.Ordered}[seed%2])
		// The name of the folder cannot be made anew when its sync fails.
		if w.syncs = seed%3 > 0; w.syncs {
			_, err := disk.EnsureDir(w.d.Process(), "kv", 0o700)
			must(t, err)
		}
		for range 6 {
			w.mood = []int{0, 15, 40, 150}[w.r.IntN(4)]
			w.process()
		}
		w.mood, w.calm = 0, true
		w.process()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// process is the life of one process, and its end.
func (w *world) process() {
	proc := w.d.Process()
	var p *disk.Pointed
	p = disk.Points(proc, func(op disk.Op) error {
		switch n := w.mood; {
		case n == 0:
		case w.r.IntN(4*n) == 0:
			p.Kill()
		case w.r.IntN(n) == 0:
			return disk.ErrInjected
		}
		return nil
	})
	if w.syncs && w.mood == 0 && w.r.IntN(3) > 0 && !w.calm { // nothing helps against this and more at the same time
		w.d.FailSync(1 + w.r.IntN(10))
	}
	var s *Store
	dead := p.Survive(func() {
		if s = w.open(p); s == nil {
			return
		}
		for range 30 {
			w.step(s)
		}
		if w.r.IntN(3) == 0 && s.Close() == nil {
			w.power = map[string]bool{w.now: true}
		}
	})
	w.d.FailSync(0)
	if s != nil {
		abandon(s)
	}
	proc.Kill()
	switch {
	case w.mood == 0 && dead:
		w.t.Error("killed without a reason")
	case w.r.IntN(2) == 0: // the power fails as well
		w.tried[w.now] = true
		for state := range w.tried {
			w.power[state] = true
		}
		w.d = w.d.Crash(w.r.Uint64())
		w.found(w.power)
		w.power = map[string]bool{w.now: true}
	default:
		w.tried[w.now] = true
		w.found(w.tried)
		for state := range w.tried {
			w.power[state] = true
		}
	}
	w.tried = map[string]bool{}
}

// found looks at a copy of the disk: what it has must be among what may be.
func (w *world) found(may map[string]bool) {
	p := w.d.Process()
	s, err := Open(p, "kv", byHand)
	if err != nil {
		w.t.Fatalf("seed %d: %v", w.seed, err)
	}
	got := content(s)
	if r := s.Recovered(); !may[got] || r.Damaged != nil || r.Missing {
		w.t.Fatalf("seed %d: found %q, want one of %v; %+v", w.seed, got, may, r)
	}
	w.now = got
	abandon(s)
	p.Kill()
}

// open opens the store; on a disk that fails it may be that nothing helps.
func (w *world) open(f disk.FS) *Store {
	for range 50 {
		s, err := Open(f, "kv", byHand)
		if err != nil {
			if w.calm {
				w.t.Fatalf("seed %d: %v", w.seed, err)
			}
			continue
		}
		if got := content(s); got != w.now {
			abandon(s)
			w.t.Fatalf("seed %d: opened with %q, want %q", w.seed, got, w.now)
		}
		return s
	}
	return nil
}

// step does something with the store, and the same with one in memory.
func (w *world) step(s *Store) {
	key, key2 := fmt.Sprint("k", w.r.IntN(5)), fmt.Sprint("k", w.r.IntN(5))
	n, kind := w.r.IntN(1000), w.r.IntN(12)
	do := func(s *Store) error {
		switch kind {
		case 0, 1:
			_, err := s.Remove(key)
			return err
		case 2, 3:
			_, err := s.Incr(key, 1)
			return err
		case 4, 5:
			var b Batch
			b.Set(key, fmt.Appendf(nil, "%d", n), time.Hour)
			b.Delete(key2)
			b.SetVersion("v", uint64(n))
			return s.Apply(&b)
		case 6:
			return s.Compact()
		case 7:
			return s.Sync()
		}
		return s.Set(key, fmt.Appendf(nil, "%d", n), 0)
	}
	model := s.Fork()
	if err := do(model); err != nil {
		w.t.Fatalf("seed %d, in memory: %v", w.seed, err)
	}
	next := content(model)
	w.tried[next] = true
	err := do(s)
	switch got := content(s); {
	case err == nil && got != next, err != nil && got != w.now:
		w.t.Fatalf("seed %d, kind %d (%v): %s, want %s or before %s", w.seed, kind, err, got, next, w.now)
	case err != nil && w.calm:
		w.t.Fatalf("seed %d: %v", w.seed, err)
	case err != nil:
		w.power[next] = true
		return // it may be there after all, until another change is made
	}
	w.now = next
	w.tried = map[string]bool{}
	if w.power[next] = true; kind == 6 || kind == 7 {
		w.power = map[string]bool{next: true}
	}
}

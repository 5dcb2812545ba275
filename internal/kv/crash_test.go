package kv

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/theseus-run/theseus/internal/disk"
	"github.com/theseus-run/theseus/internal/disk/simdisk"
)

// A life is what a process does with a store, and what is known of it afterwards.
type life struct {
	t      *testing.T
	store  *Store
	states []string // the content after each change that returned without an error
	synced int      // the state of the last Sync that returned without an error
	next   string   // what the change in progress leads to; empty for none
	failed int

	// refused is what the last change would have led to, if that failed. It may be
	// there after all when it could not be taken back either.
	refused string
}

// steps are what a process does. What each leads to is found out with a store in
// memory.
var steps = []func(s *Store) error{
	func(s *Store) error { return s.Set("a", []byte("1"), 0) },
	func(s *Store) error { return s.Set("b", []byte("2"), time.Hour) },
	(*Store).Sync,
	func(s *Store) error { _, err := s.Incr("a", 1); return err },
	func(s *Store) error {
		var b Batch
		b.Set("c", []byte(`"a longer text, so that it may be torn"`), 0)
		b.Delete("b")
		b.Set("a", []byte("10"), 0)
		b.SetVersion("orders", 2)
		return s.Apply(&b)
	},
	func(s *Store) error { _, err := s.Remove("c"); return err },
	(*Store).Compact,
	func(s *Store) error { _, err := s.CAS("a", []byte("10"), []byte("11")); return err },
	(*Store).Sync,
	func(s *Store) error { return s.Set("d", []byte("4"), 0) },
	func(s *Store) error { return s.Set("e", []byte("5"), 0) },
	(*Store).Compact,
	func(s *Store) error { return s.Set("f", []byte("6"), 0) },
	(*Store).Close,
}

// live runs the steps. A step may fail: then the store must have in memory what it
// had before, and goes on.
func (l *life) live(f disk.FS, opt Options) {
	for l.store == nil {
		s, err := Open(f, "kv", opt)
		if err != nil {
			if l.failed++; l.failed > 10 {
				l.t.Fatalf("it cannot be opened: %v", err)
			}
			continue // as a process that is started again
		}
		l.store = s
	}
	l.states = append(l.states, content(l.store))
	for i, step := range steps {
		before := content(l.store)
		model := l.store.Fork()
		err := step(model)
		if err != nil {
			l.t.Fatalf("step %d in memory: %v", i, err)
		}
		l.next = content(model)
		err = step(l.store)
		got, want := content(l.store), l.next
		if err != nil {
			l.failed++
			want = before
			if l.next != before {
				l.refused = l.next
			}
		}
		l.next = ""
		if got != want {
			l.t.Fatalf("step %d (%v): %s, want %s", i, err, got, want)
		}
		if got != before {
			l.states = append(l.states, got)
			l.refused = ""
		}
		if err == nil && (i == 2 || i == 6 || i == 8 || i == 11 || i == 13) {
			l.synced = len(l.states) - 1
		}
	}
}

// may returns the contents that a crash may leave at this moment.
func (l *life) may(power bool) map[string]bool {
	may := map[string]bool{}
	from := len(l.states) - 1
	if power {
		from = l.synced
	}
	if len(l.states) == 0 {
		may[""] = true
	}
	for i := max(0, from); i < len(l.states); i++ {
		may[l.states[i]] = true
	}
	for _, state := range []string{l.next, l.refused} {
		if state != "" {
			may[state] = true
		}
	}
	return may
}

// opens checks what is on a disk after a crash, and that it can be gone on with.
func opens(t *testing.T, what string, d *simdisk.Disk, may map[string]bool) {
	t.Helper()
	seeds := 0
	if _, all := d.States(1); all { // nothing is in doubt
		seeds = 6
	}
	p := d.Process()
	s, err := Open(p, "kv", byHand)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	got := content(s)
	if !may[got] {
		t.Fatalf("%s: found %q, want one of %v", what, got, may)
	}
	if r := s.Recovered(); r.Damaged != nil || r.Missing {
		t.Errorf("%s: called damaged: %+v", what, r)
	}
	abandon(s)
	p.Kill()
	p = d.Process()
	if s, err = Open(p, "kv", byHand); err != nil {
		t.Fatalf("%s, the second time: %v", what, err)
	}
	if again := content(s); again != got {
		t.Fatalf("%s, the second time: %s, want %s", what, again, got)
	}
	set(t, s, "z", "1")
	want := content(s)
	for seed := range uint64(seeds) { // what was cut must not come back
		c, err := Open(d.Crash(seed).Process(), "kv", byHand)
		must(t, err)
		if now := content(c); now != got && now != want {
			t.Fatalf("%s, and power lost again: %s, want %s or %s", what, now, got, want)
		}
		must(t, c.Close())
	}
	must(t, s.Close())
	if s, err = Open(d.Crash(0).Process(), "kv", byHand); err != nil {
		t.Fatal(err)
	}
	if got := content(s); got != want {
		t.Fatalf("%s, gone on with: %s, want %s", what, got, want)
	}
	must(t, s.Close())
	list, err := p.ReadDir("kv")
	must(t, err)
	if len(list) != 3 {
		t.Errorf("%s: left behind %v", what, list)
	}
}

// points counts the operations of a whole life.
func points(t *testing.T, model simdisk.Model, opt Options) int {
	p := disk.Points(simdisk.New(model).Process(), nil)
	l := life{t: t}
	l.live(p, opt)
	return p.Ops()
}

// The power fails, or the process is killed, on both sides of each operation.
func TestCrashAtEachPoint(t *testing.T) {
	limit := 40
	if testing.Short() {
		limit = 8
	}
	eachWay(t, func(t *testing.T, shared bool, model simdisk.Model) {
		cases := 0
		for at := 1; ; at++ {
			died := false
			for _, phase := range []disk.Phase{disk.Before, disk.After} {
				d := simdisk.New(model)
				proc := d.Process()
				l := life{t: t}
				var p *disk.Pointed
				var what string
				p = disk.Points(proc, func(op disk.Op) error {
					if op.Index != at || op.Phase != phase {
						return nil
					}
					what = fmt.Sprintf("%s, %s %s of %s (%d)", model, phase, op.Kind, op.Name, at)
					states, _ := d.States(limit)
					for c := range states {
						cases++
						opens(t, "power lost "+what, c, l.may(true))
					}
					p.Kill()
					return nil
				})
				opt := byHand
				opt.Shared = shared
				dead := p.Survive(func() { l.live(p, opt) })
				if l.store != nil {
					abandon(l.store)
				}
				if died = dead; !dead {
					break
				}
				proc.Kill()
				cases++
				opens(t, "killed "+what, d, l.may(false))
			}
			if !died {
				t.Logf("shared %v, %s: %d points, %d cases", shared, model, at-1, cases)
				if at < 40 {
					t.Errorf("there are only %d points: the test sees too little", at)
				}
				break
			}
		}
	})
}

// eachWay runs a test for a store of one process and one that is shared, on both
// models of a disk.
func eachWay(t *testing.T, do func(t *testing.T, shared bool, model simdisk.Model)) {
	for _, shared := range []bool{false, true} {
		for _, model := range []simdisk.Model{simdisk.Strict, simdisk.Ordered} {
			t.Run(fmt.Sprintf("shared=%v,%s", shared, model), func(t *testing.T) {
				t.Parallel()
				do(t, shared, model)
			})
		}
	}
}

// Each operation fails in turn, once or from then on for a while, without having
// taken place or after it has. The store says so, goes on, and what it says it has
// is there after a kill and, as far as synced, after a loss of power.
func TestFailureAtEachPoint(t *testing.T) {
	seeds, runs := 5, []int{1, 2, 4}
	if testing.Short() {
		seeds, runs = 2, []int{1, 3}
	}
	eachWay(t, func(t *testing.T, shared bool, model simdisk.Model) {
		cases, failures := 0, 0
		opt := byHand
		opt.Shared = shared
		for at := range points(t, model, opt) {
			for _, phase := range []disk.Phase{disk.Before, disk.After} {
				for _, run := range runs {
					d := simdisk.New(model)
					proc := d.Process()
					var what string
					p := disk.Points(proc, func(op disk.Op) error {
						if op.Phase != phase || op.Index <= at || op.Index > at+run {
							return nil
						}
						what = fmt.Sprintf("%d from %s %s of %s (%d) fail", run, phase, op.Kind, op.Name, op.Index)
						return disk.ErrInjected
					})
					l := life{t: t}
					l.live(p, opt)
					abandon(l.store)
					proc.Kill()
					failures += l.failed
					for seed := range uint64(seeds) {
						cases++
						opens(t, fmt.Sprint(what, ", then power lost, seed ", seed), d.Crash(seed), l.may(true))
					}
					cases++
					opens(t, what+", then killed", d, l.may(false))
				}
			}
		}
		t.Logf("%d cases, %d steps failed", cases, failures)
	})
}

// An fsync that fails is never made good by one that succeeds on the same file.
func TestSyncFails(t *testing.T) {
	for _, model := range []simdisk.Model{simdisk.Strict, simdisk.Ordered} {
		for n := 1; n <= 20; n++ {
			d := simdisk.New(model)
			proc := d.Process()
			d.FailSync(n)
			l := life{t: t}
			l.live(proc, byHand)
			for seed := range uint64(30) {
				opens(t, fmt.Sprintf("%s, sync %d fails, seed %d", model, n, seed), d.Crash(seed), l.may(true))
			}
		}
	}
}

// What a Sync that succeeded says is so, whatever failed before it.
func TestSyncAfterFailure(t *testing.T) {
	for _, model := range []simdisk.Model{simdisk.Strict, simdisk.Ordered} {
		for n := 1; n <= 12; n++ {
			d := simdisk.New(model)
			s := mustOpen(t, d.Process(), byHand)
			d.FailSync(n)
			for i := range 6 {
				_ = s.Set(fmt.Sprint("k", i), []byte("1"), 0)
				if s.Sync() != nil {
					continue
				}
				want := content(s)
				for seed := range uint64(8) {
					c, err := Open(d.Crash(seed).Process(), "kv", byHand)
					must(t, err)
					if got := content(c); got != want {
						t.Fatalf("%s, sync %d failed: found %s, want %s", model, n, got, want)
					}
					must(t, c.Close())
				}
			}
		}
	}
}

// A process that could not sync leaves that to the next one, which does not take what
// the disk shows for what it has.
func TestSuspect(t *testing.T) {
	for _, shared := range []bool{false, true} {
		d := simdisk.New(simdisk.Strict)
		opt := byHand
		opt.Shared = shared
		refuse := false
		proc := d.Process()
		p := disk.Points(proc, func(op disk.Op) error {
			if refuse && op.Kind == disk.Create && op.Name == "kv/"+tempLog {
				return disk.ErrInjected
			}
			return nil
		})
		s := mustOpen(t, p, opt)
		set(t, s, "a", "1")
		var other *Store
		if shared {
			other = mustOpen(t, d.Process(), opt)
		}
		d.FailSync(1)
		refuse = true
		if err := s.Sync(); err == nil {
			t.Error("Sync succeeded")
		}
		abandon(s)
		proc.Kill()
		if !shared {
			other = mustOpen(t, d.Process(), opt)
		}
		set(t, other, "b", "2")
		must(t, other.Sync())
		c := mustOpen(t, d.Crash(0).Process(), byHand)
		if got := content(c); got != "a=1 b=2 " || c.log.distrusted() {
			t.Errorf("shared %v: after a sync and a loss of power: %s", shared, got)
		}
	}
}

// While the log cannot be trusted nothing is accepted, and Sync makes it good.
func TestRefusesWhileBroken(t *testing.T) {
	d := simdisk.New(simdisk.Strict)
	fail := false
	p := disk.Points(d.Process(), func(op disk.Op) error {
		if fail && op.Phase == disk.Before && (op.Kind == disk.Sync || op.Kind == disk.Create) {
			return disk.ErrInjected
		}
		return nil
	})
	s := mustOpen(t, p, byHand)
	set(t, s, "a", "1")
	fail = true
	for range 2 {
		if err := s.Sync(); !errors.Is(err, disk.ErrInjected) || !errors.Is(s.Err(), disk.ErrInjected) {
			t.Errorf("Sync = %v", err)
		}
	}
	if err := s.Set("a", []byte("2"), 0); !errors.Is(err, ErrNotSaved) {
		t.Errorf("Set = %v", err)
	}
	if get(s, "a") != "1" {
		t.Errorf("a = %s", get(s, "a"))
	}
	fail = false
	must(t, s.Sync())
	set(t, s, "a", "3")
	must(t, s.Sync())
	c := mustOpen(t, d.Crash(0).Process(), byHand)
	if get(c, "a") != "3" {
		t.Errorf("after a loss of power a = %s", get(c, "a"))
	}
}

// Changes that are made while the log is replaced are in the new one, as durable as
// all else once Compact has returned.
func TestChangesWhileCompacting(t *testing.T) {
	for _, model := range []simdisk.Model{simdisk.Strict, simdisk.Ordered} {
		for at := 1; at <= 12; at++ {
			d := simdisk.New(model)
			var s *Store
			began, made := 0, 0
			p := disk.Points(d.Process(), func(op disk.Op) error {
				if s == nil || began == 0 || op.Name != "kv/data.log.tmp-c" && op.Kind != disk.Rename {
					return nil
				}
				if began++; began-1 == at && s.w.TryLock() {
					s.w.Unlock() // it is between two steps, so there is nobody to wait for
					set(t, s, "during", fmt.Sprint(at))
					s.Delete("b")
					made++
				}
				return nil
			})
			s = mustOpen(t, p, byHand)
			set(t, s, "a", "1")
			set(t, s, "b", "1")
			began = 1
			must(t, s.Compact())
			began = 0
			want := content(s)
			for seed := range uint64(20) {
				c := mustOpen(t, d.Crash(seed).Process(), byHand)
				if got := content(c); got != want || c.Recovered().Damaged != nil {
					t.Fatalf("%s, %d changes at %d: found %s, want %s; %+v", model, made, at, got, want, c.Recovered())
				}
			}
			if at < 5 && made == 0 {
				t.Errorf("nothing was changed at %d", at)
			}
		}
	}
}

// A change was refused although its write took place, and was taken back; others
// were made in its stead. A loss of power that brings the first write back does not
// bring the others after it.
func TestRefusedThenLost(t *testing.T) {
	for _, model := range []simdisk.Model{simdisk.Strict, simdisk.Ordered} {
		d := simdisk.New(model)
		refuse := false
		s := mustOpen(t, disk.Points(d.Process(), func(op disk.Op) error {
			if refuse && op.Kind == disk.Write && op.Phase == disk.After {
				refuse = false
				return disk.ErrInjected
			}
			return nil
		}), byHand)
		set(t, s, "a", "1")
		must(t, s.Sync())
		refuse = true
		if err := s.Set("b", []byte("1"), 0); !errors.Is(err, ErrNotSaved) {
			t.Fatal(err)
		}
		set(t, s, "c", "1") // at the same place
		set(t, s, "d", "1")
		may := map[string]bool{"a=1 ": true, "a=1 b=1 ": true, "a=1 c=1 ": true, "a=1 c=1 d=1 ": true}
		for seed := range uint64(600) {
			o, err := Open(d.Crash(seed).Process(), "kv", byHand)
			must(t, err)
			if got := content(o); !may[got] {
				t.Errorf("%s, seed %d: found %s", model, seed, got)
			}
			must(t, o.Close())
		}
	}
}

// A change was refused and could not be taken back at once: Sync does not make it
// durable.
func TestRefusedThenSynced(t *testing.T) {
	d := simdisk.New(simdisk.Strict)
	refuse := false
	s := mustOpen(t, disk.Points(d.Process(), func(op disk.Op) error {
		if refuse && (op.Kind == disk.Write && op.Phase == disk.After || op.Kind == disk.Truncate) {
			return disk.ErrInjected
		}
		return nil
	}), byHand)
	set(t, s, "a", "1")
	refuse = true
	if err := s.Set("b", []byte("1"), 0); !errors.Is(err, ErrNotSaved) {
		t.Fatal(err)
	}
	if err := s.Sync(); !errors.Is(err, ErrNotSaved) {
		t.Errorf("Sync while it is there: %v", err)
	}
	refuse = false
	must(t, s.Sync())
	for seed := range uint64(50) {
		c := mustOpen(t, d.Crash(seed).Process(), byHand)
		if got := content(c); got != "a=1 " {
			t.Errorf("seed %d: found %s", seed, got)
		}
	}
}

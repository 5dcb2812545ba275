package update

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// A world carries out effects in memory: what is visible, and what a crash leaves.
type world struct {
	t       *testing.T
	m       *Machine
	durable []byte // the journal: the machine as it was committed last
	visible Version
	told    []Report
	next    int
	known   map[Version]bool
	floor   int64 // the highest counter that was permanent
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, m: &Machine{}, known: map[Version]bool{{}: true}}
	w.commit()
	return w
}

func (w *world) commit() {
	var err error
	if w.durable, err = json.Marshal(w.m); err != nil {
		w.t.Fatal(err)
	}
}

// step carries effects out, up to budget of them; then the process dies.
func (w *world) step(e Event, budget *int) error {
	effects, err := w.m.Step(e)
	if err != nil {
		return err
	}
	for _, f := range effects {
		if *budget--; *budget < 0 {
			return errDied
		}
		switch f.Do {
		case Commit:
			w.commit()
		case Swap:
			w.visible = w.m.Change.To
		case Revert:
			s := w.m.slot()
			w.visible = s.Live
		case Tell:
			w.told = append(w.told, f.Report)
		}
	}
	return nil
}

var errDied = errors.New("died")

// die loses all but what is durable, and starts again.
func (w *world) die(clean bool) {
	m := &Machine{}
	if err := json.Unmarshal(w.durable, m); err != nil {
		w.t.Fatal(err)
	}
	w.m = m
	plenty := 100
	if err := w.step(Restart{Clean: clean}, &plenty); err != nil {
		w.t.Fatal(err)
	}
	w.visible = w.m.Slot("app").Permanent
	w.check("restart")
	s := w.m.Slot("app")
	if w.m.at() != Idle || s.Trial != nil || s.Live != s.Permanent {
		w.t.Fatalf("after a restart: %+v", s)
	}
}

// check holds the invariants.
func (w *world) check(after string) {
	s := w.m.Slot("app")
	for _, v := range []Version{s.Live, s.Permanent, s.Anchor, w.visible} {
		if !w.known[v] {
			w.t.Fatalf("after %s: a version that nobody made: %+v", after, v)
		}
	}
	if s.Floor.Counter < w.floor || s.Floor.Counter < s.Permanent.Counter || s.Floor.Counter < s.Anchor.Counter {
		w.t.Fatalf("after %s: the floor is %d; it was %d, permanent has %d, the anchor %d", after, s.Floor.Counter, w.floor, s.Permanent.Counter, s.Anchor.Counter)
	}
	if c := w.m.Change; c != nil && c.Kind != KindRevert && c.To.Counter < s.Floor.Counter && !c.To.IsZero() && !c.Downgrade {
		w.t.Fatalf("after %s: %+v passed the floor %+v", after, c.To, s.Floor)
	}
	w.floor = max(w.floor, w.kept().Floor.Counter)
	if w.m.at() == Idle && w.visible != s.Live {
		w.t.Fatalf("after %s: %+v serves, and %+v is said to", after, w.visible, s.Live)
	}
	if (s.Trial == nil) != (s.Live == s.Permanent) && w.m.at() == Idle {
		w.t.Fatalf("after %s: trial %+v of %+v, permanent %+v", after, s.Trial, s.Live, s.Permanent)
	}
	if !reflect.DeepEqual(w.m, w.m.Clone()) {
		w.t.Fatal("Clone differs")
	}
}

// kept is the slot as a crash would leave it.
func (w *world) kept() Slot {
	m := &Machine{}
	if err := json.Unmarshal(w.durable, m); err != nil {
		w.t.Fatal(err)
	}
	return m.Slot("app")
}

// TestEveryWalk drives the machine at random, with a death after any effect, and
// holds the invariants after each event.
func TestEveryWalk(t *testing.T) {
	t.Parallel()
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	for seed := range rounds {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		w := newWorld(t)
		for range 60 {
			e := w.any(r)
			budget := 1000
			if r.IntN(8) == 0 {
				budget = r.IntN(4)
			}
			permanent := w.m.Slot("app").Permanent
			err := w.step(e, &budget)
			switch {
			case errors.Is(err, errDied):
				w.die(false)
			case err != nil:
				if w.m.Slot("app").Permanent != permanent {
					t.Fatalf("seed %d: %s failed and changed something", seed, e.name())
				}
			case r.IntN(20) == 0:
				w.die(r.IntN(2) == 0)
			}
			w.check(fmt.Sprintf("seed %d: %s", seed, e.name()))
		}
		w.die(false)
		w.audit(seed)
	}
}

// audit sees that each change that was begun has ended once, or has been live once
// and ended once.
func (w *world) audit(seed int) {
	ends := map[string][]Outcome{}
	for _, r := range w.told {
		ends[r.Change] = append(ends[r.Change], r.Outcome)
	}
	for id, all := range ends {
		rest := slices.DeleteFunc(slices.Clone(all), func(o Outcome) bool { return o == Live })
		if len(rest) > 1 || len(all)-len(rest) > 1 {
			w.t.Fatalf("seed %d: change %s ended as %v", seed, id, all)
		}
	}
}

// any makes an event that may or may not fit.
func (w *world) any(r *rand.Rand) Event {
	switch r.IntN(12) {
	case 0, 1, 2:
		w.next++
		c := Change{ID: fmt.Sprint("u", w.next), Kind: KindApp, Slot: "app", Source: fmt.Sprint("s", r.IntN(5)), Proven: r.IntN(6) == 0, Force: r.IntN(3) == 0, Downgrade: r.IntN(4) == 0}
		if r.IntN(5) == 0 {
			c.Kind = KindRollback
		}
		return Trigger{c}
	case 3:
		return Begin{}
	case 4:
		v := Version{Number: w.next, Digest: fmt.Sprint(w.next), Counter: r.Int64N(4)}
		w.known[v] = true
		return Prepared{To: v}
	case 5:
		return Synced{}
	case 6, 7:
		return Proceed{}
	case 8:
		if w.m.at() == Reverting {
			return Reverted{}
		}
		return Swapped{}
	case 9:
		return Failed{Why: "broken", Blame: r.IntN(2) == 0}
	case 10:
		return Proven{Slot: "app"}
	}
	return Misbehaved{Slot: "app", Why: "errors"}
}

// drive takes a change through all its phases.
func drive(t *testing.T, m *Machine, c Change, to Version) (did []Deed) {
	t.Helper()
	for _, e := range []Event{Trigger{c}, Begin{}, Prepared{To: to}, Proceed{}, Synced{}, Proceed{}, Swapped{}} {
		effects, err := m.Step(e)
		if err != nil {
			t.Fatalf("%s: %v", e.name(), err)
		}
		for _, f := range effects {
			did = append(did, f.Do)
		}
	}
	return did
}

func TestDeathsAreCounted(t *testing.T) {
	t.Parallel()
	m := &Machine{}
	drive(t, m, Change{ID: "u1", Slot: "app", Source: "good", Proven: true}, Version{Number: 1})
	for n := range MaxDeaths {
		drive(t, m, Change{ID: fmt.Sprint("bad", n), Slot: "app", Source: "bad"}, Version{Number: 2})
		if _, err := m.Step(Restart{}); err != nil {
			t.Fatal(err)
		}
		if got := m.Slot("app").Live.Number; got != 1 {
			t.Fatalf("version %d is live after a death, want 1", got)
		}
	}
	_, err := m.Step(Trigger{Change{Slot: "app", Source: "bad"}})
	if e, ok := errors.AsType[*HeldError](err); !ok || !strings.Contains(err.Error(), "2 processes died") {
		t.Errorf("a third try: %v %v", e, err)
	}
	if _, err := m.Step(Trigger{Change{Slot: "app", Source: "other"}}); err != nil {
		t.Errorf("another source: %v", err)
	}
}

func TestCleanEndIsNobodysFault(t *testing.T) {
	t.Parallel()
	m := &Machine{}
	drive(t, m, Change{ID: "u1", Slot: "app", Source: "good", Proven: true}, Version{Number: 1})
	for range 5 {
		drive(t, m, Change{ID: "u2", Slot: "app", Source: "new"}, Version{Number: 2})
		if _, err := m.Step(Restart{Clean: true}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGuards(t *testing.T) {
	t.Parallel()
	at := func(p Phase) *Machine { return &Machine{Phase: p, Change: &Change{Slot: "app", Ready: true}} }
	for _, c := range []struct {
		m    *Machine
		p    Proceed
		want string // empty: it proceeds
	}{
		{at(Preparing), Proceed{}, ""},
		{at(Preparing), Proceed{Guards{MaxLoad: 2}, Facts{Load: 1.9}}, ""},
		{at(Preparing), Proceed{Guards{MaxLoad: 2}, Facts{Load: 2}}, "preparing waits for max_load: the load is 2.00 per processor, to be below 2.00"},
		{at(Preparing), Proceed{Guards{MaxLatency: time.Second}, Facts{Latency: 999 * time.Millisecond}}, ""},
		{at(Preparing), Proceed{Guards{MaxLatency: time.Second}, Facts{Latency: time.Second}}, "preparing waits for max_latency: the 99th percentile of answers is 1s, to be below 1s"},
		{at(Syncing), Proceed{Facts: Facts{Workers: map[string]error{"a": nil}}}, ""},
		{at(Syncing), Proceed{Facts: Facts{Workers: map[string]error{"a": nil, "c": errors.New("no db"), "b": errors.New("cold")}}}, "syncing waits for workers: not healthy: b: cold; c: no db"},
	} {
		before := c.m.Clone()
		_, err := c.m.Step(c.p)
		if got := fmt.Sprint(err); got != c.want && !(err == nil && c.want == "") {
			t.Errorf("%+v: %v, want %q", c.p, err, c.want)
		}
		if err != nil && !reflect.DeepEqual(before, c.m) {
			t.Errorf("%+v: a guard changed the machine", c.p)
		}
	}
	if _, err := (&Machine{Phase: Preparing, Change: &Change{}}).Step(Proceed{}); err == nil {
		t.Error("a phase that is not done was left")
	}
}

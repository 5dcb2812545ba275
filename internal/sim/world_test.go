package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/theseus-run/theseus/internal/disk/simdisk"
	"github.com/theseus-run/theseus/internal/store"
	"github.com/theseus-run/theseus/internal/tree"
	"github.com/theseus-run/theseus/update"
)

// A world is one run of the simulation.
type world struct {
	seed   uint64
	log    bytes.Buffer
	failed string

	r     *rand.Rand // what happens
	disk  *rand.Rand // what goes wrong on the disk
	d     *simdisk.Disk
	wx    *weather
	space bool // the disk has little of it
	clock wallClock
	n     *node // the process that owns the app; nil for none
	all   []*node

	limit    int64 // of the journal
	keep     int
	patience time.Duration
	busy     int // how often a guard holds a change up

	journal  journal
	promised promises
	data     data
	attempts map[string]*attempt
	order    []string
	excused  map[string]bool // changes whose line could not be written
	trees    map[string]*tree.Tree
	drawn    int
	flipped  []string // files that a bit was flipped in
	started  int
	faults   int
}

// failure is what fail panics with.
type failure struct{}

// fail ends the run: something is not as it must be.
func (w *world) fail(format string, args ...any) {
	if w.failed == "" {
		w.failed = fmt.Sprintf(format, args...)
	}
	panic(failure{})
}

func (w *world) trace(format string, args ...any) {
	fmt.Fprintf(&w.log, "%s  ", time.Now().UTC().Format("02 15:04:05.000"))
	fmt.Fprintf(&w.log, format+"\n", args...)
}

// sums tell what all runs together have seen, so that one that sees too little shows.
var sums sum

type sum struct{ events, faults, kills, cuts, flips, jumps, changes, handovers, runs atomic.Int64 }

func (s *sum) String() string {
	return fmt.Sprintf("%d events, %d faults, %d kills, %d losses of power, %d flips, %d jumps of the clock, %d changes, %d handovers, %d runs of jobs",
		s.events.Load(), s.faults.Load(), s.kills.Load(), s.cuts.Load(), s.flips.Load(), s.jumps.Load(), s.changes.Load(), s.handovers.Load(), s.runs.Load())
}

func newWorld(_ *testing.T, seed uint64) *world {
	w := &world{seed: seed, r: rand.New(rand.NewPCG(seed, 1)), disk: rand.New(rand.NewPCG(seed, 2)), wx: &weathers[0],
		attempts: map[string]*attempt{}, excused: map[string]bool{}, trees: map[string]*tree.Tree{}, patience: 125 * time.Millisecond,
		journal: journal{may: []string{"{}"}}, promised: promises{may: []update.Version{{}}, numbers: map[int]string{}}, data: data{now: map[string]string{}}}
	w.d = simdisk.New(some(w.r, simdisk.Strict, simdisk.Ordered))
	w.limit = some[int64](w.r, 1<<10, 4<<10, 16<<10, 1<<20)
	w.keep = 1 + w.r.IntN(4)
	w.clock.by = time.Until(some(w.r, beginnings...)) + time.Duration(w.r.IntN(3600))*time.Second
	return w
}

// run lets things go wrong, and then right.
func (w *world) run() {
	w.start()
	for range 40 + w.r.IntN(60) {
		w.event()
		sums.events.Add(1)
		w.collect()
		w.check()
	}
	w.heal()
	w.collect()
	sums.faults.Add(int64(w.faults))
	sums.jumps.Add(int64(w.clock.jumps))
}

// end lets go of what runs.
func (w *world) end() {
	for _, n := range slices.Clone(w.all) {
		n.end()
	}
}

// still lets nothing go wrong until what it returns is called.
func (w *world) still() (back func()) {
	was := w.wx
	w.wx = &weathers[0]
	return func() { w.wx = was }
}

// event is one thing that happens.
func (w *world) event() {
	switch x := w.r.IntN(100); {
	case w.n == nil:
		w.start()
	case x < 22:
		w.update()
	case x < 34:
		w.verdict()
	case x < 40:
		w.rollback()
	case x < 44:
		w.handover()
	case x < 60:
		w.write()
	case x < 74:
		w.pass()
	case x < 84:
		w.turn()
	case x < 90:
		w.setClock()
	case x < 92:
		w.flip()
	case x < 94:
		w.keep = 1 + w.r.IntN(4)
		w.n.st.Retain(w.keep)
	case x < 96:
		w.trace("event: the process ends by itself")
		w.leave()
	default:
		w.n.fs.kill("out of the blue")
	}
	if n := w.n; n != nil && n.fs.dead {
		w.died(w.r.IntN(2) == 0)
	}
}

// start starts the service until it runs, or for this time gives up.
func (w *world) start() {
	for range 20 {
		n, err := w.boot()
		if err == nil {
			w.trace("started: %s", text(n.st.Machine()))
			w.n = n
			return
		}
		w.trace("not started: %v", err)
		if errors.Is(err, errDead) {
			w.ended(w.r.IntN(2) == 0)
		}
		time.Sleep(time.Second)
	}
	w.turn()
}

// died is the end of the process that owns the app, maybe with that of the power.
func (w *world) died(power bool) {
	n := w.n
	w.n = nil
	n.end()
	w.ended(power)
}

func (w *world) ended(power bool) {
	sums.kills.Add(1)
	if !power {
		return
	}
	sums.cuts.Add(1)
	seed := w.r.Uint64()
	w.trace("the power fails: %x", seed)
	w.d = w.d.Crash(seed)
	if w.space {
		w.d.SetSpace(0)
	}
	w.journal.power, w.data.power = true, true
	for _, a := range w.attempts {
		a.lost = true
	}
}

// leave ends the process in an orderly way.
func (w *world) leave() {
	n := w.n
	n.beat.account()
	n.beat.stop()
	n.beat = nil
	if n.kv.Close() == nil && !n.fs.dead {
		w.data.synced()
	}
	err := n.st.Close()
	if n.fs.dead {
		err = errDead
	}
	w.journal.wrote(n.st.Machine(), true, err)
	w.died(w.r.IntN(3) == 0)
}

// turn changes the weather.
func (w *world) turn() {
	w.wx = &weathers[0]
	if w.r.IntN(2) > 0 {
		w.wx = &weathers[w.r.IntN(len(weathers))]
	}
	w.space = w.r.IntN(8) == 0
	w.d.SetSpace(-1)
	if w.space {
		w.d.SetSpace(w.r.Int64N(64 << 10))
	}
	w.trace("event: weather %+v, little space %t", *w.wx, w.space)
}

// pass lets time pass.
func (w *world) pass() {
	d := time.Duration(w.r.Int64N(int64(some(w.r, time.Second, time.Minute, 20*time.Minute, 5*time.Hour))))
	w.trace("event: %s pass", d)
	time.Sleep(d)
}

func (w *world) collect() {
	n := w.n
	if n == nil || n.beat == nil {
		return
	}
	if ended := n.beat.collect(); ended > 0 {
		sums.runs.Add(int64(ended))
		_ = n.st.Append("runs", map[string]any{"ended": ended, "at": w.clock.now()})
	}
	if w.n.fs.dead {
		w.died(w.r.IntN(2) == 0)
	}
}

// setClock sets the clock of the machine.
func (w *world) setClock() {
	w.collect()
	if w.n == nil {
		return
	}
	switch x := w.r.IntN(8); x {
	case 0, 1:
		w.clock.stop(x == 0)
		w.trace("event: the clock is stopped: %t", x == 0)
	default:
		by := some(w.r, jumpsOf...)
		w.trace("event: the clock is set by %s", by)
		w.clock.jump(by)
		if by < -3*time.Hour { // cron begins anew
			clear(w.n.beat.row.last)
		}
	}
	time.Sleep(2 * time.Minute) // each jump is seen for itself
}

// flip changes a bit of a file at rest that the journal does not have.
func (w *world) flip() {
	if w.journal.acked != len(w.journal.may)-1 || len(w.flipped) > 2 {
		return
	}
	all := w.n.st.List()
	if len(all) == 0 {
		return
	}
	e := some(w.r, some(w.r, all...).Files...)
	name := "objects/" + e.Digest[:2] + "/" + e.Digest[2:]
	if e.Size == 0 || w.d.Flip(name, w.r.Int64N(8*e.Size)) != nil {
		return
	}
	w.trace("event: a bit of %s is flipped", name)
	w.flipped = append(w.flipped, name)
	sums.flips.Add(1)
}

// facts hold a change up while the machine is busy.
func (w *world) facts() update.Facts {
	if w.busy > 0 {
		w.busy--
		return update.Facts{Load: 2}
	}
	return update.Facts{}
}

// drawTree returns files of an app: mostly new ones.
func (w *world) drawTree() *tree.Tree {
	n := w.drawn
	if n > 0 && w.r.IntN(4) == 0 {
		n = w.r.IntN(n)
	} else {
		w.drawn++
	}
	files := map[string]string{"handlers/f.js": fmt.Sprint("export default () => ", n), "config/v.yaml": fmt.Sprintln("n:", n%3)}
	if n%7 == 3 { // too large for the journal
		files["table.json"] = strings.Repeat(fmt.Sprint(n), 66<<10)
	}
	t := tree.Of(files)
	w.trees[t.Digest()] = t
	return t
}

// attempt begins the account of a change.
func (w *world) attempt(kind update.Kind, plan string) *attempt {
	a := &attempt{id: fmt.Sprint("c", len(w.order)+1), kind: kind, plan: plan}
	w.attempts[a.id] = a
	w.order = append(w.order, a.id)
	sums.changes.Add(1)
	return a
}

// plans are where a change fails by itself; most do not.
var plans = []string{"", "", "", "", "", "prepare", "prepare blamed", "sync", "sync blamed", "swap", "swap blamed", "prepare canceled", "sync canceled", "prepare rival", "swap rival"}

// update is a caller who wants an app changed, and asks again when the answer is
// lost, as long as what is live is what was expected.
func (w *world) update() {
	expect := w.n.st.Machine().Slot(store.AppSlot).Live
	t, plan, proven := w.drawTree(), some(w.r, plans...), w.r.IntN(4) == 0
	for {
		w.busy = max(0, w.r.IntN(8)-4)
		err := w.apply(update.KindApp, t, 0, plan, proven, w.r.IntN(2) == 0)
		if w.n.fs.dead || err != nil || w.r.IntN(6) > 0 {
			return
		}
		w.trace("the answer is lost: it is asked again")
		if live := w.n.st.Machine().Slot(store.AppSlot).Live; live != expect {
			return // a conflict: somebody was quicker, maybe the caller
		}
		plan = ""
	}
}

// apply carries a change through, and checks the answer.
func (w *world) apply(kind update.Kind, t *tree.Tree, number int, plan string, proven, force bool) error {
	n := w.n
	a := w.attempt(kind, plan)
	a.source = t.Digest()
	first := n.st.Machine().Slot(store.AppSlot).Permanent.IsZero()
	a.proving = proven || first
	a.blamed = strings.HasPrefix(plan, "swap")
	w.trace("event: %s %s %.8s as %q, number %d, proven %t, force %t", a.id, kind, a.source, plan, number, proven, force)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	before := n.visible
	err := n.run.Do(ctx, update.Change{ID: a.id, Kind: kind, Slot: store.AppSlot, Trigger: "api", Source: a.source, Proven: proven, Force: force},
		&version{n: n, a: a, t: t, number: number, cancel: cancel})
	w.trace("%s: %v", a.id, err)
	var refused *update.ChangeError
	var held *update.HeldError
	w.promised.held = ""
	switch {
	case n.fs.dead:
		if a.proving {
			w.promised.may = append(w.promised.may, a.to)
		}
		return err
	case errors.As(err, &held):
		if force || kind == update.KindRollback {
			w.fail("held in spite of force: %v", err)
		}
		delete(w.attempts, a.id)
		w.order = w.order[:len(w.order)-1]
		return err
	case errors.As(err, &refused): // even if what it wraps is a KeepError
		a.answered, a.err = true, err
		if n.visible != before {
			w.fail("%s was refused (%v), and is visible", a.id, err)
		}
		if a.proving { // the way to it may be on the disk
			w.promised.may = append(w.promised.may, a.to)
		}
		return err
	}
	a.answered = true
	if err != nil { // what the disk knows of it, a restart will tell
		w.excused[a.id] = true
	}
	w.seen(a.to)
	if n.degraded = false; n.visible != a.source {
		w.fail("%s was acknowledged, and is not visible", a.id)
	}
	if a.proving {
		w.promised.told(a.to, err)
	} else {
		w.promised.told(w.promised.permanent, err)
	}
	if kind == update.KindRollback && err == nil {
		w.promised.held = a.source
	}
	return err
}

// verdict ends a trial.
func (w *world) verdict() {
	n := w.n
	trial := n.st.Machine().Slot(store.AppSlot).Trial
	if trial == nil {
		w.update()
		return
	}
	a := w.attempts[trial.Change]
	var why error
	if w.r.IntN(2) == 0 {
		why, a.blamed = errPlanned, true
	} else {
		a.proving = true
	}
	w.trace("event: the verdict on %s is %v", a.id, why)
	err := n.run.Verdict(context.Background(), store.AppSlot, a.id, why, func(_ context.Context, to update.Version) error {
		n.visible = to.Digest
		return nil
	})
	w.trace("%s: %v", a.id, err)
	w.promised.held = ""
	var kept *update.KeepError
	switch {
	case n.fs.dead:
		if why == nil {
			w.promised.may = append(w.promised.may, a.to)
		}
	case err != nil && !errors.As(err, &kept):
		w.fail("the verdict on %s: %v", a.id, err)
	case why == nil:
		w.promised.told(a.to, err)
	default:
		w.promised.told(w.promised.permanent, err)
		if err == nil {
			w.promised.held = a.source
		}
	}
}

// rollback goes back to a generation that is kept.
func (w *world) rollback() {
	n := w.n
	live := n.st.Machine().Slot(store.AppSlot).Live.Number
	list := n.st.List()
	if live == 0 || len(list) < 2 {
		return
	}
	r := some(w.r, list...)
	if r.Number == live {
		return
	}
	_, t, err := n.st.Load(r.Number)
	if err != nil {
		w.trace("event: no rollback to %d: %v", r.Number, err)
		return
	}
	_ = w.apply(update.KindRollback, t, r.Number, some(w.r, "", "", "swap", "prepare"), true, true)
}

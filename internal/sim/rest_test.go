package sim

import (
	"fmt"
	"time"

	"github.com/theseus-run/theseus/internal/kv"
	"github.com/theseus-run/theseus/internal/store"
	"github.com/theseus-run/theseus/update"
)

// write changes the scripts' data, and compares them with a map.
func (w *world) write() {
	s, d := w.n.kv, &w.data
	next := map[string]string{}
	for k, v := range d.now {
		next[k] = v
	}
	key, other, value := fmt.Sprint("k", w.r.IntN(6)), fmt.Sprint("k", w.r.IntN(6)), fmt.Sprint(w.r.IntN(1000))
	var err error
	synced := false
	kind := w.r.IntN(8)
	w.trace("event: data %d %s %s", kind, key, value)
	switch kind {
	case 0:
		delete(next, key)
		_, err = s.Remove(key)
	case 1:
		var b kv.Batch
		b.Set(key, []byte(value), 0)
		b.Delete(other)
		next[key] = value
		delete(next, other)
		err = s.Apply(&b)
	case 2, 3:
		synced = true
		err = s.Sync()
	case 4:
		synced = true
		err = s.Compact()
	case 5:
		old, there := d.now[key]
		var was []byte
		if there {
			was = []byte(old)
		}
		next[key] = value
		var ok bool
		if ok, err = s.CAS(key, was, []byte(value)); err == nil && !ok {
			w.fail("%s is not %q", key, old)
		}
	default:
		next[key] = value
		err = s.Set(key, []byte(value), 0)
	}
	w.trace("data: %v", err)
	if err != nil || w.n.fs.dead {
		d.tried = append(d.tried, fmt.Sprint(next))
		d.may = append(d.may, fmt.Sprint(next))
		return
	}
	d.now, d.tried = next, nil
	if d.may = append(d.may, d.text()); synced {
		d.synced()
	}
	if v, _ := s.Get(key); string(v) != next[key] {
		w.fail("%s is %q, and was set to %q", key, v, next[key])
	}
}

// handover gives the app to another process, which may fail at each step.
func (w *world) handover() {
	w.trace("event: another process takes over")
	old := w.n
	sums.handovers.Add(1)
	if err := old.offer(); err != nil {
		w.trace("not offered: %v", err)
		old.dropProgram()
		return
	}
	if err := old.yield(); err != nil {
		if !old.fs.dead {
			w.fail("yield: %v", err) // nothing is written
		}
		return
	}
	state := old.beat.suspend()
	next := w.newNode()
	next.visible, next.degraded = old.visible, old.degraded
	var err error
	if w.r.IntN(6) == 0 {
		err = errPlanned // it never serves
	} else if next.st, err = store.Open("state", store.Options{FS: next.fs, JournalLimit: w.limit, Now: w.clock.now, ReadOnly: true}); err == nil {
		err = next.take()
	}
	if err == nil {
		next.beat = w.newBeat(true)
		next.beat.adopt(state, old.beat.row)
		time.Sleep(time.Duration(w.r.Int64N(int64(30 * time.Minute)))) // probation
		next.beat.collect()
		if w.r.IntN(4) == 0 {
			err = errPlanned
			next.beat.suspend()
		}
	}
	if err == nil && !next.fs.dead {
		w.succeed(old, next)
		return
	}
	w.trace("the new process fails: %v", err)
	if next.st != nil && !next.fs.dead {
		_ = next.st.Yield()
	}
	if next.beat != nil {
		next.beat.collect()
	}
	next.end()
	w.takeBack(old)
}

// offer notes that another process is about to serve.
func (n *node) offer() error {
	if n.st.Machine().Slot(binarySlot).Live.IsZero() {
		if err := n.run.Step(update.Adopt{Slot: binarySlot, Version: update.Version{Number: 1}}); err != nil {
			return err
		}
	}
	return n.swapProgram(false)
}

func (n *node) swapProgram(proven bool) error {
	a := n.w.attempt(update.KindBinary, "")
	a.to.Number = n.st.Machine().Slot(binarySlot).Live.Number + 1
	a.proving, a.blamed = true, true
	c := update.Change{ID: a.id, Kind: update.KindBinary, Slot: binarySlot, Trigger: "upgrade", Proven: proven}
	for _, e := range []update.Event{update.Trigger{Change: c}, update.Begin{}, update.Prepared{To: a.to}, update.Proceed{}, update.Synced{}, update.Proceed{}} {
		if err := n.run.Step(e); err != nil {
			return err
		}
	}
	return nil
}

// yield gives up the data and the store.
func (n *node) yield() error {
	d := &n.w.data
	if err := n.kv.Close(); err == nil && !n.fs.dead {
		d.synced()
	}
	n.kv = nil
	if err := n.st.Yield(); err != nil && !n.fs.dead && n.w.wx == &weathers[0] {
		return err
	}
	return nil
}

// take makes the process the one that writes.
func (n *node) take() error {
	if err := n.st.Acquire(); err != nil {
		return err
	}
	n.w.journal.found(n.w, n.st.Machine())
	n.newRunner()
	if err := n.readHistory(); err != nil {
		return err
	}
	if err := n.openData(); err != nil {
		return err
	}
	if m := n.st.Machine(); m.Change == nil || m.Change.Kind != update.KindBinary {
		if err := n.swapProgram(true); err != nil {
			return err
		}
	}
	return n.run.Step(update.Swapped{At: n.w.clock.now()})
}

func (n *node) openData() (err error) {
	if n.kv, err = kv.Open(n.fs, dataDir, kv.Options{SyncInterval: -1, Now: n.w.clock.now}); err == nil {
		n.w.data.found(n.w, n)
	}
	return err
}

// succeed is the end of the process before.
func (w *world) succeed(old, next *node) {
	if next.st.Machine().Slot(binarySlot).Trial != nil {
		_ = next.run.Step(update.Proven{Slot: binarySlot, At: w.clock.now()})
	}
	_ = old.st.Append("runs", map[string]string{"late": old.fs.name})
	old.end()
	w.n = next
	w.trace("%s serves", next.fs.name)
}

// takeBack makes the process before the one that writes again.
func (w *world) takeBack(old *node) {
	for range 50 {
		err := old.st.Acquire()
		if err == nil {
			w.journal.found(w, old.st.Machine())
			if err = old.readHistory(); err == nil {
				err = old.openData()
			}
			if err == nil {
				old.st.Retain(w.keep)
				old.dropProgram()
				old.beat.resume()
				return
			}
			if !old.fs.dead {
				_ = old.st.Yield()
			}
		}
		if old.fs.dead {
			return
		}
		w.trace("not taken back: %v", err)
		time.Sleep(time.Second)
	}
	old.fs.kill("it cannot take the service back")
}

// dropProgram gives up the change of the program.
func (n *node) dropProgram() {
	if n.fs.dead {
		return
	}
	m, now := n.st.Machine(), n.w.clock.now()
	var events []update.Event
	switch c := m.Change; {
	case c != nil && m.Phase == update.Swapping:
		events = []update.Event{update.Failed{Why: "given up", At: now}, update.Reverted{At: now}}
	case c != nil:
		events = []update.Event{update.Failed{Why: "given up", At: now}}
	case m.Slot(binarySlot).Trial != nil:
		events = []update.Event{update.Misbehaved{Slot: binarySlot, Why: "given up", At: now}, update.Reverted{At: now}}
	}
	for _, e := range events {
		_ = n.run.Step(e)
	}
}

// heal is the end: no fault any more, and, without help, everything must work.
func (w *world) heal() {
	w.wx, w.space, w.busy = &weathers[0], false, 0
	w.d.SetSpace(-1)
	w.clock.stop(false)
	w.trace("all faults stop")
	if w.n != nil && w.n.fs.misread { // what it could not read at its start it does not look at again
		w.leave()
	}
	if w.n == nil {
		w.start()
		if w.n == nil {
			w.fail("the service does not start")
		}
	}
	n := w.n
	if err := n.kv.Sync(); err != nil { // the first may only find out that the log was to be replaced
		w.fail("the data cannot be saved: %v", err)
	}
	w.data.synced()
	if n.st.Machine().Slot(store.AppSlot).Trial != nil {
		w.verdict()
	}
	if err := w.apply(update.KindApp, w.drawTree(), 0, "", true, true); err != nil {
		w.fail("no fault is left, and a change fails: %v", err)
	}
	w.check()
	w.repair()
	before := len(n.beat.ticks["skip"])
	time.Sleep(10 * time.Minute)
	w.collect()
	if len(n.beat.ticks["skip"]) < before+3 {
		w.fail("the jobs do not run")
	}
	last := n.st.Machine().Slot(store.AppSlot).Permanent
	n.beat.account()
	w.died(true)
	w.start()
	if w.n == nil || w.n.visible != last.Digest {
		w.fail("the last change has not survived")
	}
	w.check()
	w.leave()
}

// repair makes good what was damaged on purpose, as fsck says: it drops what nobody
// needs, and the rest is applied again.
func (w *world) repair() {
	n := w.n
	if err := n.st.Repair(); err != nil {
		w.fail("repair: %v", err)
	}
	for _, f := range n.st.Check(true).Findings {
		w.trace("to repair: %+v", f)
		if !w.injected(f.Path) && !n.fs.misread || !f.Needed {
			w.fail("repair leaves %+v", f)
		}
	}
	slot := n.st.Machine().Slot(store.AppSlot)
	for _, v := range []update.Version{slot.Anchor, slot.Permanent} {
		if v.IsZero() {
			continue
		}
		if err := w.apply(update.KindApp, w.trees[v.Digest], 0, "", true, true); err != nil {
			w.fail("applying %s again: %v", v.Digest, err)
		}
	}
	if err := n.st.Repair(); err != nil {
		w.fail("repair: %v", err)
	}
	if h := n.st.Check(true); !h.OK {
		w.fail("after a repair fsck finds %+v", h.Findings)
	}
	w.flipped = nil
}

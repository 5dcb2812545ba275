package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/theseus-run/theseus/internal/kv"
	"github.com/theseus-run/theseus/internal/store"
	"github.com/theseus-run/theseus/internal/tree"
	"github.com/theseus-run/theseus/update"
)

// dataDir holds the scripts' data, binarySlot the versions of the program, as in
// package app.
const (
	dataDir    = "data"
	binarySlot = "binary"
)

// A node is one process of the service: what package app makes of the parts, without
// scripts.
type node struct {
	w    *world
	fs   *faulty
	st   *store.Store
	run  *update.Runner
	kv   *kv.Store
	beat *beat // the scheduler, and what it has done

	visible  string          // digest of what serves
	degraded bool            // what is permanent is damaged: something else serves
	said     map[string]bool // the history's lines, as "change outcome"
	ended    map[string]bool // changes whose end stands in it
}

// boot starts a process on the disk, as a start of the service does. After an error
// it has ended.
func (w *world) boot() (*node, error) {
	n := w.newNode()
	err := n.open()
	if n.fs.dead {
		err = errDead
	}
	if err != nil {
		n.end()
		return nil, err
	}
	n.beat = w.newBeat(false)
	return n, nil
}

func (w *world) newNode() *node {
	n := &node{w: w, fs: w.process()}
	w.all = append(w.all, n)
	return n
}

func (n *node) open() (err error) {
	w := n.w
	if n.st, err = store.Open("state", store.Options{FS: n.fs, JournalLimit: w.limit, Now: w.clock.now}); err != nil {
		return err
	}
	w.journal.found(w, n.st.Machine())
	n.newRunner()
	if err := n.recover(); err != nil {
		e := n.st.Close()
		if n.fs.dead {
			e = errDead
		}
		w.journal.wrote(n.st.Machine(), true, e)
		return err
	}
	if err := n.serve(); err != nil {
		return err
	}
	return n.openData()
}

func (n *node) newRunner() {
	n.st.Retain(n.w.keep)
	n.run = update.NewRunner(update.RunnerOptions{
		Keeper: n, Now: n.w.clock.now, Report: n.report, Patience: n.w.patience,
		Guards: func() update.Guards { return update.Guards{MaxLoad: 1} }, Facts: n.w.facts,
		Observe: func(string, update.Trial) {},
		Step: func(c update.Change, step string, took durationOf, err error) {
			if took < 0 {
				n.w.fail("%s of %s took %s", step, c.ID, took)
			}
		},
	})
}

// Step implements update.Keeper: the store's, seen by the model.
func (n *node) Step(e update.Event, files ...update.File) ([]update.Effect, error) {
	before := n.st.Machine()
	effects, err := n.st.Step(e, files...)
	var kept *update.KeepError
	if err != nil && !errors.As(err, &kept) {
		return effects, err
	}
	n.w.trace("%s: %T %v", n.fs.name, e, err)
	if writes(e) {
		if n.fs.dead {
			err = errDead
		}
		n.w.journal.wrote(n.st.Machine(), commits(e, before), err)
	}
	if n.fs.dead {
		return effects, &update.KeepError{Err: errDead}
	}
	return effects, err
}

// Machine implements update.Keeper.
func (n *node) Machine() *update.Machine { return n.st.Machine() }

// writes and commits say what docs/update.md does of the events: which are in the
// journal, and which of them survive a loss of power.
func writes(e update.Event) bool {
	switch e.(type) {
	case update.Begin, update.Prepared, update.Synced:
		return false
	}
	return true
}

func commits(e update.Event, before *update.Machine) bool {
	switch e.(type) {
	case update.Adopt, update.Swapped, update.Proven, update.Reverted, update.Restart:
		return true
	case update.Failed:
		return before.Phase == update.Swapping
	case update.Proceed:
		c := before.Change
		return before.Phase == update.Syncing && !(c.Kind == update.KindRollback && c.Proven)
	}
	return false
}

// recover reads the history, completes it by what the journal knows, and ends what
// the process before has left unfinished.
func (n *node) recover() error {
	if err := n.readHistory(); err != nil {
		return err
	}
	found := n.st.Recovered()
	if n.st.Machine().State() == string(update.Idle) {
		return nil
	}
	return n.run.Step(update.Restart{Clean: found.Clean, At: n.w.clock.now()})
}

// readHistory reads the update log, checks it, and adds what the journal has of it.
func (n *node) readHistory() error {
	n.said, n.ended = map[string]bool{}, map[string]bool{}
	err := n.st.Tail("updates", 0, func(line json.RawMessage) error {
		var r update.Report
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		if n.said[said(r)] {
			n.w.fail("the history has two lines of %s", said(r))
		}
		n.note(r)
		n.w.truthful(r)
		return nil
	})
	if err != nil {
		return err
	}
	for _, r := range n.st.Recovered().Reports {
		n.report(r)
	}
	if n.fs.dead {
		return errDead
	}
	n.w.complete(n)
	return nil
}

func said(r update.Report) string { return fmt.Sprint(r.Change, " ", r.Outcome) }

func (n *node) note(r update.Report) {
	n.said[said(r)] = true
	if r.Outcome != update.Live {
		n.ended[r.Change] = true
	}
}

// report adds a line to the history, unless it has it or the end of that change.
func (n *node) report(r update.Report) {
	if n.fs.dead || n.said[said(r)] || n.ended[r.Change] {
		return
	}
	n.w.truthful(r)
	n.note(r)
	err := n.st.Append("updates", r)
	n.w.trace("%s: history: %s: %v", n.fs.name, said(r), err)
	if err != nil {
		n.w.excused[r.Change] = true // the service warns of it
	}
}

// serve makes visible what is permanent, or the anchor where that is damaged.
func (n *node) serve() error {
	slot := n.st.Machine().Slot(store.AppSlot)
	n.w.promised.restarted(n.w, slot)
	for _, v := range []update.Version{slot.Permanent, slot.Anchor} {
		if v.IsZero() {
			continue
		}
		_, t, err := n.st.Load(v.Number)
		var corrupt *store.CorruptError
		switch {
		case n.fs.dead:
			return errDead
		case err == nil && t.Digest() != v.Digest:
			n.w.fail("generation %d is %.8s, not %.8s", v.Number, t.Digest(), v.Digest)
		case err == nil:
			n.visible, n.degraded = v.Digest, v != slot.Permanent
			return nil
		case len(n.w.flipped) == 0 && n.w.wx.reads == 0:
			n.w.fail("what is permanent cannot be loaded: %v", err)
		case !errors.As(err, &corrupt):
			return err
		}
		n.degraded = true
	}
	return nil
}

// end is the end of a process that was killed or gave up: nothing is closed properly.
func (n *node) end() {
	n.fs.end()
	n.w.all = slices.DeleteFunc(n.w.all, func(o *node) bool { return o == n })
	if n.beat != nil {
		n.beat.stop()
	}
	if n.kv != nil {
		_ = n.kv.Close()
	}
	if n.st != nil {
		_ = n.st.Close()
	}
}

// A version of the app is an update.Subject with a will of its own.
type version struct {
	n *node
	a *attempt
	t *tree.Tree

	number int // of a rollback; 0 for a new one
	saved  bool
	was    string
	cancel context.CancelFunc
}

var errPlanned = errors.New("as planned")

func (v *version) planned(at string) error {
	switch v.a.plan {
	case at:
		return errPlanned
	case at + " blamed":
		return update.Blamed{Err: errPlanned}
	case at + " canceled":
		v.cancel()
	case at + " rival":
		err := v.n.run.Do(context.Background(), update.Change{ID: "rival of " + v.a.id, Kind: update.KindApp, Slot: store.AppSlot}, v)
		if !errors.Is(err, update.ErrBusy) {
			v.n.w.fail("a change during another: %v", err)
		}
	}
	return nil
}

func (v *version) Prepare(context.Context) (update.Version, error) {
	if err := v.planned("prepare"); err != nil {
		return update.Version{}, err
	}
	number := v.number
	if number == 0 {
		number = v.n.st.Next()
	}
	v.a.to = update.Version{Number: number, Digest: v.t.Digest()}
	return v.a.to, nil
}

func (v *version) Sync(context.Context) ([]update.File, error) {
	if err := v.planned("sync"); err != nil || v.number != 0 {
		return nil, err
	}
	files, err := v.n.st.Save(store.Record{Number: v.a.to.Number, Update: v.a.id}, v.t)
	v.saved = err == nil
	return files, err
}

func (v *version) Swap(context.Context) error {
	v.was, v.n.visible = v.n.visible, v.t.Digest()
	return v.planned("swap")
}

func (v *version) Revert(context.Context) error { v.n.visible = v.was; return nil }

func (v *version) Discard() {
	if v.saved {
		v.n.st.Drop(v.a.to.Number)
	}
}

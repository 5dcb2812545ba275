package sim

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/theseus-run/theseus/internal/store"
	"github.com/theseus-run/theseus/update"
)

type durationOf = time.Duration

// A journal is what the disk may have of the transaction: the machine as it was
// written each time since the last that would survive a loss of power.
type journal struct {
	may   []string // as JSON, oldest first
	acked int      // the last of them that was written without an error
	power bool     // the power has failed since
}

func text(m *update.Machine) string {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// wrote notes that the machine was to be written, and whether with a commit.
func (j *journal) wrote(m *update.Machine, commit bool, err error) {
	j.may = append(j.may, text(m))
	if err != nil {
		return
	}
	j.acked = len(j.may) - 1
	if commit {
		j.may, j.acked = j.may[j.acked:], 0
	}
}

// found checks what a process has found. It is durable then.
func (j *journal) found(w *world, m *update.Machine) {
	from := j.acked
	if j.power {
		from = 0
	}
	got := text(m)
	if !slices.Contains(j.may[from:], got) {
		w.fail("the journal has\n\t%s\nand may have (power lost: %t)\n\t%q", got, j.power, j.may[from:])
	}
	j.may, j.acked, j.power = []string{got}, 0, false
}

// Promises are what the callers were told, whatever the machine says.
type promises struct {
	permanent update.Version   // as the process that runs knows it
	may       []update.Version // what a restart may find
	held      string           // the source that must be held; empty for nobody knows
	numbers   map[int]string   // digest of each version that was visible
}

// told notes how a change of what is permanent was answered.
func (p *promises) told(v update.Version, err error) {
	if p.permanent = v; err == nil {
		p.may = nil
	}
	if !slices.Contains(p.may, v) {
		p.may = append(p.may, v)
	}
}

// restarted checks what a restart has found.
func (p *promises) restarted(w *world, s update.Slot) {
	if !slices.Contains(p.may, s.Permanent) || s.Live != s.Permanent || s.Trial != nil {
		w.fail("restarted with %+v; permanent may be %v", s, p.may)
	}
	if p.held != "" && (s.HeldBack() == nil || s.HeldBack().Source != p.held) {
		w.fail("%.8s was turned away, and is not held after a restart: %+v", p.held, s.Held)
	}
	p.permanent, p.may = s.Permanent, []update.Version{s.Permanent}
}

// seen checks that the number of a version that was acknowledged means it for ever.
func (w *world) seen(v update.Version) {
	if old, ok := w.promised.numbers[v.Number]; ok && old != v.Digest {
		w.fail("generation %d was %.8s, and is %.8s now", v.Number, old, v.Digest)
	}
	w.promised.numbers[v.Number] = v.Digest
}

// An attempt is one change that somebody asked for.
type attempt struct {
	id     string
	kind   update.Kind
	plan   string // where it fails, and how
	source string
	to     update.Version

	answered bool
	err      error
	proving  bool // it was to become permanent
	blamed   bool // it was to be taken back
	lost     bool // the power has failed since it was refused
}

// truthful checks one line of the history.
func (w *world) truthful(r update.Report) {
	a := w.attempts[r.Change]
	bad := a == nil
	if !bad {
		switch r.Outcome {
		case update.Refused:
			bad = a.answered && a.err == nil
		case update.Permanent:
			bad = !a.proving
		case update.RolledBack:
			bad = !a.blamed && a.answered && a.err == nil // else its commit failed
		case update.Live:
			bad = a.to != r.Version && a.kind != update.KindBinary
		}
	}
	if bad {
		w.fail("the history says %+v; it was %+v", r, a)
	}
}

// complete checks that the history has each attempt that was answered.
func (w *world) complete(n *node) {
	for _, id := range w.order {
		a := w.attempts[id]
		shown := n.said[id+" live"] || n.said[id+" permanent"] || n.said[id+" rolled_back"] || n.said[id+" superseded"]
		switch {
		case !a.answered || w.excused[id] || n.said[id+" interrupted"]:
		case a.err == nil && !shown, a.err != nil && !n.ended[id] && !a.lost:
			w.fail("the history lacks %+v", a)
		}
	}
}

// check compares the process that runs with what was promised.
func (w *world) check() {
	n := w.n
	if n == nil {
		return
	}
	defer w.still()()
	m := n.st.Machine()
	slot := m.Slot(store.AppSlot)
	switch {
	case m.Phase != update.Idle && m.Phase != "":
		w.fail("stuck: %s", m.State())
	case slot.Permanent != w.promised.permanent:
		w.fail("%+v is permanent, and %+v was told", slot.Permanent, w.promised.permanent)
	case slot.Trial == nil && slot.Live != slot.Permanent:
		w.fail("%+v is live, not on trial and not permanent", slot.Live)
	case n.visible != slot.Live.Digest && !n.degraded:
		w.fail("%.8s is visible, %.8s live", n.visible, slot.Live.Digest)
	}
	if w.journal.acked != len(w.journal.may)-1 {
		return // the disk does not know all, and said so
	}
	for _, v := range []update.Version{slot.Live, slot.Permanent, slot.Anchor} {
		if v.IsZero() || len(w.flipped) > 0 || n.fs.misread {
			continue
		}
		if _, t, err := n.st.Load(v.Number); err != nil || t.Digest() != v.Digest {
			w.fail("%+v: %v", v, err)
		}
	}
	h := n.st.Check(true)
	for _, f := range h.Findings {
		if !w.injected(f.Path) && !n.fs.misread {
			w.fail("fsck: %+v", f)
		}
	}
	if w.r.IntN(4) > 0 {
		return
	}
	if r, err := store.Open("state", store.Options{FS: n.fs.FS, ReadOnly: true}); err != nil {
		w.fail("a reader: %v", err)
	} else if got := text(r.Machine()); got != text(m) && got != w.journal.may[len(w.journal.may)-1] {
		w.fail("a reader sees %s, not %s", got, text(m))
	}
}

// injected reports whether a finding is about a file that was damaged on purpose.
func (w *world) injected(path string) bool {
	return slices.ContainsFunc(w.flipped, func(name string) bool { return "state/"+name == path })
}

// data is what the scripts' data may be on the disk.
type data struct {
	now   map[string]string
	tried []string // what a killed process may have left instead: a change in progress or refused
	may   []string // what a loss of power may leave
	power bool
}

func (d *data) text() string { return fmt.Sprint(d.now) }

// synced notes that what there is would survive a loss of power.
func (d *data) synced() { d.may, d.tried = []string{d.text()}, nil }

// found checks what a process has found.
func (d *data) found(w *world, n *node) {
	got := map[string]string{}
	for _, k := range n.kv.Keys("k") {
		v, _ := n.kv.Get(k)
		got[k] = string(v)
	}
	may := append(slices.Clone(d.tried), d.text())
	if d.power {
		may = append(may, d.may...)
	}
	r := n.kv.Recovered()
	if !slices.Contains(may, fmt.Sprint(got)) || len(r.Damaged) > 0 || r.Missing {
		w.fail("the data are %v, and may be (power lost: %t)\n\t%q\n%+v", got, d.power, may, r)
	}
	d.may = append(d.may, may...)
	d.now, d.tried, d.power = got, nil, false
}

package update_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/theseus-run/theseus/internal/disk"
	"github.com/theseus-run/theseus/internal/disk/simdisk"
	"github.com/theseus-run/theseus/internal/kv"
	"github.com/theseus-run/theseus/internal/migrate"
	"github.com/theseus-run/theseus/internal/store"
	"github.com/theseus-run/theseus/internal/tree"
	"github.com/theseus-run/theseus/update"
)

// A life is one process with a store and a runner.
type life struct {
	st     *store.Store
	data   *kv.Store // nil where the changes have nothing to do with it
	r      *update.Runner
	told   []update.Report
	serves string         // digest of what is visible
	acked  string         // digest of the last version that was acknowledged as permanent
	shown  string         // that of the last that was acknowledged as live
	tried  string         // that of what was begun last; it may be there without an acknowledgement
	wrote  map[string]int // by key: what was written and acknowledged
	err    error
}

// begin opens the store as a start does.
func begin(fs disk.FS) (*life, error) {
	l := &life{}
	var err error
	// The limit is small, so that the journal is begun anew among the changes.
	if l.st, err = store.Open("state", store.Options{FS: fs, JournalLimit: 4 << 10}); err != nil {
		return nil, err
	}
	l.st.Retain(3)
	l.told = l.st.Recovered().Reports
	l.r = update.NewRunner(update.RunnerOptions{Keeper: l.st, Observe: func(string, update.Trial) {}, Report: func(r update.Report) { l.told = append(l.told, r) }})
	if err := l.openData(); err != nil {
		return l, err
	}
	if l.st.Machine().State() != string(update.Idle) {
		if err := l.finishSwap(); err != nil {
			return l, err
		}
		if err := l.r.Step(update.Restart{Clean: l.st.Recovered().Clean}); err != nil {
			return l, err
		}
	}
	l.serves = l.slot().Permanent.Digest
	return l, l.bringData()
}

func (l *life) slot() update.Slot { return l.st.Machine().Slot(store.AppSlot) }

// A version of the app is a subject.
type version struct {
	l     *life
	t     *tree.Tree
	n     int
	was   string
	saved bool
	data  *migrate.Migration
}

func (v *version) Prepare(context.Context) (update.Version, error) {
	if v.n == 0 {
		v.n = v.l.st.Next()
	}
	return update.Version{Number: v.n, Digest: v.t.Digest(), Counter: min(int64(v.n), 3)}, v.prepareData()
}

func (v *version) Sync(context.Context) ([]update.File, error) {
	if err := v.l.write("during", v.l.version()); err != nil {
		return nil, err
	}
	if _, err := v.l.st.Record(v.n); err == nil {
		return nil, nil // a rollback
	}
	files, err := v.l.st.Save(store.Record{Number: v.n}, v.t)
	v.saved = err == nil
	return files, err
}

func (v *version) Swap(context.Context) error {
	if err := v.switchData(); err != nil {
		return err
	}
	v.was, v.l.serves = v.l.serves, v.t.Digest()
	return nil
}

func (v *version) Revert(context.Context) error { v.l.serves = v.was; return nil }

func (v *version) Discard() {
	if v.saved {
		v.l.st.Drop(v.n)
	}
}

// apply makes t live, and permanent if it is proven.
func (l *life) apply(kind update.Kind, id string, t *tree.Tree, number int, proven bool) bool {
	l.tried = t.Digest()
	err := l.r.Do(context.Background(), update.Change{ID: id, Kind: kind, Slot: store.AppSlot, Trigger: "test", Source: t.Digest(), Proven: proven, Force: true, Downgrade: kind == update.KindRollback},
		&version{l: l, t: t, n: number})
	l.err = errors.Join(l.err, err)
	if _, visible := errors.AsType[*update.KeepError](err); err != nil && !visible {
		return false
	}
	if err == nil {
		l.shown = t.Digest()
	}
	if err == nil && proven {
		l.ack(t.Digest())
	}
	return true
}

// ack notes what was acknowledged, unless the disk has refused it.
func (l *life) ack(digest string) { l.acked = digest }

func (l *life) verdict(id string, why error) {
	l.tried = ""
	err := l.r.Verdict(context.Background(), store.AppSlot, id, why, func(_ context.Context, to update.Version) error {
		if err := l.dataTo(to); err != nil {
			return err
		}
		l.serves = to.Digest
		return nil
	})
	l.err = errors.Join(l.err, err)
	if err == nil {
		l.ack(l.serves)
	}
}

func files(n int) *tree.Tree {
	m := map[string]string{"config/v.yaml": fmt.Sprintln("n:", n)}
	for i := range 3 {
		m[fmt.Sprintf("handlers/f%d.js", i)] = fmt.Sprintf("export default () => %d", i)
	}
	m["handlers/f0.js"] = fmt.Sprintf("export default () => 'version %d'", n)
	return tree.Of(m)
}

// big has a file that is too large for the journal.
func big(n int) *tree.Tree {
	return tree.Of(map[string]string{"table.json": strings.Repeat(fmt.Sprint(n), 70<<10), "handlers/f0.js": "1"})
}

// kinds are the changes that are tried; before each, generations 1 and 2 are
// proven, and 2 is live.
var kinds = []struct {
	name string
	do   func(l *life)
	data bool
}{
	{"script", func(l *life) {
		if l.apply(update.KindApp, "u3", files(3), 0, false) {
			l.verdict("u3", nil)
		}
	}, false},
	{"config", func(l *life) {
		l.apply(update.KindApp, "u3", tree.Of(map[string]string{"config/v.yaml": "n: 9", "handlers/f0.js": "1"}), 0, true)
	}, false},
	{"large", func(l *life) { l.apply(update.KindApp, "u3", big(3), 0, true) }, false},
	{"rollback", func(l *life) { l.apply(update.KindRollback, "u3", files(1), 1, true) }, false},
	{"revert", func(l *life) {
		if l.apply(update.KindApp, "u3", files(3), 0, false) {
			l.verdict("u3", errors.New("errors"))
		}
	}, false},
	{"collection", func(l *life) {
		l.st.Retain(1)
		l.apply(update.KindApp, "u3", files(3), 0, true)
		l.apply(update.KindApp, "u4", files(4), 0, true)
	}, false},
	{"binary", func(l *life) {
		l.step(update.Trigger{Change: update.Change{ID: "b1", Kind: update.KindBinary, Slot: "binary"}}, update.Begin{}, update.Prepared{To: update.Version{Number: 2, Digest: "new"}},
			update.Proceed{}, update.Synced{}, update.Proceed{})
		if l.err != nil {
			return
		}
		// The journal goes to the new process, which serves, and proves itself.
		if l.err = l.st.Yield(); l.err != nil {
			return
		}
		if l.err = l.st.Acquire(); l.err == nil {
			l.step(update.Swapped{}, update.Proven{Slot: "binary"})
		}
	}, false},
	{"clean end", func(l *life) { l.err = l.st.Close() }, false},
	{"state", func(l *life) {
		if l.apply(update.KindApp, "u3", stateful(3, 2), 0, false) {
			l.writeAfter()
			l.verdict("u3", nil)
		}
	}, true},
	{"state, taken back", func(l *life) {
		if l.apply(update.KindApp, "u3", stateful(3, 3), 0, false) {
			l.writeAfter()
			l.verdict("u3", errors.New("errors"))
		}
	}, true},
	{"state, rolled back", func(l *life) {
		if l.apply(update.KindRollback, "u3", stateful(1, 0), 1, true) {
			l.writeAfter()
		}
	}, true},
	{"state, for good", func(l *life) {
		if l.apply(update.KindApp, "u3", stateful(3, forGood), 0, false) {
			l.writeAfter()
		}
	}, true},
}

func (l *life) step(events ...update.Event) {
	for _, e := range events {
		if _, err := l.st.Step(e); err != nil {
			l.err = errors.Join(l.err, err)
			return
		}
	}
}

// before returns a disk on which generations 1 and 2 are proven.
func before(t *testing.T, model simdisk.Model, data bool) *simdisk.Disk {
	t.Helper()
	d := simdisk.New(model)
	l, err := begin(d.Process())
	if err == nil && data {
		err = l.firstData()
	}
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 2; n++ {
		tr := files(n)
		if data {
			tr = stateful(n, n-1)
		}
		if !l.apply(update.KindApp, fmt.Sprint("u", n), tr, 0, true) {
			t.Fatal(l.err)
		}
	}
	l.step(update.Adopt{Slot: "binary", Version: update.Version{Number: 1, Digest: "old"}})
	if err := errors.Join(l.err, l.closeData(), l.st.Close()); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestCrashEnumeration tries each kind of change with each failure at each operation
// of the disk, and then whether what is found is one whole version, the old or the
// new, whether what was acknowledged is there, and whether the next change works.
func TestCrashEnumeration(t *testing.T) {
	t.Parallel()
	cases := 0
	for _, model := range []simdisk.Model{simdisk.Strict, simdisk.Ordered} {
		for _, k := range kinds {
			base := before(t, model, k.data)
			do := func(l *life) {
				k.do(l)
				_ = l.closeData()
			}
			n := operations(t, string(model)+" "+k.name, base, do)
			if n < 3 {
				t.Fatalf("%s has %d operations: the test sees too little", k.name, n)
			}
			for at := 1; at <= n; at++ {
				for _, phase := range []disk.Phase{disk.Before, disk.After} {
					where := fmt.Sprintf("%s, %s, operation %d, %s", model, k.name, at, phase)
					cases += refuse(t, where, base, at, phase, do)
					cases += kill(t, where, base, at, phase, do)
				}
			}
		}
	}
	fmt.Println("crash cases:", cases)
	if cases < 1000 {
		t.Errorf("%d cases, want at least 1000", cases)
	}
}

// operations returns how many operations of the disk a change takes.
func operations(t *testing.T, what string, base *simdisk.Disk, do func(*life)) int {
	t.Helper()
	p := disk.Points(base.Crash(1).Process(), nil)
	l, err := begin(p)
	if err != nil {
		t.Fatal(err)
	}
	from := p.Ops()
	do(l)
	if l.err != nil {
		t.Fatalf("%s: %v", what, l.err)
	}
	return p.Ops() - from
}

// hooked begins a life on a disk that calls hook at one operation of the change.
func hooked(t *testing.T, d *simdisk.Disk, at int, phase disk.Phase, hook func(*disk.Pointed, disk.Op) error) (*life, *disk.Pointed, *simdisk.Process) {
	t.Helper()
	proc := d.Process()
	var p *disk.Pointed
	from := -1
	p = disk.Points(proc, func(o disk.Op) error {
		if from >= 0 && o.Index == from+at && o.Phase == phase {
			return hook(p, o)
		}
		return nil
	})
	l, err := begin(p)
	if err != nil {
		t.Fatal(err)
	}
	from = p.Ops()
	return l, p, proc
}

// refuse lets the operation fail, as on a full disk. The process goes on.
func refuse(t *testing.T, where string, base *simdisk.Disk, at int, phase disk.Phase, do func(*life)) int {
	t.Helper()
	where += ", fails"
	d := base.Crash(1)
	l, _, proc := hooked(t, d, at, phase, func(*disk.Pointed, disk.Op) error { return syscall.ENOSPC })
	do(l)
	if l.st.Machine().Phase != update.Idle && l.err == nil {
		t.Fatalf("%s: stuck in %s", where, l.st.Machine().Phase)
	}
	proc.Kill()
	recovered(t, where, d, l)
	return 1
}

// kill ends the process there, and the power, too.
func kill(t *testing.T, where string, base *simdisk.Disk, at int, phase disk.Phase, do func(*life)) (cases int) {
	t.Helper()
	d := base.Crash(1)
	var left []*simdisk.Disk
	l, p, proc := hooked(t, d, at, phase, func(p *disk.Pointed, _ disk.Op) error {
		states, _ := d.States(6)
		for s := range states {
			left = append(left, s)
		}
		p.Kill()
		return nil
	})
	dead := p.Survive(func() { do(l) })
	_ = l.closeData() // of a dead process: nothing happens on the disk
	if !dead {
		return 0 // this change has fewer operations than the one that was counted
	}
	proc.Kill()
	recovered(t, where+", killed", d, l)
	for i, s := range left {
		recovered(t, fmt.Sprintf("%s, power lost, state %d", where, i), s, l)
	}
	return 1 + len(left)
}

// recovered begins anew on what is left, twice, and checks what is found.
func recovered(t *testing.T, where string, d *simdisk.Disk, was *life) {
	t.Helper()
	proc := d.Process()
	l, err := begin(proc)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	for _, p := range l.st.Problems() {
		t.Errorf("%s: %v", where, p)
	}
	s := l.slot()
	if s.Live != s.Permanent || s.Trial != nil || l.st.Machine().State() != string(update.Idle) {
		t.Fatalf("%s: %s, %+v", where, l.st.Machine().State(), s)
	}
	whole(t, where+": what is permanent", l.st, s.Permanent)
	whole(t, where+": the anchor", l.st, s.Anchor)
	if was.acked != "" && s.Permanent.Digest != was.acked && s.Permanent.Digest != was.tried {
		t.Fatalf("%s: %.8s was acknowledged, %.8s is permanent", where, was.acked, s.Permanent.Digest)
	}
	if was.shown != "" && was.shown != was.acked && s.Permanent.Digest != was.shown && !tells(l.told, update.Interrupted, update.RolledBack, update.Superseded) {
		t.Errorf("%s: %.8s was live, and the history does not tell what became of it: %+v", where, was.shown, l.told)
	}
	if s.Floor.Counter < max(s.Permanent.Counter, s.Anchor.Counter) {
		t.Fatalf("%s: the floor is %+v below what is permanent, %+v", where, s.Floor, s.Permanent)
	}
	l.checkData(t, where, was)
	// Another start finds the same.
	proc.Kill()
	_ = l.closeData()
	proc = d.Process()
	if l, err = begin(proc); err != nil || l.slot().Permanent != s.Permanent || l.slot().Anchor != s.Anchor || l.slot().Floor != s.Floor {
		t.Fatalf("%s: a second start: %v", where, err)
	}
	l.checkData(t, where+", a second start", was)
	if !l.apply(update.KindApp, "again", l.again(), 0, true) {
		t.Fatalf("%s: the next change: %v", where, l.err)
	}
	whole(t, where+": the next", l.st, l.slot().Live)
	if h := l.st.Check(true); !h.OK {
		t.Fatalf("%s: fsck: %+v", where, h.Findings)
	}
	if err := errors.Join(l.closeData(), l.st.Close()); err != nil {
		t.Fatalf("%s: the end: %v", where, err)
	}
}

// whole loads a version, unless it is none.
func whole(t *testing.T, what string, st *store.Store, v update.Version) {
	t.Helper()
	if v.IsZero() {
		return
	}
	if _, tr, err := st.Load(v.Number); err != nil || tr.Digest() != v.Digest {
		t.Fatalf("%s: %+v: %v", what, v, err)
	}
}

func tells(all []update.Report, outcomes ...update.Outcome) bool {
	for _, r := range all {
		for _, o := range outcomes {
			if r.Outcome == o {
				return true
			}
		}
	}
	return false
}

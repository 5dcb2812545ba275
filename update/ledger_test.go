package update_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/theseus-run/theseus/internal/disk"
	"github.com/theseus-run/theseus/internal/disk/simdisk"
	"github.com/theseus-run/theseus/update"
)

// ledger opens one whose journal is begun anew with each record.
func ledger(t *testing.T, d *simdisk.Disk, garbage ...string) (*update.Ledger, update.Recovered) {
	t.Helper()
	l, found, err := update.OpenLedger(update.LedgerOptions{FS: d.Process(), Limit: 1, Garbage: func(*update.Machine) []string { return garbage }})
	if err != nil {
		t.Fatal(err)
	}
	return l, found
}

func step(t *testing.T, l *update.Ledger, e update.Event, files ...update.File) {
	t.Helper()
	if _, err := l.Step(e, files...); err != nil {
		t.Fatal(err)
	}
}

func adopt(slot string) update.Event {
	return update.Adopt{Slot: slot, Version: update.Version{Number: 1}}
}

var brought = update.File{Name: "objects/a", Data: []byte("content"), Perm: 0o444}

// A sync that failed may have forgotten what it was about, and the next one succeeds
// all the same: so the file is written anew.
func TestSyncThatFailed(t *testing.T) {
	for fails := 1; fails <= 6; fails++ {
		d := simdisk.New(simdisk.Ordered)
		l, _ := ledger(t, d)
		step(t, l, adopt("one"))
		d.FailSync(fails)
		_, first := l.Step(adopt("two"), brought)
		d.FailSync(0)
		_, second := l.Step(adopt("three"))
		if second != nil {
			t.Fatal(second)
		}
		after := d.Crash(0)
		ledger(t, after)
		if got, err := disk.ReadFile(after.Process(), brought.Name, 100); string(got) != string(brought.Data) {
			t.Errorf("sync %d failed (%v): after a loss of power the file has %q (%v)", fails, first, got, err)
		}
	}
}

// What the journal says is removed does not come back once the journal is begun anew.
func TestRemovalsSurvive(t *testing.T) {
	for seed := range uint64(50) {
		d := simdisk.New(simdisk.Strict)
		l, _ := ledger(t, d)
		step(t, l, adopt("one"), brought)
		step(t, l, adopt("two"))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l, _ = ledger(t, d, brought.Name)
		step(t, l, adopt("three"))
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		d = d.Crash(seed)
		ledger(t, d)
		if _, err := d.Process().Lstat(brought.Name); err == nil {
			t.Fatalf("seed %d: the file is back", seed)
		}
	}
}

// Closing does not say that all is well when the very first record could not be written.
func TestCloseWithoutARecord(t *testing.T) {
	d := simdisk.New(simdisk.Ordered)
	l, _ := ledger(t, d)
	d.SetReadOnly(true)
	if _, err := l.Step(adopt("one")); err == nil {
		t.Fatal("written on a disk that is read-only")
	}
	if err := l.Close(); err == nil || !strings.Contains(err.Error(), "read-only") {
		t.Errorf("Close() = %v", err)
	}
}

// Reports that nobody may have noted are in the next journal, too.
func TestReportsAreKept(t *testing.T) {
	d := simdisk.New(simdisk.Ordered)
	l, _ := ledger(t, d)
	for _, e := range []update.Event{update.Trigger{Change: update.Change{ID: "c", Kind: update.KindApp, Slot: "app"}}, update.Failed{Why: "no"}} {
		step(t, l, e)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first process cannot note it
		l, found := ledger(t, d)
		if got := fmt.Sprint(found.Reports); !strings.Contains(got, "refused") {
			t.Errorf("reports %s", got)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A verdict is not answered before the disk has it.
func TestVerdictTellsOfTheDisk(t *testing.T) {
	d := simdisk.New(simdisk.Ordered)
	l, _, err := update.OpenLedger(update.LedgerOptions{FS: d.Process()})
	if err != nil {
		t.Fatal(err)
	}
	step(t, l, update.Adopt{Slot: "app", Version: update.Version{Number: 1}})
	for _, e := range []update.Event{update.Trigger{Change: update.Change{ID: "c", Kind: update.KindApp, Slot: "app", Source: "s"}}, update.Begin{},
		update.Prepared{To: update.Version{Number: 2}}, update.Proceed{}, update.Synced{}, update.Proceed{}, update.Swapped{}} {
		step(t, l, e)
	}
	r := update.NewRunner(update.RunnerOptions{Keeper: l})
	err = r.Verdict(t.Context(), "app", "c", errors.New("no"), func(_ context.Context, _ update.Version) error {
		d.SetReadOnly(true)
		return nil
	})
	if err == nil {
		t.Error("the end of a trial was acknowledged that is not on the disk")
	}
}

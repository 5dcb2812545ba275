package kv

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/theseus-run/theseus/internal/disk"
)

// Nothing keeps a file open that nobody uses any more.
func TestDescriptors(t *testing.T) {
	count := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("open files cannot be counted here")
		}
		return len(list)
	}
	r := realDisk(t)
	round := func() {
		s, err := Open(r, "kv", Options{})
		must(t, err)
		set(t, s, "a", "1")
		_, locked := Open(r, "kv", Options{LockWait: time.Millisecond})
		if !errors.Is(locked, ErrLocked) {
			t.Error(locked)
		}
		must(t, s.Compact())
		must(t, s.Share(true))
		o, err := Open(r, "kv", Options{Shared: true})
		must(t, err)
		must(t, o.Compact())
		set(t, s, "a", "2")
		must(t, errors.Join(s.Close(), o.Close()))

		// One that refuses everything.
		p := disk.Points(r, func(op disk.Op) error {
			if op.Phase == disk.After {
				return disk.ErrInjected
			}
			return nil
		})
		if _, err := Open(p, "other", Options{}); err == nil {
			t.Error("a broken disk")
		}
		s, err = Open(p, "kv", Options{SyncInterval: -1})
		must(t, err)
		if s.Set("a", []byte("3"), 0) == nil || s.Compact() == nil || s.Close() == nil {
			t.Error("a broken disk")
		}
	}
	round()
	before := count()
	for range 20 {
		round()
	}
	if after := count(); after > before {
		t.Errorf("%d files are open, %d before", after, before)
	}
}

package kv

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/theseus-run/theseus/internal/disk/simdisk"
)

// Times to live go on over restarts, whatever the system's clock says.
func TestClock(t *testing.T) {
	for _, c := range []struct {
		name   string
		before time.Duration // between storing and the end of the process
		look   bool          // at the key, before the end
		jump   time.Duration // of the wall clock, while nothing runs
		after  time.Duration // after the restart
		want   bool          // the key, stored for an hour, is there
	}{
		{name: "in time", before: 59 * time.Minute, want: true},
		{name: "expired while down", before: time.Minute, jump: time.Hour},
		{name: "expired while up", before: time.Hour, look: true},
		{name: "back: it was seen to be gone", before: time.Hour, look: true, jump: -30 * time.Minute},
		{name: "far back: it was seen to be gone", before: 2 * time.Hour, look: true, jump: -10 * 365 * 24 * time.Hour},
		{name: "back: there", before: time.Minute, jump: -24 * time.Hour, want: true},
		{name: "back: not longer than an hour", before: time.Minute, jump: -24 * time.Hour, after: time.Hour},
		{name: "back: as long as it has", before: time.Minute, jump: -24 * time.Hour, after: 58 * time.Minute, want: true},
		{name: "forward", before: time.Minute, jump: 10 * 365 * 24 * time.Hour},
		{name: "a second back", before: time.Hour - time.Second, jump: -time.Second, want: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := simdisk.New(simdisk.Strict)
				p := d.Process()
				s, err := Open(p, "kv", byHand)
				must(t, err)
				must(t, s.Set("k", []byte("1"), time.Hour))
				must(t, s.Set("good", []byte("1"), 0))
				time.Sleep(c.before)
				if c.look {
					if get(s, "k") != "absent" {
						t.Error("it is there after an hour")
					}
				}
				abandon(s)
				p.Kill()
				opt := byHand
				opt.Now = func() time.Time { return time.Now().Add(c.jump) }
				for range 2 { // and once more
					p = d.Process()
					s, err = Open(p, "kv", opt)
					must(t, err)
					time.Sleep(c.after)
					want := "good"
					if c.want {
						want = "good k"
					}
					if got := strings.Join(s.Keys(""), " "); got != want {
						t.Errorf("%s, want %s", got, want)
					}
					c.after = 0
					must(t, s.Close())
				}
			})
		})
	}
}

// The log is synced after the interval, and only when there is something to sync.
func TestSyncInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := simdisk.New(simdisk.Ordered)
		s, err := Open(d.Process(), "kv", Options{SyncInterval: time.Minute})
		must(t, err)
		for _, want := range []string{"1", "2", "3"} {
			set(t, s, "a", want)
			time.Sleep(time.Minute + 1)
			synctest.Wait()
			c, err := Open(d.Crash(0).Process(), "kv", byHand)
			must(t, err)
			if got := get(c, "a"); got != want {
				t.Errorf("after the interval and a loss of power: %s, want %s", got, want)
			}
			must(t, c.Close())
			time.Sleep(time.Hour)
		}
		must(t, s.Close())

		// What a process that was killed had not synced, the next one does.
		p := d.Process()
		s, err = Open(p, "kv", byHand)
		must(t, err)
		set(t, s, "a", "4")
		abandon(s)
		p.Kill()
		s, err = Open(d.Process(), "kv", Options{SyncInterval: time.Minute})
		must(t, err)
		time.Sleep(time.Minute + 1)
		synctest.Wait()
		c, err := Open(d.Crash(0).Process(), "kv", byHand)
		must(t, err)
		if got := get(c, "a"); got != "4" {
			t.Errorf("an interval after the next process began: %s", got)
		}
		must(t, errors.Join(c.Close(), s.Close()))
	})
}

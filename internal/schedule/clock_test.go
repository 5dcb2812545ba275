package schedule

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A steppedClock is a wall clock that was set forward, or back.
type steppedClock struct{ by atomic.Int64 }

func (c *steppedClock) now() time.Time { return time.Now().Add(time.Duration(c.by.Load())) }

// The fake clock starts at midnight UTC, 2000-01-01.
func TestClockSteps(t *testing.T) {
	for _, c := range []struct {
		name string
		spec Spec
		step time.Duration // after 30 minutes
		then time.Duration // what the test waits after it
		want string        // "number@time by the wall clock" of each tick
		miss int64
	}{
		{"second forward", Spec{Cron: "15 * * * *"}, time.Second, time.Hour, "1@00:15 2@01:15", 0},
		{"second back", Spec{Cron: "15 * * * *"}, -time.Second, time.Hour, "1@00:15 2@01:15", 0},
		{"hour forward over a slot", Spec{Cron: "15 * * * *"}, time.Hour, 10 * time.Minute, "1@00:15 2@01:15", 0},
		{"hour back repeats nothing", Spec{Cron: "15 * * * *"}, -time.Hour, time.Hour + 44*time.Minute, "1@00:15", 0},
		{"hour back goes on", Spec{Cron: "15 * * * *"}, -time.Hour, time.Hour + 46*time.Minute, "1@00:15 2@01:15", 0},
		{"day forward is one tick", Spec{Cron: "15 * * * *"}, 24 * time.Hour, 10 * time.Minute, "1@00:15 25@00:15", 23},
		{"day back starts over", Spec{Cron: "15 * * * *"}, -24 * time.Hour, time.Hour, "1@00:15 2@01:15", 0},
		{"ten years forward", Spec{Cron: "15 * * * *"}, 87672 * time.Hour, 10 * time.Minute, "1@00:15 10002@17:15", 10_000},
		{"ten years back", Spec{Cron: "15 * * * *"}, -87672 * time.Hour, time.Hour, "1@00:15 2@01:15", 0},
		{"interval, hour forward", Spec{Every: 20 * time.Minute}, time.Hour, 20 * time.Minute, "1@00:20 2@01:40", 0},
		{"interval, day back", Spec{Every: 20 * time.Minute}, -24 * time.Hour, 20 * time.Minute, "1@00:20 2@00:40", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var wall steppedClock
				s := New(Options{Now: wall.now})
				var rec recorder
				mustApply(t, s, Job{Name: "a", Spec: c.spec, Run: func(_ context.Context, tick Tick) error {
					rec.record(tick)
					return nil
				}})
				stop := begin(t, s)
				time.Sleep(30*time.Minute + 500*time.Millisecond)
				wall.by.Add(int64(c.step))
				time.Sleep(c.then)
				info := s.Jobs()[0]
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				var got string
				for i, tick := range rec.ticks {
					if i > 0 {
						got += " "
					}
					got += fmt.Sprintf("%d@%s", tick.Number, tick.Scheduled.UTC().Format("15:04"))
				}
				if got != c.want || info.Missed != c.miss {
					t.Errorf("ticks %s, missed %d; want %s, %d", got, info.Missed, c.want, c.miss)
				}
			})
		})
	}
}

// A plan that is looked at late ticks once, for the latest slot.
func TestLateWakeUp(t *testing.T) {
	for _, jitter := range []time.Duration{0, 900 * time.Millisecond} {
		start := time.Now()
		at := func(d time.Duration) clock { return clock{mono: start.Add(d), wall: start.Round(0).Add(d)} }
		p, err := newPlan("a", Spec{Every: time.Second, Jitter: jitter})
		if err != nil {
			t.Fatal(err)
		}
		p.begin(at(0))
		var next, ticks, missed int64 = 1, 0, 0
		for d := time.Duration(0); d < time.Hour; d += 7300 * time.Millisecond {
			tick, m, ok := p.take(at(d))
			if !ok {
				continue
			}
			if tick.Number != next+m {
				t.Fatalf("at %v: number %d after %d with %d missed", d, tick.Number, next-1, m)
			}
			fire := time.Duration(tick.Number)*time.Second + p.jitter(tick.Number, jitter)
			after := time.Duration(tick.Number+1)*time.Second + p.jitter(tick.Number+1, jitter)
			if d < fire || d >= after {
				t.Fatalf("at %v: tick %d, which is due from %v to %v", d, tick.Number, fire, after)
			}
			next = tick.Number + 1
			ticks++
			missed += m
			if _, _, again := p.take(at(d)); again {
				t.Fatalf("at %v: a second tick", d)
			}
		}
		if ticks != 493 || ticks+missed != next-1 {
			t.Errorf("%d ticks and %d missed of %d slots", ticks, missed, next-1)
		}
	}
}

func TestJitter(t *testing.T) {
	const bound = 10 * time.Second
	make := func(name string, spec Spec) *plan {
		p, err := newPlan(name, spec)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	a, same, other := make("a", Spec{Every: time.Minute, Jitter: bound}), make("a", Spec{Every: time.Hour, Jitter: bound}), make("b", Spec{Every: time.Minute})
	var sum time.Duration
	differ := 0
	for n := int64(1); n <= 1000; n++ {
		j := a.jitter(n, bound)
		if j < 0 || j >= bound || j != same.jitter(n, bound) {
			t.Fatalf("jitter(%d) = %v, then %v", n, j, same.jitter(n, bound))
		}
		if j != other.jitter(n, bound) {
			differ++
		}
		sum += j
	}
	if mean := sum / 1000; mean < 4500*time.Millisecond || mean > 5500*time.Millisecond {
		t.Errorf("mean of 1000 = %v, want about 5s", mean)
	}
	if differ < 990 {
		t.Errorf("two jobs agree in %d of 1000 ticks", 1000-differ)
	}

	// On a cron line the delay never reaches the next slot, however long it may be.
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := make("c", Spec{Cron: "* * * * *", Jitter: 24 * time.Hour})
	p.begin(clock{mono: now, wall: now})
	for range 1000 {
		if late := p.fire.Sub(p.slot); late < 0 || late >= time.Minute {
			t.Fatalf("slot %v runs at %v", p.slot, p.fire)
		}
		p.number++
		p.setSlot(p.cal.next(p.slot))
	}
}

func BenchmarkCronNext(b *testing.B) {
	cal, err := Spec{Cron: "30 2 29 2 *", TZ: "Europe/Berlin"}.compile()
	if err != nil {
		b.Fatal(err)
	}
	at := time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC)
	b.ReportAllocs()
	for b.Loop() {
		cal.next(at)
	}
}

func BenchmarkApplyUnchanged(b *testing.B) {
	var rec recorder
	jobs := make([]Job, 20)
	for i := range jobs {
		jobs[i] = Job{Name: fmt.Sprint("job", i), Spec: Spec{Cron: "0 9 * * MON-FRI", TZ: "Europe/Berlin"}, Run: rec.run}
	}
	s := New(Options{})
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Apply(jobs); err != nil {
			b.Fatal(err)
		}
	}
}

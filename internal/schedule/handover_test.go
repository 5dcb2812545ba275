package schedule

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
)

// pass hands a state on as another process would get it.
func pass(t *testing.T, st State) State {
	t.Helper()
	text, err := json.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	var out State
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// Jobs that go from scheduler to scheduler every 700 ms tick as under one: every
// slot once, with its number, at its time.
func TestHandoverKeepsTheRhythm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		specs := map[string]Spec{"every": {Every: time.Second}, "jitter": {Every: time.Second, Jitter: 300 * time.Millisecond}, "cron": {Cron: "* * * * *"}}
		var jobs []Job
		for name, spec := range specs {
			jobs = append(jobs, Job{Name: name, Spec: spec, Run: func(_ context.Context, k Tick) error { rec.record(k); return nil }})
		}
		s := New(Options{})
		mustApply(t, s, jobs...)
		start := time.Now()
		stop := begin(t, s)
		for range 300 {
			time.Sleep(700 * time.Millisecond)
			next := New(Options{Suspended: true})
			mustApply(t, next, jobs...)
			stopNext := begin(t, next)
			if err := next.Adopt(pass(t, s.Suspend())); err != nil {
				t.Fatal(err)
			}
			next.Resume(false)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			s, stop = next, stopNext
		}
		synctest.Wait()
		elapsed := time.Since(start)
		infos := s.Jobs()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		seen := map[string]int64{}
		for _, k := range rec.ticks {
			if seen[k.Job]++; k.Number != seen[k.Job] {
				t.Fatalf("job %s: tick %d came as the %dth", k.Job, k.Number, seen[k.Job])
			}
			if d := k.Scheduled.Sub(start.Add(time.Duration(k.Number) * time.Second)); specs[k.Job].Every > 0 && d.Abs() > time.Millisecond {
				t.Fatalf("job %s: tick %d is %v out of its rhythm", k.Job, k.Number, d)
			}
		}
		if n := int64(elapsed / time.Second); seen["every"] != n || seen["jitter"] < n-1 || seen["cron"] < n/60 {
			t.Errorf("%v ticks in %v", seen, elapsed)
		}
		for _, i := range infos {
			if i.Ticks != seen[i.Name] {
				t.Errorf("job %s has an account of %d ticks, %d came", i.Name, i.Ticks, seen[i.Name])
			}
		}
	})
}

// A slot that passed in between ticks once; when the jobs come back from another
// scheduler those are its own.
func TestHandoverGap(t *testing.T) {
	for _, elsewhere := range []bool{false, true} {
		t.Run(fmt.Sprint(elsewhere), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rec := &recorder{}
				s := New(Options{})
				mustApply(t, s, Job{Name: "j", Spec: Spec{Every: time.Second}, Run: func(_ context.Context, k Tick) error { rec.record(k); return nil }})
				stop := begin(t, s)
				time.Sleep(1500 * time.Millisecond)
				st := s.Suspend()
				time.Sleep(3 * time.Second) // slots 2, 3 and 4
				next := s
				if !elsewhere {
					next = New(Options{Suspended: true})
					mustApply(t, next, Job{Name: "j", Spec: Spec{Every: time.Second}, Run: func(_ context.Context, k Tick) error { rec.record(k); return nil }})
					defer begin(t, next)()
					if err := next.Adopt(pass(t, st)); err != nil {
						t.Fatal(err)
					}
				}
				if len(rec.ticks) != 1 {
					t.Fatalf("ticks while nobody had the job: %v", rec.ticks)
				}
				next.Resume(elsewhere)
				time.Sleep(time.Second)
				synctest.Wait()
				var got []int64
				for _, k := range rec.ticks {
					got = append(got, k.Number)
				}
				want := []int64{1, 4, 5}
				if elsewhere {
					want = []int64{1, 5}
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("ticks %v, want %v", got, want)
				}
				if err := stop(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// What runs and what waits in a queue when the jobs go elsewhere ends where it
// began, also when that scheduler is stopped meanwhile.
func TestHandoverFinishesTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := &recorder{}
		s := New(Options{MaxQueue: 3, Done: rec.done, Grace: -1})
		mustApply(t, s, Job{Name: "j", Spec: Spec{Every: time.Second}, Overlap: Queue, Run: func(context.Context, Tick) error {
			time.Sleep(10 * time.Second)
			return nil
		}})
		ended := make(chan error, 1)
		go func() { ended <- s.Run(t.Context()) }()
		time.Sleep(3500 * time.Millisecond)
		s.Suspend()
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if got := rec.counts(); got[OK] != 3 || got[Skipped] != 0 {
			t.Errorf("results %v, want 3 that are ok", got)
		}
	})
}

// A state that is another job's, or that nobody writes, changes nothing.
func TestAdoptRefuses(t *testing.T) {
	good := JobState{Name: "j", Spec: Spec{Every: time.Second}, Number: 7, Due: time.Now()}
	cases := map[string]func(*JobState){
		"no name":   func(j *JobState) { j.Name = "" },
		"number":    func(j *JobState) { j.Number = 0 },
		"too large": func(j *JobState) { j.Number = 1 << 62 },
		"count":     func(j *JobState) { j.Missed = -1 },
		"no spec":   func(j *JobState) { j.Spec = Spec{} },
	}
	for name, spoil := range cases {
		s := New(Options{Suspended: true})
		mustApply(t, s, Job{Name: "j", Spec: Spec{Every: time.Second}, Run: (&recorder{}).run})
		bad := good
		spoil(&bad)
		if err := s.Adopt(State{Jobs: []JobState{good, bad}}); err == nil {
			t.Errorf("%s: no error", name)
		}
		if got := s.Suspend().Jobs[0].Number; got != 1 {
			t.Errorf("%s: the next slot is %d", name, got)
		}
	}
}

// A clock that was set back must not silence a job until the old time comes again.
func TestAdoptAheadOfTheClock(t *testing.T) {
	s := New(Options{Suspended: true})
	mustApply(t, s, Job{Name: "j", Spec: Spec{Every: time.Minute}, Run: (&recorder{}).run})
	if err := s.Adopt(State{Jobs: []JobState{{Name: "j", Spec: Spec{Every: time.Minute}, Number: 9, Due: time.Now().Add(5 * time.Hour)}}}); err != nil {
		t.Fatal(err)
	}
	if next := time.Until(s.Jobs()[0].Next); next > time.Minute {
		t.Errorf("the next tick is in %v", next)
	}
}

func FuzzAdopt(f *testing.F) {
	f.Add([]byte(`{"jobs":[{"name":"j","spec":{"Every":1000000000},"number":3,"due":"2030-01-01T00:00:00Z","ticks":2}]}`))
	f.Add([]byte(`{"jobs":[{"name":"c","spec":{"Cron":"* * * * *"},"number":9223372036854775807,"due":"0001-01-01T00:00:00Z"}]}`))
	f.Add([]byte(`{"jobs":[{"name":"j","spec":{"Every":1000000000},"number":4611686018,"due":"9999-01-01T00:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var st State
		if json.Unmarshal(text, &st) != nil {
			return
		}
		s := New(Options{Suspended: true})
		mustApply(t, s, Job{Name: "j", Spec: Spec{Every: time.Second}, Run: (&recorder{}).run},
			Job{Name: "c", Spec: Spec{Cron: "* * * * *"}, Run: (&recorder{}).run})
		if s.Adopt(st) != nil {
			return
		}
		for _, e := range s.jobs {
			now := s.clock()
			if w := e.plan.wait(now); w > time.Minute+time.Second {
				t.Fatalf("job waits %v", w)
			}
			e.plan.take(now)
		}
	})
}

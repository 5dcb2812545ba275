package schedule

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A recorder collects results and ticks. It is safe for concurrent use.
type recorder struct {
	mu      sync.Mutex
	ticks   []Tick
	results []Result
}

func (r *recorder) run(context.Context, Tick) error { return nil }

func (r *recorder) record(t Tick) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ticks = append(r.ticks, t)
}

func (r *recorder) done(res Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results = append(r.results, res)
}

// counts returns how many results have each status.
func (r *recorder) counts() map[Status]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := make(map[Status]int)
	for _, res := range r.results {
		n[res.Status]++
	}
	return n
}

// begin runs s until the returned function is called, which returns what Run did.
func begin(t *testing.T, s *Scheduler) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return func() error {
		cancel()
		return <-ended
	}
}

func mustApply(t *testing.T, s *Scheduler, jobs ...Job) {
	t.Helper()
	if err := s.Apply(jobs); err != nil {
		t.Fatal(err)
	}
}

// An hour of a job every second, exchanged every 600 ms: each second has its
// tick, once, with the next number.
func TestApplyLosesNoTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		var rec recorder
		start := time.Now()
		version := 0
		job := func() Job {
			version++
			v := version
			return Job{Name: "beat", Spec: Spec{Every: time.Second}, Overlap: []Overlap{Skip, Queue, Allow}[v%3],
				Run: func(_ context.Context, tick Tick) error { rec.record(tick); return nil }}
		}
		mustApply(t, s, job())
		stop := begin(t, s)
		for time.Since(start) < time.Hour-time.Second {
			time.Sleep(600 * time.Millisecond)
			mustApply(t, s, job())
		}
		time.Sleep(time.Hour + 500*time.Millisecond - time.Since(start))
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if len(rec.ticks) != 3600 {
			t.Fatalf("%d ticks in an hour after %d applies, want 3600", len(rec.ticks), version)
		}
		for i, tick := range rec.ticks {
			n := int64(i + 1)
			want := start.Add(time.Duration(n) * time.Second)
			if tick.Number != n || !tick.Scheduled.Equal(want) {
				t.Fatalf("tick %d = %+v, want number %d at %v", i, tick, n, want)
			}
		}
	})
}

func TestApplyExchangesRunButNotPhase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		var rec recorder
		var ran []string
		job := func(name, version string, every time.Duration) Job {
			return Job{Name: name, Spec: Spec{Every: every}, Run: func(_ context.Context, tick Tick) error {
				ran = append(ran, version)
				rec.record(tick)
				return nil
			}}
		}
		mustApply(t, s, job("a", "old", 10*time.Second))
		stop := begin(t, s)
		time.Sleep(10*time.Second + time.Millisecond)
		mustApply(t, s, job("a", "new", 10*time.Second))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := fmt.Sprint(ran, rec.ticks[1].Number); got != "[old new] 2" {
			t.Errorf("ran %s, want [old new] 2", got)
		}

		mustApply(t, s, job("a", "other", 7*time.Second)) // another schedule: phase and numbers anew
		time.Sleep(7 * time.Second)
		synctest.Wait()
		if last := rec.ticks[len(rec.ticks)-1]; len(rec.ticks) != 3 || last.Number != 1 {
			t.Errorf("after a new spec: %d ticks, last %+v; want 3, number 1", len(rec.ticks), last)
		}

		mustApply(t, s) // removed
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(rec.ticks) != 3 {
			t.Errorf("a removed job ticked: %+v", rec.ticks)
		}
		if jobs := s.Jobs(); len(jobs) != 0 {
			t.Errorf("Jobs() = %+v, want none", jobs)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestApplyRefusesTheWholeSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rec recorder
		s := New(Options{})
		good := Job{Name: "a", Spec: Spec{Every: time.Second}, Run: rec.run}
		mustApply(t, s, good)
		before := s.Jobs()
		for name, set := range map[string][]Job{
			"twice":      {good, good},
			"no name":    {{Spec: good.Spec, Run: rec.run}},
			"no run":     {{Name: "b", Spec: good.Spec}},
			"no spec":    {{Name: "b", Run: rec.run}},
			"overlap":    {{Name: "b", Spec: good.Spec, Run: rec.run, Overlap: "maybe"}},
			"timeout":    {{Name: "b", Spec: good.Spec, Run: rec.run, Timeout: -1}},
			"second bad": {{Name: "c", Spec: good.Spec, Run: rec.run}, {Name: "b", Spec: Spec{Cron: "bad"}, Run: rec.run}},
		} {
			if err := s.Apply(set); err == nil {
				t.Errorf("%s: Apply accepted it", name)
			}
			if after := s.Jobs(); !slices.Equal(before, after) {
				t.Errorf("%s: Jobs() = %+v, want %+v", name, after, before)
			}
		}
	})
}

// A run of 2.4 s with a tick each second, under each policy, for ten seconds.
func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		overlap              Overlap
		ok, skipped, maxLive int
		numbers              string
	}{
		{Skip, 4, 6, 1, "[1 4 7 10]"},
		{Queue, 4, 6, 1, "[1 2 4 6]"},
		{Allow, 10, 0, 3, "[1 2 3 4 5 6 7 8 9 10]"},
	} {
		t.Run(string(c.overlap), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var rec recorder
				var log bytes.Buffer
				s := New(Options{Done: rec.done, Log: slog.New(slog.NewTextHandler(&log, nil))})
				var mu sync.Mutex
				live, most := 0, 0
				job := Job{Name: "slow", Spec: Spec{Every: time.Second}, Overlap: c.overlap,
					Run: func(_ context.Context, tick Tick) error {
						rec.record(tick)
						mu.Lock()
						live++
						most = max(most, live)
						mu.Unlock()
						time.Sleep(2400 * time.Millisecond)
						mu.Lock()
						live--
						mu.Unlock()
						return nil
					}}
				mustApply(t, s, job)
				stop := begin(t, s)
				for range 10 {
					time.Sleep(time.Second)
					synctest.Wait()
					mustApply(t, s, job) // the account must survive this
				}
				info := s.Jobs()[0]
				mustApply(t, s) // what is queued goes, what runs finishes
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				var numbers []int64
				for _, tick := range rec.ticks {
					numbers = append(numbers, tick.Number)
				}
				n := rec.counts()
				if got := fmt.Sprint(numbers); got != c.numbers || most != c.maxLive || n[OK] != c.ok || n[Skipped] != c.skipped {
					t.Errorf("ran %s, at most %d at once, results %v; want %s, %d, ok %d, skipped %d",
						got, most, n, c.numbers, c.maxLive, c.ok, c.skipped)
				}
				if info.Ticks != 10 {
					t.Errorf("Ticks = %d, want 10", info.Ticks)
				}
				if warnings, want := strings.Count(log.String(), "ticks skipped"), min(c.skipped, 1); warnings != want {
					t.Errorf("%d warnings in ten seconds, want %d:\n%s", warnings, want, log.String())
				}
			})
		})
	}
}

func TestWarningsOncePerMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := New(Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Grace: -1})
		release := make(chan struct{})
		mustApply(t, s, Job{Name: "stuck", Spec: Spec{Every: time.Second},
			Run: func(context.Context, Tick) error { <-release; return nil }})
		stop := begin(t, s)
		time.Sleep(5*time.Minute + 500*time.Millisecond)
		if info := s.Jobs()[0]; info.Skipped != 299 || info.Running != 1 {
			t.Errorf("Skipped %d, Running %d; want 299, 1", info.Skipped, info.Running)
		}
		close(release)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "ticks skipped"); n != 5 {
			t.Errorf("%d warnings in five minutes, want 5", n)
		}
	})
}

// A job removed and brought back while it runs does not run twice at once.
func TestOverlapSurvivesRemoval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rec recorder
		s := New(Options{Done: rec.done, Grace: -1})
		release := make(chan struct{})
		job := Job{Name: "a", Spec: Spec{Every: time.Second}, Run: func(ctx context.Context, tick Tick) error {
			<-release
			return ctx.Err()
		}}
		mustApply(t, s, job)
		stop := begin(t, s)
		time.Sleep(1500 * time.Millisecond)
		mustApply(t, s)
		mustApply(t, s, job)
		time.Sleep(1100 * time.Millisecond)
		if info := s.Jobs()[0]; info.Running != 1 || info.Skipped != 1 {
			t.Errorf("Running %d, Skipped %d; want 1, 1", info.Running, info.Skipped)
		}
		mustApply(t, s)
		close(release)
		synctest.Wait()
		if n := rec.counts(); n[OK] != 1 || n[Failed] != 0 {
			t.Errorf("results %v: the running instance was not left alone", n)
		}
		if len(s.gone) != 0 {
			t.Errorf("%d removed jobs are kept after their instances ended", len(s.gone))
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rec recorder
		var log bytes.Buffer
		s := New(Options{Done: rec.done, Log: slog.New(slog.NewTextHandler(&log, nil))})
		boom := errors.New("boom")
		every := Spec{Every: time.Second}
		mustApply(t, s,
			Job{Name: "error", Spec: every, Run: func(context.Context, Tick) error { return boom }},
			Job{Name: "exit", Spec: every, Run: func(context.Context, Tick) error { runtime.Goexit(); return nil }},
			Job{Name: "panic", Spec: every, Run: func(context.Context, Tick) error { panic("ouch") }},
			Job{Name: "timeout", Spec: every, Timeout: 300 * time.Millisecond, Run: func(ctx context.Context, _ Tick) error {
				<-ctx.Done()
				return context.Cause(ctx)
			}},
		)
		stop := begin(t, s)
		time.Sleep(2500 * time.Millisecond)
		for _, info := range s.Jobs() {
			if info.Failed != 2 || info.Running != 0 || info.Ticks != 2 {
				t.Errorf("%s: Failed %d, Running %d, Ticks %d; want 2, 0, 2", info.Name, info.Failed, info.Running, info.Ticks)
			}
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		want := map[string]string{"error": "boom", "exit": "ended its goroutine", "panic": "ouch", "timeout": "timeout of 300ms"}
		for _, r := range rec.results {
			if r.Status != Failed || r.Err == nil || !strings.Contains(r.Err.Error(), want[r.Tick.Job]) {
				t.Errorf("%s: %s, %v; want a failure with %q", r.Tick.Job, r.Status, r.Err, want[r.Tick.Job])
			}
			if r.Tick.Job == "timeout" && (!errors.Is(r.Err, context.DeadlineExceeded) || r.Duration != 300*time.Millisecond) {
				t.Errorf("timeout: %v after %v", r.Err, r.Duration)
			}
		}
		if !strings.Contains(log.String(), "TestFailures") {
			t.Errorf("the log of a panic has no stack:\n%s", log.String())
		}
	})
}

func TestStopDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var rec recorder
		s := New(Options{Done: rec.done, Grace: 10 * time.Second})
		mustApply(t, s,
			Job{Name: "short", Spec: Spec{Every: time.Second}, Overlap: Queue, Run: func(ctx context.Context, _ Tick) error {
				time.Sleep(5 * time.Second)
				return ctx.Err()
			}},
			Job{Name: "long", Spec: Spec{Every: time.Second}, Run: func(ctx context.Context, _ Tick) error {
				<-ctx.Done()
				return context.Cause(ctx)
			}})
		stop := begin(t, s)
		time.Sleep(2500 * time.Millisecond)
		began := time.Now()
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("Run returned after %v, want the grace of 10s", took)
		}
		byJob := make(map[string][]string)
		for _, r := range rec.results {
			byJob[r.Tick.Job] = append(byJob[r.Tick.Job], fmt.Sprintf("%d %s %v", r.Tick.Number, r.Status, r.Err))
		}
		if got, want := fmt.Sprint(byJob["short"]), "[2 skipped the scheduler stops 1 ok <nil>]"; got != want {
			t.Errorf("short: %s, want %s", got, want)
		}
		if got, want := fmt.Sprint(byJob["long"]), "[2 skipped an earlier run has not finished 1 failed the scheduler stops]"; got != want {
			t.Errorf("long: %s, want %s", got, want)
		}
		if err := s.Run(t.Context()); err == nil {
			t.Error("Run may be called twice")
		}
	})
}

// Stop's context takes the place of the grace, longer or shorter.
func TestStop(t *testing.T) {
	for _, c := range []struct{ grace, limit, work, want time.Duration }{
		{time.Second, time.Minute, 30 * time.Second, 30 * time.Second},
		{time.Hour, time.Minute, 2 * time.Minute, time.Minute},
		{-1, time.Second, time.Minute, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := New(Options{Grace: c.grace})
			mustApply(t, s, Job{Name: "a", Spec: Spec{Every: time.Second}, Run: func(ctx context.Context, _ Tick) error {
				select {
				case <-time.After(c.work):
				case <-ctx.Done():
				}
				return nil
			}})
			stop := begin(t, s)
			time.Sleep(time.Second)
			synctest.Wait()
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), c.limit)
			defer cancel()
			if err := s.Stop(ctx); err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took != c.want {
				t.Errorf("grace %v, Stop within %v: took %v, want %v", c.grace, c.limit, took, c.want)
			}
			if err := errors.Join(stop(), s.Stop(ctx)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStopBeforeRun(t *testing.T) {
	s := New(Options{})
	if err := errors.Join(s.Stop(t.Context()), s.Run(t.Context()), s.Stop(t.Context())); err != nil {
		t.Error(err)
	}
}

func TestStopNamesWhatIgnoresIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Grace: time.Second})
		release := make(chan struct{})
		mustApply(t, s, Job{Name: "deaf", Spec: Spec{Every: time.Second},
			Run: func(context.Context, Tick) error { <-release; return nil }})
		stop := begin(t, s)
		time.Sleep(1500 * time.Millisecond)
		if err := stop(); err == nil || !strings.Contains(err.Error(), "deaf") {
			t.Errorf("Run() = %v, want an error that names deaf", err)
		}
		close(release)
		synctest.Wait()
	})
}

// Apply, Jobs and the ticks of many jobs at once, for the race detector.
func TestConcurrentUse(t *testing.T) {
	var rec recorder
	s := New(Options{Done: rec.done})
	stop := begin(t, s)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 100 {
				jobs := []Job{{Name: "x", Spec: Spec{Every: time.Millisecond}, Overlap: Queue, Run: rec.run}}
				if (n+i)%3 == 0 {
					jobs = append(jobs, Job{Name: fmt.Sprint("y", i), Spec: Spec{Cron: "* * * * *"}, Run: rec.run})
				}
				if err := s.Apply(jobs); err != nil {
					t.Error(err)
				}
				s.Jobs()
			}
		})
	}
	wg.Wait()
	deadline := time.Now().Add(time.Minute)
	for rec.counts()[OK] < 20 {
		if time.Now().After(deadline) {
			t.Fatalf("results after 10 s: %v", rec.counts())
		}
		runtime.Gosched()
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

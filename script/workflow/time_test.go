package workflow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/theseus-run/theseus/script"
)

func TestParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := mustCompile(t, `
steps:
  a: { run: s1 }
  b: { run: s2 }
  c: { run: s3, needs: [a, b] }
  d: { run: s1, needs: [a] }
  e: { run: s1, with: "${{ steps.d }}" }
`)
		rec := &recorder{}
		start := time.Now()
		_, err := u.Execute(WithObserver(t.Context(), rec), script.Call{Host: hostOf(map[string]unitFunc{"s1": sleep(time.Second), "s2": sleep(2 * time.Second), "s3": sleep(3 * time.Second)})})
		if err != nil {
			t.Fatal(err)
		}
		// a ∥ b, then c from 2 s to 5 s; d from 1 s, e from 2 s to 3 s.
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("the run took %v, want 5s", took)
		}
		var ends []string
		for _, l := range rec.lines {
			if strings.Contains(l, " ok ") {
				ends = append(ends, strings.Fields(l)[0])
			}
		}
		if len(ends) != 5 || ends[0] != "a" || ends[3] != "e" || ends[4] != "c" {
			t.Errorf("steps ended as %v", ends)
		}
	})
}

func TestBoundedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b strings.Builder
		b.WriteString("steps:\n")
		for i := range 40 {
			fmt.Fprintf(&b, "  s%d: { run: s }\n", i)
		}
		u := mustCompile(t, b.String())
		var mu sync.Mutex
		now, most := 0, 0
		start := time.Now()
		_, err := u.Execute(t.Context(), script.Call{Host: hostOf(map[string]unitFunc{"s": func(ctx context.Context, arg map[string]any) (any, error) {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			defer func() { mu.Lock(); now--; mu.Unlock() }()
			return sleep(time.Second)(ctx, arg)
		}})})
		if err != nil || most != maxCalls || time.Since(start) != 3*time.Second {
			t.Errorf("40 steps: %v, %d at once, %v; want nil, 16, 3s", err, most, time.Since(start))
		}
	})
}

func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := mustCompile(t, `
steps:
  a: { run: flaky, retry: { max: 5, backoff: 100ms, max_backoff: 300ms } }
output: "${{ steps.a.n }}"
`)
		tries, until := 0, 5
		host := hostOf(map[string]unitFunc{"flaky": func(context.Context, map[string]any) (any, error) {
			if tries++; tries < until {
				return nil, fmt.Errorf("no %d", tries)
			}
			return map[string]any{"n": tries}, nil
		}})
		rec := &recorder{}
		start := time.Now()
		v, err := u.Execute(WithObserver(t.Context(), rec), script.Call{Host: host})
		if got := render(v, err); got != "5" {
			t.Errorf("run = %s, want 5", got)
		}
		if took := time.Since(start); took != 900*time.Millisecond { // 100 + 200 + 300 + 300
			t.Errorf("the run took %v, want 900ms", took)
		}
		want := []string{"a running 1 0s", "a running 2 100ms no 1", "a running 3 300ms no 2", "a running 4 600ms no 3", "a running 5 900ms no 4", "a ok 5 900ms"}
		if !slices.Equal(rec.lines, want) {
			t.Errorf("observed %q, want %q", rec.lines, want)
		}
		tries, until = 0, 100
		if got, want := run(t, u, "null", host), "error: workflows/w.yaml:3:3: step a: no 6"; got != want {
			t.Errorf("run = %s, want %s", got, want)
		}
		denied := 0
		run(t, u, "null", hostOf(map[string]unitFunc{"flaky": func(context.Context, map[string]any) (any, error) {
			denied++
			return nil, &script.Error{Kind: script.Denied, Message: "no"}
		}}))
		if denied != 1 {
			t.Errorf("a denied call was tried %d times, want once", denied)
		}
	})
}

func TestRetryByStatus(t *testing.T) {
	u := mustCompile(t, "steps: { a: { http: { get: \"http://x.example.com/\" }, retry: { max: 2, backoff: 1ms } } }\n")
	for status, want := range map[int]int{200: 1, 302: 1, 400: 1, 404: 1, 408: 3, 429: 3, 500: 3, 503: 3} {
		tries := 0
		run(t, u, "null", hostOf(map[string]unitFunc{"http": func(context.Context, map[string]any) (any, error) {
			tries++
			return map[string]any{"status": status}, nil
		}}))
		if tries != want {
			t.Errorf("status %d was tried %d times, want %d", status, tries, want)
		}
	}
}

func TestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := mustCompile(t, `
timeout: 10s
steps:
  a: { run: slow, timeout: 2s, retry: { max: 1, backoff: 1s } }
  b: { run: slow, needs: [a], if: always() }
on_failure: { run: release, with: "${{ error }}" }
`)
		released := 0
		host := hostOf(map[string]unitFunc{"slow": sleep(time.Hour), "release": func(_ context.Context, arg map[string]any) (any, error) {
			released++
			if arg["step"] != "a" || arg["kind"] != "timeout" {
				t.Errorf("on_failure got %v", arg)
			}
			return nil, nil
		}})
		start := time.Now()
		if got, want := run(t, u, "null", host), "timeout: workflows/w.yaml:4:3: step a: timed out after 2s"; got != want {
			t.Errorf("run = %s, want %s", got, want)
		}
		if took := time.Since(start); took != 10*time.Second || released != 1 {
			t.Errorf("took %v, released %d; want 10s, 1", took, released)
		}

		whole := mustCompile(t, "timeout: 3s\nsteps: { a: { run: slow }, b: { run: slow, needs: [a] } }\n")
		if got, want := run(t, whole, "null", host), "timeout: workflows/w.yaml: the workflow took longer than 3s"; got != want {
			t.Errorf("run = %s, want %s", got, want)
		}
		quiet := mustCompile(t, "steps: { a: { run: slow } }\n")
		start = time.Now()
		if got, want := run(t, quiet, "null", host), "timeout: workflows/w.yaml: the workflow took longer than 1h0m0s"; got != want && got != "{\"a\":{}}" {
			t.Errorf("run = %s, want %s", got, want)
		}
		if time.Since(start) != time.Hour {
			t.Errorf("the default timeout is %v, want 1h", time.Since(start))
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := mustCompile(t, `
steps:
  a: { run: slow }
  b: { run: bad, retry: { max: 100, backoff: 1h, max_backoff: 1h } }
  c: { run: slow, needs: [a] }
on_failure: { run: never }
`)
		called := map[string]int{}
		var mu sync.Mutex
		count := func(name string, f unitFunc) unitFunc {
			return func(ctx context.Context, arg map[string]any) (any, error) {
				mu.Lock()
				called[name]++
				mu.Unlock()
				return f(ctx, arg)
			}
		}
		host := hostOf(map[string]unitFunc{"slow": count("slow", sleep(time.Hour)), "bad": count("bad", fails("boom")), "never": count("never", echo)})
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(5*time.Second, func() { cancel(errors.New("shutting down")) })
		start := time.Now()
		v, err := u.Execute(ctx, script.Call{Host: host})
		if got, want := render(v, err), "error: workflows/w.yaml: the workflow was canceled: shutting down"; got != want {
			t.Errorf("run = %s, want %s", got, want)
		}
		if !errors.Is(err, context.Canceled) || time.Since(start) != 5*time.Second {
			t.Errorf("canceled after %v: %v", time.Since(start), err)
		}
		if called["slow"] != 1 || called["bad"] != 1 || called["never"] != 0 {
			t.Errorf("calls %v", called)
		}
		late, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := u.Execute(late, script.Call{Host: host}); script.KindOf(err) != script.Timeout || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("past the caller's deadline: %v", err)
		}
	})
}

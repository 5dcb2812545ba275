//go:build unix

package supervise

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestReplace(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	first := w.answers("v1")
	w.deploy("v2")
	if err := w.Replace(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if second := w.answers("v2"); second == first {
		t.Errorf("the process is the same, %d", second)
	}
	w.awaitStates(StateServing)
	st := w.Status()
	if st.State != StateServing || st.Replacements != 1 || st.Last == nil || !st.Last.OK || st.Restarts != 0 {
		t.Errorf("status %+v, last %+v", st, st.Last)
	}
}

// TestBrokenReleases replaces a good release by each kind of bad one: the old
// process goes on, the bad release is remembered, a good one is let in.
func TestBrokenReleases(t *testing.T) {
	t.Parallel()
	notify, probe := Ready{Kind: ReadyNotify}, Ready{Kind: ReadyHTTP, Path: "/probe"}
	for _, c := range []struct {
		name, words string
		ready       Ready
		timeout     time.Duration
		stage       State
		want        string
	}{
		{"exits at once", "bad exit 3", notify, patience, StateStarting, "exit status 3"},
		{"never ready", "bad mute", notify, time.Second, StateStarting, "not ready after 1s: no READY=1"},
		{"another speaks for it", "bad nested", notify, time.Second, StateStarting, "not ready after 1s"},
		{"dies after ready", "bad dies 300ms", notify, patience, StateProbation, "exit status 7"},
		{"answers 500", "bad fails", probe, time.Second, StateStarting, "not ready after 1s"},
		{"does not accept", "bad dead", probe, time.Second, StateStarting, "not ready after 1s"},
		{"answers 500 later", "bad late 2", probe, patience, StateProbation, "it answers 500"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := start(t, func(o *Options) { o.Ready, o.Probation = c.ready, 300*time.Millisecond })
			old := w.answers("v1")
			w.await(Serving, 1)
			w.opt.ReadyTimeout = c.timeout // good ones may be slow
			if !c.ready.probes() {
				w.opt.Probation = patience // it must come to its end by itself
			}
			w.deploy(c.words)
			err := w.Replace(t.Context(), false)
			var rolled *RollbackError
			if !errors.As(err, &rolled) || rolled.Stage != c.stage || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("Replace = %v, want a rollback in %s: %s", err, c.stage, c.want)
			}
			if again := w.answers("v1"); again != old {
				t.Errorf("process %d serves, want the old one, %d", again, old)
			}
			w.awaitStates(StateServing)
			if err := w.Replace(t.Context(), false); !errors.Is(err, ErrRolledBack) {
				t.Errorf("Replace by the same = %v, want ErrRolledBack", err)
			}
			if err := w.Replace(t.Context(), true); !errors.As(err, &rolled) {
				t.Errorf("forced Replace by the same = %v, want a rollback", err)
			}
			w.opt.ReadyTimeout, w.opt.Probation = patience, 20*time.Millisecond
			w.deploy("v2")
			if err := w.Replace(t.Context(), false); err != nil {
				t.Fatalf("Replace by a good one: %v", err)
			}
			w.answers("v2")
		})
	}
}

// TestHungReleaseIsSeenByProbe: a process that hangs leaves all connections to
// the old one, so only a last answer of its own lets it in.
func TestHungReleaseIsSeenByProbe(t *testing.T) {
	t.Parallel()
	w := start(t, func(o *Options) {
		o.Ready, o.Probation, o.pace.last = Ready{Kind: ReadyTCP}, time.Second, 500*time.Millisecond
	})
	old := w.answers("v1")
	w.deploy("v2")
	verdict := make(chan error, 1)
	go func() { verdict <- w.Replace(t.Context(), false) }()
	e := w.await(OnTrial, 1)
	stop(t, e.PID)
	if err := <-verdict; err == nil {
		t.Fatalf("a process that hangs was let in")
	}
	if again := w.answers("v1"); again != old {
		t.Errorf("process %d serves, want %d", again, old)
	}
}

func TestCannotStart(t *testing.T) {
	t.Parallel()
	exe := executable(t)
	for _, c := range []struct {
		name, want string
		put        func(path string) error
	}{
		{"missing", "no such file", os.Remove},
		{"not executable", "permission denied", func(p string) error { return os.Chmod(p, 0o644) }},
		{"directory", "directory", func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o755)) }},
		{"truncated", "exec format error", func(p string) error { return replaceFile(p, "\x7fELF\x02\x01\x01") }},
		{"no #! line", "exec format error", func(p string) error { return replaceFile(p, "exit 0\n") }},
		{"interpreter missing", "interpreter", func(p string) error { return replaceFile(p, "#!/nonexistent/sh\n") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "app")
			if err := os.Symlink(exe, path); err != nil {
				t.Fatal(err)
			}
			w := start(t, func(o *Options) { o.Command[0] = path })
			old := w.answers("v1")
			if c.name == "not executable" {
				_ = replaceFile(path, "x")
			}
			if err := c.put(path); err != nil {
				t.Fatal(err)
			}
			err := w.Replace(t.Context(), false)
			var startErr *StartError
			if !errors.As(err, &startErr) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Replace = %v, want a StartError: %s", err, c.want)
			}
			if again := w.answers("v1"); again != old {
				t.Errorf("process %d serves, want %d", again, old)
			}
		})
	}
}

func replaceFile(path, content string) error {
	if err := os.WriteFile(path+".new", []byte(content), 0o755); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func TestOneReplacementAtATime(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.answers("v1")
	w.deploy("v2 mute")
	ctx, cancel := context.WithCancel(t.Context())
	verdict := make(chan error, 1)
	go func() { verdict <- w.Replace(ctx, false) }()
	w.await(Started, 2)
	if err := w.Replace(t.Context(), true); !errors.Is(err, ErrInProgress) {
		t.Errorf("Replace during another = %v, want ErrInProgress", err)
	}
	cancel()
	if err := <-verdict; !errors.Is(err, context.Canceled) {
		t.Errorf("a replacement given up = %v", err)
	}
	w.awaitStates(StateServing)
	if got := w.Status().Refused; len(got) != 0 {
		t.Errorf("refused %v: giving up says nothing about a release", got)
	}
	w.stopRun()
	<-w.done
	if err := w.Replace(t.Context(), false); !errors.Is(err, ErrStopping) {
		t.Errorf("Replace after the end = %v, want ErrStopping", err)
	}
}

// TestManyDrain: old children that do not end hold nothing up, and of too many
// the oldest is killed.
func TestManyDrain(t *testing.T) {
	t.Parallel()
	w := start(t, func(o *Options) { o.Probation = -1 })
	w.answers("v1")
	w.deploy("old stubborn")
	for i := range mostDraining + 3 {
		if err := w.Replace(t.Context(), false); err != nil {
			t.Fatalf("replacement %d: %v", i, err)
		}
	}
	w.await(Killed, 2) // the first child ends by itself, in time or not
	for _, e := range w.of(Killed) {
		if e.Child > 3 || !strings.Contains(e.Detail, "oldest") {
			t.Errorf("killed %+v, want children 2 and 3", e)
		}
	}
	w.await(Ended, 3)
	if got := w.states(); len(got) != mostDraining+1 {
		t.Errorf("children %v, want %d that drain and one", got, mostDraining)
	}
	w.signals <- sigTerm
	w.await(Stopping, 1)
	until(t, "the end by a second signal", func() bool {
		select {
		case w.signals <- sigTerm:
		default:
		}
		select {
		case <-w.done:
			return true
		default:
			return false
		}
	})
	if !errors.Is(w.err, ErrInterrupted) {
		t.Errorf("Run = %v, want ErrInterrupted", w.err)
	}
}

// TestReplacementsUnderLoad: no connection is refused and no request fails.
func TestReplacementsUnderLoad(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.answers("v1")
	var stopped atomic.Bool
	var requests, failed atomic.Int64
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for !stopped.Load() {
				requests.Add(1)
				if _, err := get1(w.address(), "/"); err != nil {
					failed.Add(1)
					t.Errorf("request: %v", err)
				}
				time.Sleep(time.Millisecond) // leave a core to the children
			}
		})
	}
	began, replacements := time.Now(), 50
	if testing.Short() {
		replacements = 5
	}
	for i := range replacements {
		if err := w.Replace(t.Context(), false); err != nil {
			t.Errorf("replacement %d: %v", i, err)
			break
		}
	}
	took := time.Since(began)
	stopped.Store(true)
	clients.Wait()
	t.Logf("%d replacements in %s, %d requests, %d failed", replacements, took, requests.Load(), failed.Load())
	w.awaitStates(StateServing)
}

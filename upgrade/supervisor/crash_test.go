//go:build linux

package supervisor

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestCrash: the worker that serves is killed again and again; each time another one
// starts from its snapshot, and nobody who connects meanwhile is refused.
func TestCrash(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.snapshot()
	last := w.ask()
	for i := range 5 {
		w.snapshotHas(last.count)
		_ = syscall.Kill(last.pid, syscall.SIGKILL)
		until(t, "its end", func() bool { return gone(last.pid) })
		var wg sync.WaitGroup // who connects now waits
		for range 8 {
			wg.Go(func() {
				if _, err := w.get("/"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		w.await(Serving, i+2)
		now := w.ask()
		if now.pid == last.pid || now.count < last.count+9 || now.generation != last.generation+1 {
			t.Errorf("after crash %d: %+v, before %+v", i, now, last)
		}
		last = now
	}
	pauses := w.of(Waiting)
	for i, e := range pauses[1:] {
		if e.Took != min(2*pauses[i].Took, 200*time.Millisecond) {
			t.Errorf("pause %d is %s after %s", i+1, e.Took, pauses[i].Took)
		}
	}
	if s := w.status(); s.Restarts != 5 || s.Upgrades != 0 || len(s.Workers) != 1 {
		t.Errorf("status %+v", s)
	}
}

// snapshotHas waits until the supervisor has a snapshot that is younger than the
// count.
func (w *world) snapshotHas(int) {
	w.t.Helper()
	now := w.status().Snapshot
	for range 2 { // the next one may have been begun before
		until(w.t, "the next snapshot", func() bool { s := w.status().Snapshot; ok := s.After(now); now = s; return ok })
	}
}

// TestPauseBeginsAnew: a worker that ran for long is started again at once.
func TestPauseBeginsAnew(t *testing.T) {
	t.Parallel()
	w := start(t, func(_ *world, c *setup) { c.Steady = time.Nanosecond })
	for i := range 3 {
		_ = syscall.Kill(w.ask().pid, syscall.SIGKILL)
		w.await(Serving, i+2)
	}
	for _, e := range w.of(Waiting) {
		if e.Took != 10*time.Millisecond {
			t.Errorf("a pause of %s", e.Took)
		}
	}
}

// TestCrashOfReplacedFile: what is started again is what ran, though its file is
// another one now, or gone.
func TestCrashOfReplacedFile(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.snapshot()
	replaceFile(t, w.program, func(name string) error { return copyFile(name, "/bin/true", -1) })
	first := w.ask()
	_ = syscall.Kill(first.pid, syscall.SIGKILL)
	if second := w.ask(); second.pid == first.pid {
		t.Errorf("%+v, before %+v", second, first)
	}
}

// TestCrashLoop: workers that fail after a crash are tried again and again, and the
// first good one serves.
func TestCrashLoop(t *testing.T) {
	t.Parallel()
	for _, broken := range []string{"exit", "hang", "never"} {
		t.Run(broken, func(t *testing.T) {
			t.Parallel()
			w := start(t, func(_ *world, c *setup) {
				if broken != "exit" {
					c.Ready = 200 * time.Millisecond
				}
			})
			w.snapshot()
			first := w.ask()
			w.config.Broken = broken
			w.deploy()
			_ = syscall.Kill(first.pid, syscall.SIGKILL)
			w.await(Started, 4)
			w.config.Broken, w.config.Name = "", "mended"
			w.deploy()
			if a := w.ask(); a.name != "mended" || a.count < first.count {
				t.Errorf("%+v", a)
			}
			if len(w.of(Killed)) == 0 && broken != "exit" {
				t.Error("nothing was killed")
			}
		})
	}
}

// TestEarlierProgram: when the program cannot be started any more, the one before the
// upgrade is, also by a supervisor that was replaced since, and from a file that is
// gone; when that fails in turn, the other one has another chance.
func TestEarlierProgram(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.snapshot()
	next := filepath.Join(w.dir, "next")
	replaceFile(t, next, func(name string) error { return copyFile(name, own(t), -1) })
	runs := func(path string) func(answer) bool {
		return func(a answer) bool {
			exe, _ := os.Readlink("/proc/" + itoa(a.pid) + "/exe")
			return strings.TrimSuffix(exe, " (deleted)") == path
		}
	}
	if got := w.ordered("upgrade", next); got != "ok" {
		t.Fatalf("upgrade: %s", got)
	}
	w.order("replace", next)
	w.await(Replaced, 1)
	second := w.asked("an answer of the second program", runs(next))
	if err := os.Remove(w.program); err != nil {
		t.Fatal(err)
	}
	w.config.Broken, w.config.BrokenIn = "exit", next
	w.deploy()
	_ = syscall.Kill(second.pid, syscall.SIGKILL)
	e := w.await(FellBack, 1)
	if !strings.Contains(e.Detail, next) || !strings.Contains(e.Detail, w.program) {
		t.Errorf("the event says %q", e.Detail)
	}
	third := w.ask()
	w.await(Serving, 3)
	if !runs(w.program)(third) || third.count < second.count {
		t.Errorf("%+v, before %+v", third, second)
	}
	w.config.Broken, w.config.BrokenIn = "exit", w.program
	w.deploy()
	_ = syscall.Kill(third.pid, syscall.SIGKILL)
	w.await(FellBack, 2)
	if a := w.ask(); !runs(next)(a) {
		t.Errorf("%+v", a)
	}
}

// TestFirstStartFails: what never served is not tried again; its status is the
// supervisor's.
func TestFirstStartFails(t *testing.T) {
	t.Parallel()
	w := begin(t, func(w *world, _ *setup) { w.config.Broken = "exit" })
	if status := w.awaitEnd(); status != 3 {
		t.Errorf("exit status %d", status)
	}
	w = begin(t, func(w *world, c *setup) { c.Path = filepath.Join(w.dir, "missing") })
	if status := w.awaitEnd(); status != 97 || !strings.Contains(w.log(), "no such file") {
		t.Errorf("exit status %d: %s", status, w.log())
	}
}

// quick is how often workers beat where a test waits for that to be missed.
const quick = 50 * time.Millisecond

// TestStall: a worker that hangs is noticed; one that goes on is well again.
func TestStall(t *testing.T) {
	t.Parallel()
	w := start(t, func(_ *world, c *setup) { c.Heartbeat = quick })
	w.snapshot()
	a := w.ask()
	_ = syscall.Kill(a.pid, syscall.SIGSTOP)
	w.await(Degraded, 1)
	if s := w.status(); s.State != StateDegraded {
		t.Errorf("status %+v", s)
	}
	c, err := net.Dial("tcp", w.config.Addr) // it waits in the queue
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = syscall.Kill(a.pid, syscall.SIGCONT)
	w.await(Recovered, 1)
	if b := w.ask(); b.pid != a.pid {
		t.Errorf("%+v, before %+v", b, a)
	}
	// One that says it is not well is degraded too, and not killed.
	if _, err := w.get("/sick?sick=yes"); err != nil {
		t.Fatal(err)
	}
	if e := w.await(Degraded, 2); !strings.Contains(e.Detail, "not well") {
		t.Errorf("%+v", e)
	}
	if _, err := w.get("/sick?sick=no"); err != nil {
		t.Fatal(err)
	}
	w.await(Recovered, 2)
	if len(w.of(Killed)) > 0 {
		t.Error("something was killed")
	}
}

// TestStallIsKilled: a worker that goes on hanging is killed and another one serves.
func TestStallIsKilled(t *testing.T) {
	t.Parallel()
	w := start(t, func(_ *world, c *setup) { c.Heartbeat, c.Stall = quick, time.Second })
	w.snapshot()
	a := w.ask()
	w.snapshotHas(a.count)
	a = w.ask() // on a slow machine one may have been killed before
	_ = syscall.Kill(a.pid, syscall.SIGSTOP)
	until(t, "word that it hangs", func() bool { // what it accepted before is lost with it
		return slices.ContainsFunc(w.of(Degraded), func(e Event) bool { return e.PID == a.pid }) && !gone(a.pid) || gone(a.pid)
	})
	if b := w.asked("another worker", func(b answer) bool { return b.pid != a.pid }); b.count <= 1 {
		t.Errorf("%+v, before %+v", b, a)
	}
	until(t, "word of the kill", func() bool {
		return slices.ContainsFunc(w.of(Killed), func(e Event) bool { return e.PID == a.pid && strings.Contains(e.Detail, "heartbeats") })
	})
}

// TestKillAnywhere kills supervisor, worker or both at each named point. As long as the
// supervisor lives the service goes on; when it is dead what serves serves on, and
// ends when it is told to.
func TestKillAnywhere(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"served", "snapshot", "started", "ended", "restarted", "degraded", "trial", "frozen"} {
		for _, action := range []string{"kill", "killWorker", "killBoth"} {
			t.Run(point+" "+action, func(t *testing.T) {
				t.Parallel()
				w := begin(t, func(_ *world, c *setup) {
					c.Point, c.Action = point, action
					if point == "degraded" {
						c.Heartbeat = quick
					}
					if point == "served" {
						c.Nth = 2
					}
				})
				w.provoke(point)
				if action == "killWorker" {
					until(t, "an answer of the next one", w.drains) // the dead one may have taken a request with it
					w.order("status")
					w.await(result, 1)
					w.signal(syscall.SIGTERM)
					w.awaitEnd()
					return
				}
				until(t, "the end of the supervisor", func() bool { return gone(w.cmd.Process.Pid) })
				// A worker that was being started may become the service, or end.
				until(t, "the workers to settle", func() bool { return len(w.alive()) <= 1 || w.drains() })
				if action == "kill" && point != "ended" && point != "restarted" {
					if len(w.alive()) == 0 {
						t.Fatal("nobody is left to serve")
					}
					w.ask()
				}
				for _, pid := range w.alive() {
					_ = syscall.Kill(pid, syscall.SIGTERM)
				}
				until(t, "the end of all", func() bool { return len(w.alive()) == 0 })
				until(t, "the socket to be free", func() bool { // a trial holds it for a moment
					ln, err := net.Listen("tcp", w.config.Addr)
					if err == nil {
						ln.Close()
					}
					return err == nil
				})
			})
		}
	}
}

// drains reports whether a request is answered though several workers live.
func (w *world) drains() bool {
	_, err := w.get("/")
	return err == nil
}

// provoke brings the supervisor to the point, if it lives as long.
func (w *world) provoke(point string) {
	w.t.Helper()
	if point == "snapshot" { // comes by itself
		w.await(Serving, 1)
		return
	}
	w.await(Serving, 1)
	w.snapshot()
	pid := w.of(Serving)[0].PID
	switch point {
	case "served", "started":
		w.config.Name = "v2"
		w.deploy()
		w.order("upgrade", "")
	case "ended", "restarted":
		_ = syscall.Kill(pid, syscall.SIGKILL)
	case "degraded":
		_ = syscall.Kill(pid, syscall.SIGSTOP)
		w.await(Degraded, 1)
		_ = syscall.Kill(pid, syscall.SIGCONT)
	case "trial", "frozen":
		next := filepath.Join(w.dir, "next")
		w.install(next, "")
		w.order("replace", next)
	}
	if point != "served" || w.of(Started) != nil {
		until(w.t, "the point "+point, func() bool {
			return gone(w.cmd.Process.Pid) || gone(pid) || len(w.of(Ended)) > 0 || len(w.of(Serving)) > 1
		})
	}
}

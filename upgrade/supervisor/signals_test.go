//go:build linux

package supervisor

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStop: workers drain, and the exit status is that of the one that served.
func TestStop(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		w := start(t, nil)
		slow, err := w.client().Get("http://service/slow?ms=200")
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Body.Close()
		w.signal(sig)
		if status := w.awaitEnd(); status != 0 {
			t.Errorf("%v: exit status %d", sig, status)
		}
		if text, err := io.ReadAll(slow.Body); err != nil || len(text) == 0 {
			t.Errorf("%v: a request that was under way: %q %v", sig, text, err)
		}
		if len(w.alive()) > 0 {
			t.Errorf("%v: workers live on", sig)
		}
	}
}

// TestStopTwice: the second signal kills.
func TestStopTwice(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	_ = syscall.Kill(w.ask().pid, syscall.SIGSTOP) // it cannot drain
	w.signal(syscall.SIGTERM)
	w.await(Stopping, 1)
	until(t, "the end", func() bool {
		_ = w.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-w.done:
			return true
		default:
			return false
		}
	})
	if status := w.awaitEnd(); status != 128+int(syscall.SIGKILL) {
		t.Errorf("exit status %d", status)
	}
}

// TestSignalsArePassedOn: those that are not for the supervisor go to the worker that
// serves.
func TestSignalsArePassedOn(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.signal(syscall.SIGHUP)
	until(t, "SIGHUP in the worker", func() bool { text, _ := w.get("/hups"); return text == "1" })
	w.config.Name = "v2"
	w.deploy()
	w.signal(syscall.SIGUSR2)
	w.asked("an upgrade", func(a answer) bool { return a.name == "v2" && a.generation == 1 })
}

// TestSignalStorm: many signals at any time, replacements of the supervisor included,
// end nothing.
func TestSignalStorm(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.snapshot()
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
				_ = w.cmd.Process.Signal(syscall.SIGHUP)
				_ = w.cmd.Process.Signal(syscall.SIGWINCH)
				time.Sleep(100 * time.Microsecond)
			}
		}
	}()
	for i := range 3 {
		next := filepath.Join(w.dir, "next"+strconv.Itoa(i))
		w.install(next, "")
		w.order("replace", next)
		w.await(Replaced, i+1)
	}
	close(quit)
	<-done
	w.signal(syscall.SIGTERM)
	if status := w.awaitEnd(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// TestOrphansAreReaped: processes that lost their parent become the supervisor's, and
// do not stay as zombies; also what the supervisor is after its replacement.
func TestOrphansAreReaped(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	orphan(t, w)
	next := filepath.Join(w.dir, "next")
	w.install(next, "")
	w.order("replace", next)
	w.await(Replaced, 1)
	orphan(t, w)
}

func orphan(t *testing.T, w *world) {
	t.Helper()
	if _, err := w.get("/orphan"); err != nil {
		t.Fatal(err)
	}
	until(t, "nothing but the worker below the supervisor", func() bool { return len(childrenOf(w.cmd.Process.Pid)) == 1 })
}

// childrenOf lists children, zombies included.
func childrenOf(pid int) (all []string) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		stat, _ := os.ReadFile("/proc/" + e.Name() + "/stat")
		f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(f) > 1 && f[1] == strconv.Itoa(pid) {
			all = append(all, string(stat))
		}
	}
	return all
}

// TestPID1: in a process namespace of its own the supervisor is process 1: it reaps
// what is left to it, is replaced, and everything ends with it.
func TestPID1(t *testing.T) {
	t.Parallel()
	w := start(t, func(w *world, _ *setup) {
		attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
		if os.Geteuid() != 0 {
			attr.Cloneflags |= syscall.CLONE_NEWUSER
		}
		probe := exec.Command("/bin/true")
		probe.SysProcAttr = attr
		if err := probe.Run(); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("no process namespaces here: %v", err)
			}
			t.Skipf("no process namespaces here: %v", err)
		}
		w.cmd.SysProcAttr, w.inside = attr, true
	})
	w.snapshot()
	orphan(t, w)
	next := filepath.Join(w.dir, "next")
	w.install(next, "")
	w.order("replace", next)
	w.await(Replaced, 1)
	orphan(t, w)
	if s := w.status(); s.PID != 1 {
		t.Errorf("status %+v", s)
	}
	w.config.Name = "v2"
	w.deploy()
	w.signal(syscall.SIGUSR2)
	w.asked("an upgrade", func(a answer) bool { return a.name == "v2" })
	w.signal(syscall.SIGTERM)
	if status := w.awaitEnd(); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// TestSecondSupervisor: one that is started while workers of another serve fails, and
// says why.
func TestSecondSupervisor(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.snapshot()
	_ = w.cmd.Process.Kill()
	until(t, "its end", func() bool { return gone(w.cmd.Process.Pid) })
	a := w.ask() // unsupervised
	other := begin(t, func(o *world, _ *setup) { o.config.Addr = w.config.Addr })
	if status := other.awaitEnd(); status != 1 || !strings.Contains(other.log(), "address already in use") {
		t.Errorf("exit status %d: %s", status, other.log())
	}
	if b := w.ask(); b.pid != a.pid {
		t.Errorf("%+v, before %+v", b, a)
	}
	_ = syscall.Kill(a.pid, syscall.SIGTERM)
	until(t, "its end", func() bool { return gone(a.pid) })
}

// TestUnixSocket: a socket with a file survives a crash, and its file ends with the
// service.
func TestUnixSocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "u") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w := start(t, func(w *world, _ *setup) { w.config.Network, w.config.Addr = "unix", filepath.Join(dir, "s") })
	w.snapshot()
	a := w.ask()
	_ = syscall.Kill(a.pid, syscall.SIGKILL)
	if b := w.ask(); b.pid == a.pid {
		t.Errorf("%+v, before %+v", b, a)
	}
	w.await(Serving, 2)
	w.signal(syscall.SIGTERM)
	w.awaitEnd()
	if _, err := os.Lstat(w.config.Addr); err == nil {
		t.Error("the file of the socket is left behind")
	}
}

//go:build linux

package upgrade

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// SIGTERM ends the service at any moment of an upgrade, and leaves no process.
func TestStopDuringUpgrade(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		broken string
		group  bool // every process gets the signal, as in a control group
	}{
		{"while starting", "never", false},
		{"while starting, all", "never", true},
		{"on probation", "", false},
		{"on probation, all", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			in := startService(t, config{Ready: time.Minute, Probation: time.Minute, Drain: time.Minute})
			old := in.pid()
			in.set(func(x *config) { x.Broken = c.broken })
			go in.upgrade("")
			waitFor(t, "the second process", func() bool { return len(descendants(t, in)) == 2 })
			if c.broken == "" {
				in.onProbation(old)
			} else {
				waitFor(t, "the upgrade", func() bool { text, _ := in.get("/status"); return strings.Contains(text, string(Upgrading)) })
			}
			pid := old
			if c.group {
				for _, other := range descendants(t, in) {
					if other != old {
						syscall.Kill(other, syscall.SIGTERM)
					}
				}
			}
			syscall.Kill(pid, syscall.SIGTERM)
			waitFor(t, "all processes to end", func() bool { return len(descendants(t, in)) == 0 })
			if _, err := os.Stat(in.config.PIDFile); !os.IsNotExist(err) {
				t.Errorf("the PID file: %v", err)
			}
		})
	}
}

// SIGTERM to a process on probation gives the service back without a failed
// request, and leaves its socket file.
func TestStopOnProbation(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	in := startService(t, config{Network: "unix", Addr: path, Probation: time.Minute})
	in.addr = path
	old := in.pid()
	l := in.startLoad(4)
	failed := make(chan error)
	go func() {
		_, err := in.upgrade("")
		failed <- err
	}()
	young := in.onProbation(old)
	syscall.Kill(young, syscall.SIGTERM)
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "told to stop") {
		t.Errorf("upgrade: %v", err)
	}
	waitFor(t, "the process to end", func() bool { return !alive(young) })
	for range 20 {
		if _, h := in.get("/"); h.Get("X-Pid") != fmt.Sprint(old) {
			t.Errorf("process %s answers, want %d", h.Get("X-Pid"), old)
		}
	}
	if failed := l.end(); len(failed) > 0 {
		t.Errorf("failed: %v", failed)
	}
	if text, _ := in.get("/counter"); !strings.HasSuffix(text, " 1\n") {
		t.Errorf("singleton: %q", text)
	}
}

// A second SIGTERM ends the drain.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	in := startService(t, config{Drain: time.Hour})
	pid := in.pid()
	c := in.dial()
	c.send("GET /slow?for=1h HTTP/1.1\r\nHost: x\r\n\r\n")
	waitFor(t, "the request to run", func() bool { text, _ := in.get("/status"); return strings.Contains(text, `"inflight":2`) })
	syscall.Kill(pid, syscall.SIGTERM)
	waitFor(t, "the listener to close", func() bool {
		c, err := net.Dial("tcp", in.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	syscall.Kill(pid, syscall.SIGTERM)
	if text, _, _ := c.answer(); text != "drain time-out\n" {
		t.Errorf("%q", text)
	}
	waitFor(t, "the process to end", func() bool { return len(descendants(t, in)) == 0 })
}

// The old process is killed while it drains: what it had is lost, the service goes
// on. The new one is killed after the commit, while the old one still drains: then
// nobody serves, as after any crash of a service, and the old one ends by itself.
func TestKilledAfterCommit(t *testing.T) {
	t.Parallel()
	t.Run("old", func(t *testing.T) {
		t.Parallel()
		in := startService(t, config{Drain: time.Hour})
		old := in.pid()
		c := in.dial()
		c.send("GET /slow?for=1h HTTP/1.1\r\nHost: x\r\n\r\n")
		waitFor(t, "the request to run", func() bool { text, _ := in.get("/status"); return strings.Contains(text, `"inflight":2`) })
		l := in.startLoad(2)
		r, err := in.upgrade("")
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the drain", func() bool { text, _ := in.get("/status"); return strings.Contains(text, `"draining":[{`) })
		served := l.served.Load()
		waitFor(t, "the load to move", func() bool { return l.served.Load() > served+50 })
		kill9(t, old)
		waitFor(t, "the drain to be off the list", func() bool { text, _ := in.get("/status"); return !strings.Contains(text, `"draining"`) })
		if failed := l.end(); len(failed) > 0 {
			t.Errorf("failed: %v", failed)
		}
		in.works(r.PID)
	})
	t.Run("new", func(t *testing.T) {
		t.Parallel()
		in := startService(t, config{Drain: time.Hour})
		old := in.pid()
		slow, idle := in.dial(), in.dial()
		slow.send("GET /slow?for=1s HTTP/1.1\r\nHost: x\r\n\r\n")
		idle.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
		waitFor(t, "the requests to run", func() bool { text, _ := in.get("/status"); return strings.Contains(text, `"inflight":3`) })
		r, err := in.upgrade("")
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the commit", func() bool { return in.pid() == r.PID })
		kill9(t, r.PID)
		if text, pid, _ := slow.answer(); text != "done\n" || pid != fmt.Sprint(old) {
			t.Errorf("%q by %s", text, pid)
		}
		idle.send("b")
		if text, pid, _ := idle.answer(); text != "ab" || pid != fmt.Sprint(old) {
			t.Errorf("%q by %s", text, pid)
		}
		slow.Close()
		idle.Close()
		waitFor(t, "the old process to end", func() bool { return !alive(old) })
		in.start()
		in.works(in.pid())
	})
}

// Run leaves no goroutine behind but the one that waits for the successor to exit.
func TestGoroutines(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := func(n int) string { return filepath.Join(dir, fmt.Sprint(n)) }
	in := startService(t, config{Probation: 50 * time.Millisecond, Lab: lab{Leaks: name(0), Packets: []string{"udp|127.0.0.1:0"}, Pools: filepath.Join(dir, "pools")}})
	c := in.dial()
	c.send(getRoot)
	c.answer()
	for n := 1; n < 3; n++ {
		in.set(func(c *config) { c.Lab.Leaks = name(n) })
		in.swap()
	}
	syscall.Kill(in.pid(), syscall.SIGTERM)
	waitFor(t, "the service to end", func() bool { return len(descendants(t, in)) == 0 })
	for n := range 3 {
		text, err := os.ReadFile(name(n))
		if err != nil || string(text) != "none" {
			t.Errorf("process %d: %v\n%s", n, err, text)
		}
	}
}

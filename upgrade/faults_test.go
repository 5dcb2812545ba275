//go:build linux

package upgrade

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What fails in the old process fails the upgrade and no more: the new program is
// not blamed, and the singleton runs in exactly one process.
func TestOldFails(t *testing.T) {
	t.Parallel()
	cases := []struct{ mode, want string }{
		{"release fails", "release counter: a job runs"},
		{"release hangs", "release counter: Release did not return within 300ms"},
		{"state fails", `state "odd": the disk is gone`},
		{"state hangs", "not ready within"},
		{"state late", "not ready within"},
		{"state large", "larger than the limit"},
	}
	if testing.Short() {
		cases = cases[1:3]
	}
	for _, c := range cases {
		t.Run(c.mode, func(t *testing.T) {
			t.Parallel()
			b := lab{SingletonLimit: 300 * time.Millisecond, StateLimit: 1 << 20}
			if c.mode == "state large" {
				b.StateSize = 1<<20 + 1
			}
			ready := 30 * time.Second
			if strings.HasPrefix(c.want, "not ready") {
				ready = time.Second
			}
			in := startService(t, config{Ready: ready, Lab: b})
			pid := in.pid()
			l := in.startLoad(2)
			in.mode(c.mode)
			if _, err := in.upgrade(""); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("upgrade: %v, want %q", err, c.want)
			}
			if failed := l.end(); len(failed) > 0 {
				t.Errorf("failed: %v", failed)
			}
			if text, _ := in.get("/status"); strings.Contains(text, `"rejected"`) && !strings.HasSuffix(c.mode, "hangs") && c.mode != "state late" {
				t.Errorf("the program is blamed: %s", text)
			}
			if c.mode == "state large" {
				return
			}
			in.mode("")
			waitFor(t, "the singleton to run", func() bool { text, _ := in.get("/counter"); return strings.HasSuffix(text, " 1\n") })
			in.works(pid)
		})
	}
}

// A singleton that the new process cannot take, or that hangs there, goes back with
// its state. One that cannot be taken back is tried again, and its state goes to
// the next owner whoever that is.
func TestNewCannotAcquire(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]string{"acquire fails": "acquire counter: the lease is taken", "acquire hangs": "acquire counter: Acquire did not return within 300ms"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			in := startService(t, config{Lab: lab{SingletonLimit: 300 * time.Millisecond}})
			pid := in.pid()
			in.set(func(c *config) { c.Lab.Mode = mode })
			if _, err := in.upgrade(""); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("upgrade: %v, want %q", err, want)
			}
			if text, _ := in.get("/counter"); text != "2 1\n" {
				t.Errorf("singleton: %q, want it to run again", text)
			}
			in.set(func(c *config) { c.Lab.Mode = "" })
			in.works(pid)
		})
	}
	t.Run("taken back later", func(t *testing.T) {
		t.Parallel()
		in := startService(t, config{Lab: lab{SingletonLimit: 300 * time.Millisecond}})
		in.mode("release fails and is gone")
		in.set(func(c *config) { c.Broken = "unhealthy"; c.Heartbeat = 20 * time.Millisecond })
		if _, err := in.upgrade("probation=1m"); err == nil {
			t.Error("an unhealthy process succeeded")
		}
		if text, _ := in.get("/counter"); text != "1 0\n" {
			t.Errorf("singleton: %q, want it not to run", text)
		}
		in.mode("")
		waitFor(t, "the singleton to be taken back", func() bool { text, _ := in.get("/counter"); return text == "2 1\n" })

		in.mode("release fails and is gone")
		if _, err := in.upgrade("force=1"); err == nil {
			t.Error("an unhealthy process succeeded")
		}
		in.set(func(*config) {})
		if _, err := in.upgrade("force=1&probation=50ms"); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the new process", func() bool { _, h := in.get("/"); return h.Get("X-Generation") == "1" })
		if text, _ := in.get("/counter"); text != "3 1\n" {
			t.Errorf("singleton: %q, want the state of the last owner", text)
		}
	})
}

// A Health that does not return counts as a process that hangs.
func TestHealthBlocks(t *testing.T) {
	t.Parallel()
	in := startService(t, config{Heartbeat: 30 * time.Millisecond, Probation: time.Minute})
	pid := in.pid()
	in.set(func(c *config) { c.Broken = "blocked" })
	if _, err := in.upgrade(""); err == nil || !strings.Contains(err.Error(), "no heartbeat") {
		t.Errorf("upgrade: %v", err)
	}
	if z := zombies(pid); len(z) > 0 {
		t.Errorf("zombies: %v", z)
	}
	in.config.Probation = 0
	if _, h := in.get("/"); h.Get("X-Pid") != fmt.Sprint(pid) {
		t.Errorf("process %s answers, want %d", h.Get("X-Pid"), pid)
	}
}

// Pools are told in the order of the phases, and Thaw only after Freeze.
func TestPools(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "pools")
	in := startService(t, config{Heartbeat: 20 * time.Millisecond, Lab: lab{Pools: log}})
	expect := func(what string, want ...string) {
		t.Helper()
		text, err := os.ReadFile(log)
		if got := strings.Join(strings.Split(strings.TrimSpace(string(text)), "\n"), ", "); err != nil || got != strings.Join(want, ", ") {
			t.Errorf("%s: %s %v, want %s", what, got, err, want)
		}
		os.Remove(log)
	}
	expect("start", "0 warm", "0 grow")
	in.set(func(c *config) { c.Broken = "exit" })
	if _, err := in.upgrade(""); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(log); err == nil {
		expect("a release that never warmed up")
	}
	in.set(func(c *config) { c.Broken = "unhealthy" })
	if _, err := in.upgrade("force=1&probation=1m"); err == nil {
		t.Error("no error")
	}
	text, _ := os.ReadFile(log) // the process that is given up may retire its own
	if got := strings.ReplaceAll(string(text), "1 retire\n", ""); got != "1 warm\n0 freeze\n0 thaw\n" {
		t.Errorf("rolled back: %q", got)
	}
	os.Remove(log)
	in.set(func(c *config) { c.Heartbeat = 0 })
	if _, err := in.upgrade("force=1&probation=50ms"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the old process to retire its pool", func() bool { text, _ := os.ReadFile(log); return strings.Contains(string(text), "retire") })
	waitFor(t, "the pool to grow", func() bool { text, _ := os.ReadFile(log); return strings.Contains(string(text), "grow") })
	text, _ = os.ReadFile(log)
	got := string(text)
	at := func(s string) int { return strings.Index(got, s) }
	if strings.Count(got, "\n") != 4 || !(at("1 warm") < at("0 freeze") && at("0 freeze") < at("0 retire") && at("0 freeze") < at("1 grow")) {
		t.Errorf("good: %q", got)
	}
}

// A process that may not open more files takes the connections that it has room
// for; the others stay and are told to go. Nothing hangs.
func TestFileLimit(t *testing.T) {
	t.Parallel()
	n := 200
	in := startService(t, config{Idle: time.Minute, Drain: time.Minute})
	old := in.pid()
	conns := make([]*rawClient, n)
	for i := range conns {
		conns[i] = in.dial()
		conns[i].send(getRoot)
		conns[i].answer()
	}
	in.set(func(c *config) { c.Lab.Files = 60 })
	r, err := in.upgrade("")
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the commit", func() bool { return in.pid() == r.PID })
	by := map[string]int{}
	for i, c := range conns {
		for done := false; !done; {
			c.send(getRoot)
			_, pid, closing := c.answer()
			by[pid]++
			if closing && pid != fmt.Sprint(old) {
				t.Errorf("connection %d: the new process says goodbye", i)
			}
			done = closing || pid != fmt.Sprint(old)
		}
	}
	t.Logf("answered by %v", by)
	waitFor(t, "the old process to end", func() bool { return !alive(old) })
	for _, c := range conns {
		c.Close()
	}
	in.set(func(*config) {})
	in.works(r.PID)
}

// A new process that has not even room for the sockets is refused with the reason.
func TestNoRoomForSockets(t *testing.T) {
	t.Parallel()
	in := startService(t, config{Lab: lab{Named: []string{"a|tcp|127.0.0.1:0", "b|tcp|127.0.0.1:0", "c|tcp|127.0.0.1:0", "d|tcp|127.0.0.1:0"}}})
	pid := in.pid()
	in.set(func(c *config) { c.Lab.Files = 9 })
	_, err := in.upgrade("")
	if err == nil {
		t.Error("no error")
	}
	t.Log(err)
	in.set(func(*config) {})
	in.works(pid)
}

// An old process that may not open more files cannot upgrade, and says why.
func TestOldFileLimit(t *testing.T) {
	t.Parallel()
	in := startService(t, config{Lab: lab{Files: 24}})
	pid := in.pid()
	asker := in.client()
	ask := func(path string) (*http.Response, error) { return asker.Post("http://service"+path, "", nil) }
	if resp, err := ask("/"); err != nil {
		t.Fatal(err)
	} else {
		resp.Body.Close()
	}
	var conns []*rawClient
	for range 40 { // more than it has room for: the rest waits in the queue
		conns = append(conns, in.dial())
	}
	waitFor(t, "the limit", func() bool {
		entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		return len(entries) >= 23
	})
	resp, err := ask("/upgrade")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusConflict {
		t.Errorf("upgrade: %s", resp.Status)
	}
	for _, c := range conns {
		c.Close()
	}
	in.set(func(c *config) { c.Lab.Files = 0 })
	in.works(pid)
}

// killed is what the tests of a process that dies by itself use.
func kill9(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the process to die", func() bool { return !alive(pid) })
}

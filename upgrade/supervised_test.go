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

	"github.com/theseus-run/theseus/upgrade/internal/beat"
	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// Workers of a supervisor take over one from another like any other processes, but
// it is the supervisor that starts them and tells the world.
func TestSupervised(t *testing.T) {
	t.Parallel()
	s := supervise(t, config{Probation: 100 * time.Millisecond})
	in := s.in
	if text, _ := in.get("/supervised"); text != "true" {
		t.Errorf("Supervised() = %s", text)
	}
	if text, _ := in.get("/env"); strings.Contains(text, "THESEUS") {
		t.Errorf("left in the environment: %s", text)
	}
	l := in.startLoad(16)
	for n := range upgradesFor(5) {
		old := s.serves(n)
		quiet := in.dial()
		quiet.send(getRoot)
		quiet.answer()
		if v := s.request(false); !v.OK {
			t.Fatal(v.Reason)
		}
		pid := s.serves(n + 1)
		quiet.moves(fmt.Sprint(pid))
		waitFor(t, "the old worker to end", func() bool { return !alive(old) })
		if got := parent(t, pid); got != os.Getpid() {
			t.Errorf("worker %d is a child of %d, want %d", pid, got, os.Getpid())
		}
	}
	if failed := l.end(); len(failed) > 0 || l.served.Load() == 0 {
		t.Errorf("%d requests served, failed: %v", l.served.Load(), failed)
	}
	if _, err := os.Stat(in.config.PIDFile); !os.IsNotExist(err) {
		t.Errorf("a PID file was written: %v", err)
	}
	if s.last.Release.Digest == "" || s.last.Release.Path != in.program() {
		t.Errorf("release: %+v", s.last.Release)
	}
	s.mu.Lock()
	w := s.service
	s.mu.Unlock()
	before, err := w.beats.Read()
	if err != nil || before.Status != beat.Healthy {
		t.Errorf("heartbeat: %+v %v", before, err)
	}
	waitFor(t, "heartbeats to go on", func() bool { b, err := w.beats.Read(); return err == nil && b.Sequence > before.Sequence+1 })
	syscall.Kill(w.pid, syscall.SIGTERM)
	<-w.ended
	if s.restarts != 0 {
		t.Errorf("%d restarts", s.restarts)
	}
}

// parent returns the parent of a process.
func parent(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return atoi(strings.Fields(rest)[1])
}

// A worker that fails is sent back by the worker before it, which knows from the
// supervisor how it ended.
func TestSupervisedRolledBack(t *testing.T) {
	t.Parallel()
	for broken, want := range map[string]string{
		"exit":      "exit status 3",
		"hang":      "no hello: not ready within",
		"crash":     "exit status 4",
		"stop":      "no heartbeat",
		"unhealthy": "unhealthy: the test wants it so",
	} {
		t.Run(broken, func(t *testing.T) {
			t.Parallel()
			ready := time.Minute
			if broken == "hang" {
				ready = 2 * time.Second
			}
			s := supervise(t, config{Ready: ready, Probation: time.Minute})
			in := s.in
			pid := s.serves(0)
			in.set(func(c *config) { c.Broken = broken })
			v := s.request(true)
			if v.OK || !strings.Contains(v.Reason, want) {
				t.Errorf("%+v, want %q", v, want)
			}
			t.Log(v.Reason)
			if _, h := in.get("/"); h.Get("X-Pid") != fmt.Sprint(pid) {
				t.Errorf("process %s answers, want %d", h.Get("X-Pid"), pid)
			}
			waitFor(t, "one worker", func() bool { return len(descendants(t, in)) == 1 })
			if broken == "unhealthy" {
				in.set(func(*config) {})
				if v := s.request(false); v.OK || !strings.Contains(v.Reason, "was rolled back before") {
					t.Errorf("a second time: %+v", v)
				}
			}
			os.Remove(in.program())
			if v := s.request(true); v.OK || !strings.Contains(v.Reason, "no such file") {
				t.Errorf("no program: %+v", v)
			}
		})
	}
}

// A worker that crashes is followed by another with its sockets and its last states;
// connections that come meanwhile wait.
func TestSupervisedCrash(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprint("keep=", keep), func(t *testing.T) {
			t.Parallel()
			s := supervise(t, config{Probation: 50 * time.Millisecond, Drain: time.Hour, Lab: lab{Snapshot: 20 * time.Millisecond}})
			s.keep = keep
			in := s.in
			c := in.client()
			resp, err := c.Post("http://service/notes", "", strings.NewReader("remember"))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			c.CloseIdleConnections()
			s.snapshot("the note", func(_ []wire.Socket, states map[string]Blob) bool { return string(states["notes"].Data) == "remember" })
			in.get("/mode?is=state+fails") // no further snapshot, which the one before outlives
			for n := range 3 {
				old := s.serves(n)
				kill9(t, old)
				if text, h := in.get("/notes"); text != "remember" || h.Get("X-Pid") == fmt.Sprint(old) {
					t.Errorf("after crash %d: %q by %s", n, text, h.Get("X-Pid"))
				}
				if text, _ := in.get("/counter"); text != "1 1\n" {
					t.Errorf("the singleton: %q", text)
				}
			}
			pid := s.serves(3)
			if v := s.request(false); !v.OK { // and it goes on like any other
				t.Fatal(v.Reason)
			}
			s.serves(4)
			waitFor(t, "the old worker to end", func() bool { return !alive(pid) })
			if s.restarts != 3 {
				t.Errorf("%d restarts", s.restarts)
			}
		})
	}
}

// A new worker that dies right after the commit, while the old one drains, is
// started again.
func TestSupervisedCrashAfterCommit(t *testing.T) {
	t.Parallel()
	s := supervise(t, config{Probation: 50 * time.Millisecond, Drain: time.Hour, Idle: 200 * time.Millisecond})
	in := s.in
	slow := in.dial()
	slow.send("GET /slow?for=2s HTTP/1.1\r\nHost: x\r\n\r\n")
	waitFor(t, "the request", func() bool { text, _ := in.get("/status"); return strings.Contains(text, `"inflight":2`) })
	old := s.serves(0)
	if v := s.request(false); !v.OK {
		t.Fatal(v.Reason)
	}
	young := s.serves(1)
	kill9(t, young)
	if _, h := in.get("/"); h.Get("X-Pid") == fmt.Sprint(old) || h.Get("X-Pid") == fmt.Sprint(young) {
		t.Errorf("process %s answers", h.Get("X-Pid"))
	}
	if text, pid, _ := slow.answer(); text != "done\n" || pid != fmt.Sprint(old) {
		t.Errorf("the old one's request: %q by %s", text, pid)
	}
	waitFor(t, "the old worker to end", func() bool { return !alive(old) })
	s.serves(2)
}

// Workers are killed at points of the handshake: one serves afterwards, by itself or
// because it is started again.
func TestSupervisedCrashes(t *testing.T) {
	t.Parallel()
	old := []string{"before start", "after start", "after hello", "after prepare", "after ready", "after release", "after serve", "before commit", "after commit"}
	young := []string{"warmed", "ready", "ordered", "acquired", "serving", "beat"}
	if testing.Short() {
		old, young = []string{"after serve"}, []string{"ready"}
	}
	for _, point := range old {
		t.Run("old/"+point, func(t *testing.T) {
			t.Parallel()
			s := supervise(t, config{Point: point, Action: "kill", Ready: time.Minute})
			in := s.in
			pid := s.serves(0)
			in.set(func(c *config) { c.Point = "" })
			s.mu.Lock()
			w := s.service
			s.mu.Unlock()
			_ = w.link.Send(wire.Request{ID: 1000})
			waitFor(t, "the old worker to die", func() bool { return !alive(pid) })
			next := s.serves(1)
			waitFor(t, "one worker", func() bool { left := descendants(t, in); return len(left) == 1 && left[0] == next })
			if _, h := in.get("/"); h.Get("X-Pid") != fmt.Sprint(next) {
				t.Errorf("process %s answers, want %d", h.Get("X-Pid"), next)
			}
		})
	}
	for _, point := range young {
		t.Run("new/"+point, func(t *testing.T) {
			t.Parallel()
			s := supervise(t, config{Ready: time.Minute, Probation: time.Minute})
			in := s.in
			pid := s.serves(0)
			in.set(func(c *config) { c.Point, c.Action = point, "kill" })
			v := s.request(false)
			if v.OK {
				t.Error("the upgrade succeeded")
			}
			t.Log(v.Reason)
			waitFor(t, "one worker", func() bool { left := descendants(t, in); return len(left) == 1 && left[0] == pid })
		})
	}
}

// When the supervisor dies the worker serves on, says so, and starts its successors
// itself.
func TestSupervisorDies(t *testing.T) {
	t.Parallel()
	s := supervise(t, config{Probation: 50 * time.Millisecond})
	in := s.in
	pid := s.serves(0)
	l := in.startLoad(4)
	s.mu.Lock()
	s.over = true
	w := s.service
	s.mu.Unlock()
	w.link.Close()
	waitFor(t, "the PID file", func() bool { _, err := os.Stat(in.config.PIDFile); return err == nil && in.pid() == pid })
	if text, _ := in.get("/supervised"); text != "false" {
		t.Errorf("Supervised() = %s", text)
	}
	r, err := in.upgrade("")
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the commit", func() bool { return in.pid() == r.PID })
	if failed := l.end(); len(failed) > 0 {
		t.Errorf("failed: %v", failed)
	}
	in.works(r.PID)
	if text, err := os.ReadFile(in.log.Name()); err != nil || !strings.Contains(string(text), "the supervisor has gone") {
		t.Errorf("not logged: %v", err)
	}
}

// The supervisor learns of unhealthy workers, and of sockets that are opened late.
func TestSupervisorLearns(t *testing.T) {
	t.Parallel()
	sick := filepath.Join(t.TempDir(), "sick")
	s := supervise(t, config{Heartbeat: 20 * time.Millisecond, Lab: lab{Sick: sick, Snapshot: -1}})
	in := s.in
	s.serves(0)
	s.mu.Lock()
	w := s.service
	s.mu.Unlock()
	status := func(want beat.Status) func() bool {
		return func() bool { b, err := w.beats.Read(); return err == nil && b.Status == want }
	}
	waitFor(t, "a heartbeat", status(beat.Healthy))
	if err := os.WriteFile(sick, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "word of its illness", status(unwell))
	os.Remove(sick)
	waitFor(t, "its recovery", status(beat.Healthy))

	in.get("/listen?name=late")
	s.snapshot("the late socket", func(sockets []wire.Socket, _ map[string]Blob) bool {
		return len(sockets) == 2 && sockets[1].Name == "late"
	})
	if text, _ := in.get("/close?name=late"); text != "true" {
		t.Errorf("close: %s", text)
	}
	s.snapshot("its end", func(sockets []wire.Socket, _ map[string]Blob) bool { return len(sockets) == 1 })
}

// A worker refuses a supervisor that it does not understand, and what is no link.
func TestSupervisorForeign(t *testing.T) {
	t.Parallel()
	in := startless(t, config{})
	s := &fakeSupervisor{t: t, in: in, max: 9, verdicts: map[uint64]chan wire.Verdict{}}
	t.Cleanup(s.stop)
	w := s.mustStart(nil, nil)
	select {
	case <-w.ended:
	case <-time.After(time.Minute):
		t.Fatal("it has not ended")
	}
	text, err := os.ReadFile(in.log.Name())
	if err != nil || !strings.Contains(string(text), "the supervisor: negotiate") {
		t.Errorf("%v: %s", err, text)
	}
	for variable, want := range map[string]string{
		supervisorVariable + "=x": "is not a descriptor",
		supervisorVariable + "=0": "is not a descriptor",
		supervisorVariable + "=9": "link from file",
		beatVariable + "=9":       "bad file descriptor",
	} {
		in.env = []string{variable}
		in.visit(nil).refused(want)
	}
}

// The service moves a connection's keep-alive client through a crash without an
// error where nothing was in flight.
func TestSupervisedQueue(t *testing.T) {
	t.Parallel()
	s := supervise(t, config{})
	in := s.in
	pid := s.serves(0)
	syscall.Kill(pid, syscall.SIGSTOP)
	waitFor(t, "it to accept no more", func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, _ := strings.Cut(string(text), ") ")
		return err == nil && strings.HasPrefix(rest, "T")
	})
	done := make(chan error, 8)
	for range cap(done) {
		go func() {
			c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
			resp, err := c.Get("http://" + in.addr + "/")
			if err == nil {
				resp.Body.Close()
			}
			done <- err
		}()
	}
	waitFor(t, "connections to wait", func() bool { return queued(t, in.addr) == cap(done) })
	kill9(t, pid)
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// queued returns how many connections wait in the queue of the listener at addr, as
// proc_net_tcp has it.
func queued(t *testing.T, addr string) int {
	t.Helper()
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	var port int
	fmt.Sscanf(addr, "127.0.0.1:%d", &port)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 5 || !strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) || f[3] != "0A" {
			continue
		}
		_, waiting, _ := strings.Cut(f[4], ":")
		var n int
		fmt.Sscanf(waiting, "%x", &n)
		return n
	}
	return 0
}

// Neither descriptors nor goroutines are left of upgrades and crashes.
func TestSupervisedLeaks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := func(n int) string { return filepath.Join(dir, fmt.Sprint(n)) }
	s := supervise(t, config{Probation: 30 * time.Millisecond, Lab: lab{Leaks: name(0), Snapshot: 10 * time.Millisecond}})
	in := s.in
	var first int
	for n := 1; n < 6; n++ {
		in.set(func(c *config) { c.Broken, c.Probation = "exit", time.Minute })
		if v := s.request(false); v.OK {
			t.Error("a broken worker took over")
		}
		old := s.serves(n - 1)
		in.set(func(c *config) { c.Lab.Leaks = name(n) })
		if v := s.request(false); !v.OK {
			t.Fatal(v.Reason)
		}
		pid := s.serves(n)
		waitFor(t, "the old worker to end", func() bool { return !alive(old) })
		waitFor(t, "the connections to close", func() bool {
			text, _ := in.get("/status")
			return strings.Contains(text, `"connections":{"active":1}`)
		})
		if n == 1 {
			first = descriptors(t, pid)
		}
		waitFor(t, "as few descriptors as before", func() bool { return descriptors(t, pid) <= first }) // a snapshot under way has more
	}
	syscall.Kill(s.serves(5), syscall.SIGTERM)
	waitFor(t, "the service to end", func() bool { return len(descendants(t, in)) == 0 })
	for n := range 6 {
		text, err := os.ReadFile(name(n))
		if err != nil || string(text) != "none" {
			t.Errorf("worker %d: %v\n%s", n, err, text)
		}
	}
}

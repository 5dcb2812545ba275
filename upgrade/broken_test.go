//go:build linux

package upgrade

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A load is clients that never retry, on connections that they keep.
type load struct {
	t      *testing.T
	stop   atomic.Bool
	served atomic.Int64
	wg     sync.WaitGroup

	mu     sync.Mutex
	failed map[string]int // by what the client saw
}

// startLoad starts n clients that keep their connections and n/4 that open one for
// each request.
func (in *instance) startLoad(n int) *load {
	l := &load{t: in.t, failed: map[string]int{}}
	for i := range n + n/4 {
		l.wg.Go(func() {
			c := in.client()
			for !l.stop.Load() {
				l.request(c)
				if i >= n {
					c.CloseIdleConnections()
				}
				time.Sleep(time.Duration(i%4) * time.Millisecond)
			}
		})
	}
	in.t.Cleanup(func() { l.end() })
	return l
}

func (l *load) request(c *http.Client) {
	// A body that cannot be read twice keeps the transport from a retry.
	resp, err := c.Post("http://service/", "", io.NopCloser(strings.NewReader("hello")))
	if err != nil {
		l.fail(0, err.Error())
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		l.fail(resp.StatusCode, err.Error())
	case resp.StatusCode != http.StatusOK:
		l.fail(resp.StatusCode, fmt.Sprintf("status %d", resp.StatusCode))
	case string(text) != "hello":
		l.fail(resp.StatusCode, "wrong answer")
	default:
		l.served.Add(1)
	}
}

func (l *load) fail(_ int, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed[what]++
}

// end stops the clients and returns what failed.
func (l *load) end() map[string]int {
	l.stop.Store(true)
	l.wg.Wait()
	return l.failed
}

// A release that is broken is sent back: the old process serves as if nothing had
// happened, remembers the program, and takes the next good one.
func TestBrokenReleases(t *testing.T) {
	t.Parallel()
	cases := []struct {
		broken string
		want   string // part of the answer
		served bool   // it dies or hangs while it serves: what it has then fails
	}{
		{broken: "exit", want: "exit status 3"},
		{broken: "hang", want: "no hello: not ready within"},
		{broken: "never", want: "no ready: not ready within"},
		{broken: "check", want: "the configuration is wrong"},
		{broken: "crash", want: "exit status 4", served: true},
		{broken: "errors", want: "answers were errors"},
		{broken: "stop", want: "no heartbeat", served: true},
		{broken: "hung", want: "requests was answered", served: true},
		{broken: "unhealthy", want: "unhealthy: the test wants it so"},
		{broken: "memory", want: "MiB of memory; the limit is 300 MiB"},
	}
	for _, c := range cases {
		t.Run(c.broken, func(t *testing.T) {
			t.Parallel()
			o := config{Ready: 2 * time.Second, Probation: time.Minute, Heartbeat: 200 * time.Millisecond}
			switch c.broken {
			case "check":
				o.CheckArgs = []string{"--upgrade-check"}
			case "crash", "errors", "memory":
				o.Heartbeat = 2 * time.Second // none is missed on a machine that is slow
			}
			in := startService(t, o)
			pid := in.pid()
			l := in.startLoad(16)
			in.set(func(x *config) { x.Broken = c.broken })
			query := ""
			if c.broken == "hung" {
				query = "probation=5s" // it is judged at the end
			}
			_, err := in.upgrade(query)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("upgrade: %v, want %q", err, c.want)
			}
			t.Log(err)
			if in.pid() != pid {
				t.Errorf("the PID file names %d, want %d", in.pid(), pid)
			}
			if _, h := in.get("/"); h.Get("X-Pid") != fmt.Sprint(pid) {
				t.Errorf("process %s answers, want %d", h.Get("X-Pid"), pid)
			}
			if text, _ := in.get("/counter"); !strings.HasSuffix(text, " 1\n") {
				t.Errorf("singleton: %q, want it to run once", text)
			}
			failed := l.end()
			if c.broken == "errors" {
				delete(failed, "status 500") // its own answers
			}
			if len(failed) > 0 && !c.served {
				t.Errorf("%d requests served, failed: %v", l.served.Load(), failed)
			}
			t.Logf("%d requests served, failed in the broken process: %v", l.served.Load(), failed)
			switch {
			case slices.Contains([]string{"exit", "hang", "never", "check"}, c.broken): // it never served: another try does no harm
			case strings.Contains(err.Error(), "too busy"): // this test was starved itself
			default:
				if _, err := in.upgrade(""); err == nil || !strings.Contains(err.Error(), "was rolled back before") {
					t.Errorf("a second time: %v, want it refused", err)
				}
			}
			in.set(func(x *config) { x.Heartbeat = 0 })
			if r, err := in.upgrade("force=1&probation=50ms&ready=1m"); err != nil {
				t.Errorf("the next good upgrade: %v", err)
			} else {
				waitFor(t, "the new process to be the service", func() bool { return in.pid() == r.PID })
			}
			if n := len(descendants(t, in)); n > 2 {
				t.Errorf("%d processes are left", n)
			}
		})
	}
}

// descendants returns the processes that run the service's program.
func descendants(t *testing.T, in *instance) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, e := range entries {
		var pid int
		if _, err := fmt.Sscan(e.Name(), &pid); err != nil {
			continue
		}
		if exe, err := os.Readlink("/proc/" + e.Name() + "/exe"); err == nil && exe == in.program() && alive(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Either side is killed, or stalls, at each point of the handshake: afterwards one
// process serves, it can be upgraded, and nothing else is left.
func TestCrashes(t *testing.T) {
	t.Parallel()
	old := []string{"before check", "before start", "after start", "before hello", "after hello", "after prepare", "before ready", "after ready",
		"before release", "after release", "before serve", "after serve", "before probation", "after probation", "before commit", "after commit"}
	young := []string{"warmed", "ready", "ordered", "acquired", "serving", "beat"}
	if testing.Short() {
		old, young = []string{"after prepare", "before serve", "after commit"}, []string{"ready", "serving"}
	}
	for _, point := range old {
		t.Run("old/"+point, func(t *testing.T) {
			t.Parallel()
			in := startService(t, config{Point: point, Action: "kill", Ready: time.Minute})
			pid := in.pid()
			in.set(func(c *config) { c.Point = "" })
			_, err := in.upgrade("")
			if err == nil {
				t.Fatal("the old process answered")
			}
			waitFor(t, "the old process to die", func() bool { return !alive(pid) })
			in.afterCrash(pid, point)
		})
	}
	for _, point := range young {
		for _, action := range []string{"kill", "stop"} {
			t.Run("new/"+point+"/"+action, func(t *testing.T) {
				t.Parallel()
				in := startService(t, config{Heartbeat: 50 * time.Millisecond, Ready: readyFor(action), Probation: time.Minute})
				pid := in.pid()
				l := in.startLoad(2)
				in.set(func(c *config) { c.Point, c.Action = point, action })
				_, err := in.upgrade("")
				if err == nil {
					t.Fatal("the upgrade succeeded")
				}
				t.Log(err)
				if failed := l.end(); len(failed) > 0 && point != "serving" && point != "beat" && point != "acquired" {
					t.Errorf("failed: %v", failed)
				}
				waitFor(t, "one process to be left", func() bool { return len(descendants(t, in)) == 1 })
				if in.pid() != pid {
					t.Errorf("the PID file names %d, want %d", in.pid(), pid)
				}
				in.works(pid)
			})
		}
	}
}

// readyFor is how long to wait for a process that is to be killed, or stopped.
func readyFor(action string) time.Duration {
	if action == "stop" {
		return time.Second // this is how the stop is noticed
	}
	return time.Minute
}

// afterCrash checks that the service goes on after its old process was killed, or
// is gone whole when it could not.
func (in *instance) afterCrash(old int, point string) {
	t := in.t
	t.Helper()
	alone := map[string]bool{"before check": true, "before start": true, "after start": true, "before hello": true, "after hello": true}
	if alone[point] { // nothing has been handed over yet
		waitFor(t, "all processes to end", func() bool { return len(descendants(t, in)) == 0 })
		in.start()
		in.works(in.pid())
		return
	}
	waitFor(t, "the new process to be the service", func() bool {
		if n := len(descendants(t, in)); n == 0 {
			t.Fatal("no process is left")
		}
		return in.pid() != old
	})
	in.works(in.pid())
}

// works checks that process pid serves and can be upgraded.
func (in *instance) works(pid int) {
	t := in.t
	t.Helper()
	if _, h := in.get("/"); h.Get("X-Pid") != fmt.Sprint(pid) {
		t.Errorf("process %s answers, want %d", h.Get("X-Pid"), pid)
	}
	if text, _ := in.get("/counter"); !strings.HasSuffix(text, " 1\n") {
		t.Errorf("singleton: %q, want it to run once", text)
	}
	in.set(func(c *config) { c.Probation, c.Heartbeat, c.Point = 50*time.Millisecond, 0, "" })
	r, err := in.upgrade("force=1&probation=50ms&ready=1m")
	if err != nil {
		t.Errorf("the next upgrade: %v", err)
		return
	}
	waitFor(t, "the next process alone", func() bool {
		left := descendants(t, in)
		return len(left) == 1 && left[0] == r.PID
	})
}

// Errors that are not the program's own do not bring it back.
func TestExcusedErrors(t *testing.T) {
	t.Parallel()
	in := startService(t, config{Probation: time.Minute, Heartbeat: time.Second})
	l := in.startLoad(4)
	in.set(func(c *config) { c.Broken, c.Lab.Excused = "errors", true })
	r, err := in.upgrade("probation=2s")
	if err != nil {
		t.Fatalf("upgrade: %v", err)
	}
	waitFor(t, "the new process to be the service", func() bool { return in.pid() == r.PID })
	if failed := l.end(); failed["status 500"] < few || len(failed) > 1 {
		t.Errorf("failed: %v", failed)
	}
}

// What must not be started is refused with a reason, and nothing has changed.
func TestBadPrograms(t *testing.T) {
	t.Parallel()
	in := startService(t, config{})
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := dir + "/" + name
		if err := errors.Join(os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	self, err := os.ReadFile(in.program())
	if err != nil {
		t.Fatal(err)
	}
	arm := append([]byte(nil), self...)
	arm[18] = 0xb7 // e_machine: EM_AARCH64, elf(5)
	cases := []struct{ name, path, want string }{
		{"missing", dir + "/none", "no such file"},
		{"directory", dir, "directory"},
		{"not executable", write("plain", string(self), 0o644), "not executable"},
		{"truncated", write("cut", string(self[:len(self)/2]), 0o755), "cut off"},
		{"empty", write("empty", "", 0o755), "empty"},
		{"no shebang", write("script", "echo hello\n", 0o755), "script"},
		{"another architecture", write("arm", string(arm), 0o755), "arm64"},
		{"not a service", "/bin/true", "built with this package"},
	}
	for _, c := range cases {
		_, err := in.upgrade("path=" + c.path)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		t.Log(err)
	}
	in.works(in.pid())
}

// Of several requests at a time one is carried out.
func TestConcurrentRequests(t *testing.T) {
	t.Parallel()
	in := startService(t, config{})
	var wg sync.WaitGroup
	var done, refused atomic.Int64
	for range 6 {
		wg.Go(func() {
			switch _, err := in.upgrade(""); {
			case err == nil:
				done.Add(1)
			case strings.Contains(err.Error(), ErrInProgress.Error()), strings.Contains(err.Error(), ErrProbation.Error()):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if done.Load() != 1 || refused.Load() != 5 {
		t.Errorf("%d done, %d refused", done.Load(), refused.Load())
	}
}

// Signals in any number leave one process, which still upgrades.
func TestSignalStorm(t *testing.T) {
	t.Parallel()
	in := startService(t, config{Probation: 50 * time.Millisecond})
	l := in.startLoad(4)
	for range 300 {
		syscall.Kill(in.pid(), syscall.SIGUSR2)
	}
	waitFor(t, "an upgrade", func() bool { _, h := in.get("/"); return h.Get("X-Generation") != "0" })
	waitFor(t, "one process", func() bool { return len(descendants(t, in)) == 1 })
	if failed := l.end(); len(failed) > 0 {
		t.Errorf("failed: %v", failed)
	}
	in.works(in.pid())
}

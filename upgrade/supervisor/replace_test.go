//go:build linux

package supervisor

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReplaceUnderLoad: the supervisor becomes another program, many times, and nobody
// else notices.
func TestReplaceUnderLoad(t *testing.T) {
	t.Parallel()
	w := start(t, func(w *world, c *setup) { c.PIDFile = filepath.Join(w.dir, "pid") })
	first := w.ask()
	w.snapshot()
	stop := w.load(8)
	const times = 5
	for i := range times {
		next := filepath.Join(w.dir, "next"+string(rune('a'+i)))
		w.install(next, "")
		w.order("replace", next)
		e := w.await(Replaced, i+1)
		t.Logf("gap %s, trial %s", e.Took, w.of(Proved)[i].Took)
		if exe, err := os.Readlink("/proc/" + itoa(w.cmd.Process.Pid) + "/exe"); err != nil || exe != next {
			t.Errorf("the supervisor runs %s, %v", exe, err)
		}
	}
	n, failed := stop()
	if len(failed) > 0 {
		t.Errorf("%d of %d requests failed: %s", len(failed), n, failed[0])
	}
	t.Logf("%d requests", n)
	if last := w.ask(); last.pid != first.pid || last.generation != first.generation {
		t.Errorf("another worker: %+v, first %+v", last, first)
	}
	if s := w.status(); s.Replacements != times || len(s.Workers) != 1 || s.State != StateServing {
		t.Errorf("status %+v", s)
	}
	if comm, _ := os.ReadFile("/proc/" + itoa(w.cmd.Process.Pid) + "/comm"); string(comm) != "service\n" {
		t.Errorf("its name is %q", comm)
	}
	// What was taken over still works: crash, upgrade, the end.
	_ = syscall.Kill(first.pid, syscall.SIGKILL)
	second := w.ask()
	if second.pid == first.pid || int64(second.count) < n/2 {
		t.Errorf("after the crash: %+v", second)
	}
	w.await(Serving, 2)
	w.config.Name = "v2"
	w.deploy()
	if got := w.ordered("upgrade", ""); got != "ok" {
		t.Errorf("upgrade: %s", got)
	}
	if a := w.ask(); a.name != "v2" {
		t.Errorf("after the upgrade: %+v", a)
	}
	if mask, err := w.get("/mask"); err != nil || !strings.Contains(mask, "0000000000000000") {
		t.Errorf("programs of workers have signals blocked: %q, %v", mask, err)
	}
	w.signal(syscall.SIGTERM)
	if status := w.awaitEnd(); status != 0 {
		t.Errorf("exit status %d", status)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "pid")); err == nil {
		t.Error("the PID file is left behind")
	}
}

// TestBrokenSupervisor: a program that cannot be the supervisor is refused, and
// everything goes on as before.
func TestBrokenSupervisor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ mode, want string }{
		{"exit", "exit status 7"},
		{"hang", "no answer within"},
		{"silent", "without an answer"},
		{"garbage", "did not answer in the way"},
		{"flood", "did not answer in the way"},
		{"other", "another state"},
		{"truncated", "is cut off"},
		{"text", "text without a first line"},
		{"missing", "no such file"},
		{"directory", "directory"},
		{"true", "exit status 0"},
		{"adopt fails", "the new one is broken"},
		{"adopt panics", "the new one is broken"},
	} {
		t.Run(c.mode, func(t *testing.T) {
			t.Parallel()
			w := start(t, func(_ *world, s *setup) {
				if c.mode == "hang" {
					s.Trial = 500 * time.Millisecond
				}
				if c.mode == "silent" {
					s.Trial = patience
				}
			})
			before := w.ask()
			w.snapshot()
			open := descriptors(t, w.cmd.Process.Pid)
			next := filepath.Join(w.dir, "next")
			switch c.mode {
			case "truncated":
				if err := copyFile(next, own(t), 1<<20); err != nil {
					t.Fatal(err)
				}
			case "text":
				if err := os.WriteFile(next, []byte("hello\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			case "directory":
				if err := os.Mkdir(next, 0o755); err != nil {
					t.Fatal(err)
				}
			case "missing":
			case "true":
				next = "/bin/true"
			default:
				w.install(next, c.mode)
			}
			results := len(w.of(result))
			w.order("replace", next)
			var got string
			if strings.HasPrefix(c.mode, "adopt") { // it comes after the exec
				got = w.await(Refused, 1).Detail
			} else {
				got = w.await(result, results+1).Detail
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("replace: %q, want %q", got, c.want)
			}
			if after := w.ask(); after.pid != before.pid {
				t.Errorf("another worker: %+v, before %+v", after, before)
			}
			if exe, err := os.Readlink("/proc/" + itoa(w.cmd.Process.Pid) + "/exe"); err != nil || exe != w.program {
				t.Errorf("the supervisor runs %s, %v", exe, err)
			}
			if len(w.of(Replaced)) > 0 {
				t.Error("it was replaced")
			}
			until(t, "the descriptors that there were", func() bool { return len(descriptors(t, w.cmd.Process.Pid)) <= len(open) })
			// A good one is taken all the same.
			good := filepath.Join(w.dir, "good")
			w.install(good, "")
			for n := len(w.of(Refused)); len(w.of(Replaced)) == 0; n++ { // a short time for the trial may be too short for a good one
				w.order("replace", good)
				until(t, "the outcome", func() bool { return len(w.of(Replaced)) > 0 || len(w.of(Refused)) > n })
			}
			_ = syscall.Kill(before.pid, syscall.SIGKILL)
			w.asked("another worker", func(a answer) bool { return a.pid != before.pid })
		})
	}
}

// TestTrialEndsWithTheSupervisor: a trial that hangs does not outlive a supervisor that is
// killed, and the worker notices that.
func TestTrialEndsWithTheSupervisor(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	next := filepath.Join(w.dir, "next")
	w.install(next, "hang")
	w.order("replace", next)
	var pids []int
	until(t, "the trial", func() bool {
		pids = nil
		for _, stat := range childrenOf(w.cmd.Process.Pid) {
			pid, err := strconv.Atoi(strings.Fields(stat)[0])
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
		return len(pids) == 2
	})
	a := w.ask()
	_ = w.cmd.Process.Kill()
	until(t, "the end of the trial", func() bool {
		left := 0
		for _, pid := range pids {
			if !gone(pid) {
				left++
			}
		}
		return left == 1
	})
	until(t, "the worker to notice", func() bool { return strings.Contains(w.log(), "the supervisor has gone") })
	if b := w.ask(); b.pid != a.pid {
		t.Errorf("%+v, before %+v", b, a)
	}
	_ = syscall.Kill(a.pid, syscall.SIGTERM)
	until(t, "its end", func() bool { return gone(a.pid) })
}

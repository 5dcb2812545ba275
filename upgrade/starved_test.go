//go:build linux

package upgrade

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A process that keeps silent on a machine without processor time goes back, and is
// not remembered as a bad one.
func TestStarvedIsNotBlamed(t *testing.T) {
	t.Parallel()
	in := startService(t, config{Probation: time.Minute, Heartbeat: 100 * time.Millisecond, Lab: lab{Queued: true}})
	pid := in.pid()
	in.set(func(c *config) { c.Broken = "stop" })
	_, err := in.upgrade("")
	if err == nil || !strings.Contains(err.Error(), "no heartbeat") || !strings.Contains(err.Error(), "too busy") {
		t.Errorf("upgrade: %v, want it to say that the machine is too busy", err)
	}
	if text, _ := in.get("/status"); strings.Contains(text, `"rejected"`) {
		t.Errorf("the program is blamed: %s", text)
	}
	if _, h := in.get("/"); h.Get("X-Pid") != fmt.Sprint(pid) {
		t.Errorf("process %s answers, want %d", h.Get("X-Pid"), pid)
	}
	in.set(func(*config) {})
	if _, err := in.upgrade("probation=50ms"); err != nil {
		t.Errorf("the same program again: %v", err)
	}
}

// The kernel tells how long a process has waited for a processor.
func TestQueuedTime(t *testing.T) {
	var one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &one); err != nil {
		t.Skip(err)
	}
	cpu := 0
	for !one.IsSet(cpu) {
		cpu++
	}
	one.Zero()
	one.Set(cpu)
	before := queuedTime(os.Getpid())
	var stop atomic.Bool
	defer stop.Store(true)
	for range 2 { // threads that want the same processor
		go func() {
			runtime.LockOSThread() // and is not unlocked: the thread ends with its goroutine
			if unix.SchedSetaffinity(0, &one) != nil {
				return
			}
			for !stop.Load() {
			}
		}()
	}
	waitFor(t, "some waiting", func() bool { return queuedTime(os.Getpid()) > before })
}

//go:build unix

package supervise

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A setup configures a supervisor that is a process of its own.
type setup struct {
	Command   []string
	Listen    []Listen
	Ready     Ready
	FDs       Style
	Nonblock  bool
	Probation time.Duration
	Drain     time.Duration
	Stop      syscall.Signal
	KillAt    Kind // it kills itself (SIGKILL) at the KillNth event of that kind
	KillNth   int
}

const setupVariable = "SUPERVISE_TEST_SETUP"

// supervisorMain is the process. It writes its events to standard output.
func supervisorMain() int {
	signals := make(chan os.Signal, 1024)
	signal.Notify(signals, Signals()...)
	var c setup
	if err := json.Unmarshal([]byte(os.Getenv(setupVariable)), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	exe, _ := os.Executable()
	n := 0
	opt := Options{
		Command: c.Command, Self: []string{exe, "exec-child"}, Listen: c.Listen, Ready: c.Ready, Subreaper: true,
		FDs: c.FDs, Nonblocking: c.Nonblock,
		Probation: c.Probation, Drain: c.Drain, StopSignal: c.Stop, pace: pace{first: 5 * time.Millisecond},
		StatusFile: os.Getenv("STATUS_FILE"),
		OnEvent: func(e Event) {
			data, _ := json.Marshal(e)
			fmt.Println(string(data))
			if e.Kind == c.KillAt {
				if n++; n == max(1, c.KillNth) {
					_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				}
			}
		},
	}
	s, err := New(opt)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 98
	}
	status, err := s.Run(context.Background(), signals)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 97
	}
	return status
}

// A remote is such a process, seen from the test.
type remote struct {
	recorder
	t       testing.TB
	cmd     *exec.Cmd
	release string
	address string
	mu      sync.Mutex
	errOut  strings.Builder
	done    chan struct{}
	inside  bool // it lives in another process namespace: its numbers mean others here
}

// Write takes standard error.
func (r *remote) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.errOut.Write(p)
}

// remoteWith starts a supervisor process with an app on a free port.
func remoteWith(t testing.TB, change func(*setup, *exec.Cmd)) *remote {
	t.Helper()
	exe := executable(t)
	r := &remote{t: t, release: filepath.Join(t.TempDir(), "release"), address: freePort(t), done: make(chan struct{})}
	deploy(t, r.release, "v1")
	c := setup{
		Command: []string{exe, "app", r.release}, Listen: []Listen{{Name: "web", Network: "tcp", Address: r.address}},
		Probation: 20 * time.Millisecond, Drain: patience,
	}
	r.cmd = exec.Command(exe, "supervisor")
	r.cmd.Env = environ()
	r.cmd.Stderr = r
	change(&c, r.cmd)
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	r.cmd.Env = append(r.cmd.Env, setupVariable+"="+string(data))
	out, err := r.cmd.StdoutPipe()
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.done)
		for dec := json.NewDecoder(out); ; {
			var e Event
			if dec.Decode(&e) != nil {
				break
			}
			r.add(e)
		}
		_ = r.cmd.Wait()
	}()
	t.Cleanup(r.end)
	return r
}

// end kills what still runs.
func (r *remote) end() {
	_ = r.cmd.Process.Kill()
	for _, e := range r.of(Started) {
		if !r.inside {
			_ = syscall.Kill(-e.PID, syscall.SIGKILL)
		}
	}
	r.awaitEnd()
	if r.t.Failed() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.t.Logf("events:\n%s\nstderr:\n%s", r.recorder.String(), r.errOut.String())
	}
}

func (r *remote) signal(sig syscall.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(sig); err != nil {
		r.t.Error(err)
	}
}

// awaitEnd returns the exit status; -1 if a signal ended it.
func (r *remote) awaitEnd() int {
	r.t.Helper()
	select {
	case <-r.done:
		return r.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		r.t.Fatal("the supervisor does not end")
		return 0
	}
}

func (r *remote) await(kind Kind, n int) Event {
	r.t.Helper()
	until(r.t, fmt.Sprintf("%q number %d", kind, n), func() bool { return len(r.of(kind)) >= n })
	return r.of(kind)[n-1]
}

// gone waits until no process of any child's group runs.
func (r *remote) gone() {
	r.t.Helper()
	for _, e := range r.of(Started) {
		until(r.t, fmt.Sprintf("the end of process group %d", e.PID), func() bool { return groupGone(e.PID) })
	}
}

// freePort returns an address where nothing listens.
func freePort(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

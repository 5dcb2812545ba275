//go:build unix

package supervise

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestStopStatus(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		words  string
		stop   syscall.Signal
		signal syscall.Signal
		want   int
	}{
		{"v1", syscall.SIGTERM, syscall.SIGTERM, 0},
		{"v1", syscall.SIGTERM, syscall.SIGINT, 0},
		{"v1 status 5", syscall.SIGTERM, syscall.SIGTERM, 5},
		{"v1", syscall.SIGHUP, syscall.SIGTERM, 128 + int(syscall.SIGHUP)},
	} {
		t.Run(fmt.Sprint(c.words, c.stop, c.signal), func(t *testing.T) {
			t.Parallel()
			r := remoteWith(t, func(s *setup, _ *exec.Cmd) { s.Stop = c.stop })
			r.await(Serving, 1)
			if c.words != "v1" {
				deploy(t, r.release, c.words)
				r.signal(syscall.SIGUSR2)
				r.await(Serving, 2)
			}
			r.signal(c.signal)
			if got := r.awaitEnd(); got != c.want {
				t.Errorf("exit status %d, want %d", got, c.want)
			}
			r.gone()
		})
	}
}

func TestSecondSignalKills(t *testing.T) {
	t.Parallel()
	r := remoteWith(t, func(*setup, *exec.Cmd) {})
	r.await(Serving, 1)
	deploy(t, r.release, "v2 stubborn")
	r.signal(syscall.SIGHUP)
	r.await(Serving, 2)
	r.signal(syscall.SIGTERM)
	r.await(Stopping, 1)
	until(t, "the end", func() bool {
		_ = r.cmd.Process.Signal(syscall.SIGINT)
		select {
		case <-r.done:
			return true
		default:
			return false
		}
	})
	if got := r.awaitEnd(); got != 97 || !strings.Contains(r.errOut.String(), ErrInterrupted.Error()) {
		t.Errorf("exit status %d, want 97 and %v", got, ErrInterrupted)
	}
	r.gone()
}

func TestSignalsArePassedOn(t *testing.T) {
	t.Parallel()
	r := remoteWith(t, func(*setup, *exec.Cmd) {})
	r.await(Serving, 1)
	for _, sig := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGQUIT} {
		r.signal(sig)
		until(t, "the child to get "+sig.String(), func() bool {
			_, err := os.Stat(fmt.Sprintf("%s.%d", r.release, sig))
			return err == nil
		})
	}
	if len(r.of(Ended)) > 0 {
		t.Error("the child has ended")
	}
}

// TestSignalStorm: hundreds of signals make one replacement after the other,
// and nothing else.
func TestSignalStorm(t *testing.T) {
	t.Parallel()
	r := remoteWith(t, func(*setup, *exec.Cmd) {})
	r.await(Serving, 1)
	for range 300 {
		r.signal(syscall.SIGHUP)
		r.signal(syscall.SIGUSR1)
		r.signal(syscall.SIGWINCH)
		r.signal(syscall.SIGUSR2)
	}
	r.await(Serving, 2)
	if _, err := get1(r.address, "/"); err != nil {
		t.Error(err)
	}
	r.signal(syscall.SIGTERM)
	if got := r.awaitEnd(); got != 0 {
		t.Errorf("exit status %d", got)
	}
	r.gone()
}

// TestKillSupervisorAnywhere kills the supervisor at each step: no process and
// no socket of it is left.
func TestKillSupervisorAnywhere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind Kind
		nth  int
	}{
		{Started, 1}, {NowReady, 1}, {Serving, 1}, {Replacing, 1}, {Started, 2}, {NowReady, 2}, {OnTrial, 1},
		{Serving, 2}, {Draining, 1}, {Ended, 1}, {Stopping, 1},
	} {
		t.Run(fmt.Sprint(c.kind, c.nth), func(t *testing.T) {
			t.Parallel()
			socket := t.TempDir() + "/s"
			r := remoteWith(t, func(s *setup, cmd *exec.Cmd) {
				s.KillAt, s.KillNth, s.Drain = c.kind, c.nth, 200*time.Millisecond
				s.Listen = append(s.Listen, Listen{Network: "unix", Address: socket})
				cmd.Env = append(cmd.Env, "TMPDIR="+t.TempDir())
			})
			go func() { // until it is dead
				for r.cmd.Process.Signal(syscall.Signal(0)) == nil {
					switch {
					case c.kind == Stopping && len(r.of(Serving)) > 1:
						_ = r.cmd.Process.Signal(syscall.SIGTERM)
					case len(r.of(Serving)) == 1 && len(r.of(Replacing)) == 0:
						deploy(t, r.release, "v2 stubborn fork")
						_ = r.cmd.Process.Signal(syscall.SIGHUP)
					}
					time.Sleep(10 * time.Millisecond)
				}
			}()
			if got := r.awaitEnd(); got != -1 {
				t.Fatalf("exit status %d, want to be killed", got)
			}
			r.gone()
			until(t, "the sockets to be free", func() bool {
				ln, err := net.Listen("tcp", r.address)
				if err == nil {
					_ = ln.Close()
				}
				_, statErr := os.Lstat(socket)
				left, _ := os.ReadDir(tmpOf(r.cmd.Env))
				return err == nil && errors.Is(statErr, os.ErrNotExist) && len(left) == 0
			})
		})
	}
}

func tmpOf(env []string) (dir string) {
	for _, kv := range env {
		if d, ok := strings.CutPrefix(kv, "TMPDIR="); ok {
			dir = d
		}
	}
	return dir
}

// TestKillChildAnywhere kills the child that each kind of event is about, at
// that event: the service goes on, and the next good replacement works.
func TestKillChildAnywhere(t *testing.T) {
	t.Parallel()
	for _, kind := range []Kind{Started, NowReady, OnTrial, Serving, Draining} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			var killed bool // guarded by the order of events
			w := start(t, func(o *Options) {
				add := o.OnEvent
				o.OnEvent = func(e Event) {
					add(e)
					if e.Kind == kind && (e.Child == 2 || kind == Draining) && !killed {
						killed = true
						_ = syscall.Kill(e.PID, syscall.SIGKILL)
					}
				}
			})
			w.deploy("v2")
			err := w.Replace(t.Context(), true)
			if _, answerErr := get1(w.address(), "/"); answerErr != nil && kind != Serving { // it may have been accepted by the victim
				t.Errorf("after Replace = %v: %v", err, answerErr)
			}
			w.deploy("v3")
			if err := w.Replace(t.Context(), false); err != nil {
				t.Fatalf("the next replacement: %v", err)
			}
			w.answers("v3")
			w.awaitStates(StateServing)
		})
	}
}

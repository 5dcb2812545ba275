//go:build unix

package supervise

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const sigTerm = syscall.SIGTERM

func stop(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

// TestCrash: what connects while no child serves waits.
func TestCrash(t *testing.T) {
	t.Parallel()
	w := start(t, func(o *Options) { o.pace.first = 200 * time.Millisecond })
	pid := w.answers("v1")
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	w.await(Degraded, 1)
	if again := w.answers("v1"); again == pid {
		t.Errorf("a dead process answers")
	}
	w.await(Serving, 2) // it answers before it has said that it is ready
	if st := w.Status(); st.Restarts != 1 || st.State != StateServing {
		t.Errorf("status %+v", st)
	}
}

// TestBackOff: pauses double up to the most, and start anew after a good run.
func TestBackOff(t *testing.T) {
	t.Parallel()
	w := start(t, func(o *Options) {
		o.pace = pace{first: 2 * time.Millisecond, most: 8 * time.Millisecond, steady: time.Hour, probe: time.Millisecond}
	})
	w.answers("v1")
	w.deploy("v2 dies 1ms") // a script's change is not held back
	kill(t, w.Status().Children[0].PID)
	w.await(Degraded, 5)
	var got []time.Duration
	for _, e := range w.of(Degraded)[:5] {
		got = append(got, e.Took/time.Millisecond)
	}
	if want := []time.Duration{2, 4, 8, 8, 8}; !equal(got, want) {
		t.Errorf("pauses %v ms, want %v", got, want)
	}
}

func TestBackOffStartsAnew(t *testing.T) {
	t.Parallel()
	w := start(t, func(o *Options) { o.pace = pace{first: time.Millisecond, most: time.Hour, steady: time.Nanosecond} })
	for i := range 4 {
		kill(t, w.answers("v1"))
		if e := w.await(Degraded, i+1); e.Took != time.Millisecond {
			t.Errorf("pause %d is %s, want 1ms", i, e.Took)
		}
	}
}

func kill(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Fatal(err)
	}
}

func equal[T comparable](a, b []T) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// TestCrashRunsWhatRanBefore: a bad file that was rolled back is not what a
// crash brings up, even if nothing else has the old program's name.
func TestCrashRunsWhatRanBefore(t *testing.T) {
	t.Parallel()
	if !canPin {
		t.Skip("this system cannot run a file by descriptor")
	}
	path := filepath.Join(t.TempDir(), "app")
	copyFile(t, executable(t), path)
	w := start(t, func(o *Options) { o.Command[0] = path })
	pid := w.answers("v1")
	if err := replaceFile(path, "#!/bin/sh\nexit 5\n"); err != nil {
		t.Fatal(err)
	}
	var exit *ExitError
	if err := w.Replace(t.Context(), false); !errors.As(err, &exit) || exit.Status != 5 {
		t.Fatalf("Replace = %v, want exit status 5", err)
	}
	for range 3 {
		kill(t, pid)
		pid = w.answersFrom("v1", pid)
	}
	if got := w.await(Trouble, 1); !strings.Contains(got.Detail, "from its open descriptor") {
		t.Errorf("trouble %q", got.Detail)
	}
	for _, fd := range descriptors(t, pid) {
		if strings.Contains(fd, path) {
			t.Errorf("the program has its own file open: %s", fd)
		}
	}
}

// answersFrom waits for an answer of another process than pid.
func (w *world) answersFrom(release string, pid int) (next int) {
	w.t.Helper()
	until(w.t, "another process", func() bool { next = w.answers(release); return next != pid })
	return next
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestOldEndsInProbation: there is nothing to go back to, so the new one takes over.
func TestOldEndsInProbation(t *testing.T) {
	t.Parallel()
	w := start(t, func(o *Options) { o.Probation = time.Hour })
	old := w.answers("v1")
	w.deploy("v2")
	verdict := make(chan error, 1)
	go func() { verdict <- w.Replace(t.Context(), false) }()
	w.await(OnTrial, 1)
	kill(t, old)
	if err := <-verdict; err != nil {
		t.Fatal(err)
	}
	w.answers("v2")
	w.awaitStates(StateServing)
}

// TestOldEndsWhileNewStarts: it is restarted; the new one takes over from that.
func TestOldEndsWhileNewStarts(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	old := w.answers("v1")
	w.deploy("v2 mute")
	verdict := make(chan error, 1)
	go func() { verdict <- w.Replace(t.Context(), false) }()
	w.answers("v2") // it has read its release
	w.deploy("v3")
	kill(t, old)
	w.await(Serving, 2)
	kill(t, w.of(Started)[1].PID)
	if err := <-verdict; err == nil {
		t.Error("a killed process was let in")
	}
	w.answers("v3")
	w.awaitStates(StateServing)
}

// TestGroupGoesWithItsLeader: what a child started ends with it.
func TestGroupGoesWithItsLeader(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.answers("v1")
	w.deploy("v2 fork")
	if err := w.Replace(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	leader := w.answers("v2")
	kill(t, leader)
	until(t, "the end of the group", func() bool { return groupGone(leader) })
	w.answersFrom("v2", leader)
}

func TestDrainEnds(t *testing.T) {
	t.Parallel()
	w := start(t, func(o *Options) { o.Drain = 50 * time.Millisecond })
	w.answers("v1")
	w.deploy("v2 stubborn")
	if err := w.Replace(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	w.deploy("v3")
	if err := w.Replace(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if e := w.await(Killed, 1); !strings.Contains(e.Detail, "did not end within 50ms of terminated") {
		t.Errorf("killed: %s", e.Detail)
	}
	w.awaitStates(StateServing)
}

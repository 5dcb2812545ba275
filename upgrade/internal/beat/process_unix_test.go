//go:build linux || darwin

package beat

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"
)

var roles = map[string]func() error{"beating": beating, "racing": racing, "dying": dying}

// limit is how long a test waits for what must happen.
const limit = time.Minute

// interval is how often the child beats and the monitor looks.
const interval = 10 * time.Millisecond

func inherited() (*Writer, error) {
	f := os.NewFile(3, "heartbeat")
	defer f.Close()
	return NewWriter(f)
}

// beating beats until its standard input ends. A line there is its new status.
func beating() error {
	w, err := inherited()
	if err != nil {
		return err
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(os.Stdin); s.Scan(); {
			lines <- s.Text()
		}
	}()
	status := Healthy
	for tick := time.NewTicker(interval); ; {
		if err := w.Beat(status); err != nil {
			return err
		}
		select {
		case line, ok := <-lines:
			if !ok {
				return nil
			}
			n, err := strconv.ParseUint(line, 10, 32)
			if err != nil {
				return err
			}
			status = Status(n)
		case <-tick.C:
		}
	}
}

// racing beats without a pause until it is killed, or its standard input ends. The
// status is made from the sequence, so that a mixture can be told.
func racing() error {
	w, err := inherited()
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	for {
		select {
		case <-ended:
			return nil
		default:
		}
		if err := w.Beat(raced(w.sequence + 1)); err != nil {
			return err
		}
	}
}

func raced(sequence uint64) Status { return Status(sequence * 2654435761) }

// dying beats thrice and is killed in the beat after that, before the store that
// STORE names.
func dying() error {
	store, err := strconv.Atoi(os.Getenv("STORE"))
	if err != nil {
		return err
	}
	w, err := inherited()
	if err != nil {
		return err
	}
	before := w.sequence
	w.fault = func(step int) {
		if step == store && w.sequence == before+4 {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	for range 4 {
		if err := w.Beat(Status(store)); err != nil {
			return err
		}
	}
	return errors.New("still alive")
}

// memory makes memory and a reader of it.
func memory(t *testing.T) (*os.File, *Reader) {
	t.Helper()
	f, err := Create()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	r, err := NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return f, r
}

// start plays a role in a child that has f as descriptor 3. The child ends with
// the test.
func start(t *testing.T, role string, f *os.File, variables ...string) (*exec.Cmd, io.Writer) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), roleVariable+"="+role), variables...)
	cmd.ExtraFiles = []*os.File{f}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd, stdin
}

// monitor runs a monitor for the time of the test and returns its changes.
func monitor(t *testing.T, r *Reader) <-chan Change {
	t.Helper()
	m, err := NewMonitor(r, MonitorOptions{Interval: interval})
	if err != nil {
		t.Fatal(err)
	}
	changes := make(chan Change, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx, func(c Change) { changes <- c }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run() = %v, want context.Canceled", err)
		}
	})
	return changes
}

// await waits for a change that is right; a busy machine may show others before.
func await(t *testing.T, changes <-chan Change, what string, right func(Change) bool) Change {
	t.Helper()
	deadline := time.After(limit)
	for {
		select {
		case c := <-changes:
			if right(c) {
				return c
			}
		case <-deadline:
			t.Fatalf("not %s after %v", what, limit)
		}
	}
}

func is(s State) func(Change) bool { return func(c Change) bool { return c.State == s } }

func TestProcessStoppedAndKilled(t *testing.T) {
	t.Parallel()
	f, r := memory(t)
	changes := monitor(t, r)
	child, stdin := start(t, "beating", f)
	await(t, changes, "ok", is(OK))
	if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	lost := await(t, changes, "lost while stopped", is(Lost))
	if lost.Missed < 2*DefaultMissed || lost.Beat.Sequence == 0 || lost.Err != nil {
		t.Errorf("lost as %+v, want the last beat and six missed", lost)
	}
	if err := child.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	back := await(t, changes, "ok once it goes on", is(OK))
	if back.Beat.Sequence <= lost.Beat.Sequence || back.Beat.Time <= lost.Beat.Time {
		t.Errorf("came back with %+v after %+v", back.Beat, lost.Beat)
	}
	fmt.Fprintln(stdin, 42)
	await(t, changes, "degraded with its status", func(c Change) bool { return c.State == Degraded && c.Beat.Status == 42 })
	fmt.Fprintln(stdin, 0)
	await(t, changes, "ok again", is(OK))
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	lost = await(t, changes, "lost once killed", is(Lost))
	if b, err := r.Read(); err != nil || b.Sequence < lost.Beat.Sequence {
		t.Errorf("Read() after the writer's death = %v, %v, want its last beat", b, err)
	}
	start(t, "beating", f)
	next := await(t, changes, "ok with a new writer", is(OK))
	if next.Beat.Sequence <= lost.Beat.Sequence {
		t.Errorf("new writer began at %d, the old one ended at %d", next.Beat.Sequence, lost.Beat.Sequence)
	}
}

// kill -9 between any two stores leaves the beat before, and memory that a new
// writer goes on with.
func TestKilledInBeat(t *testing.T) {
	t.Parallel()
	f, r := memory(t)
	want := Beat{}
	for round := range 8 {
		store := round % 4
		child, _ := start(t, "dying", f, "STORE="+strconv.Itoa(store))
		child.Wait()
		if s := child.ProcessState.Sys().(syscall.WaitStatus); s.Signal() != syscall.SIGKILL {
			t.Fatalf("child ended with %v, want killed", child.ProcessState)
		}
		b, err := r.Read()
		if err != nil || b.Sequence != want.Sequence+3 || b.Status != Status(store) {
			t.Fatalf("killed before store %d: Read() = %v, %v, want beat %d", store, b, err, want.Sequence+3)
		}
		want = b
	}
}

// Killed and stopped anywhere, at full speed.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	f, r := memory(t)
	var last Beat
	for range 5 {
		child, _ := start(t, "racing", f)
		for n := uint64(0); n < 300; {
			b, err := r.Read()
			if err != nil && !errors.Is(err, ErrNone) {
				continue // caught between two beats too often; Read may be repeated
			}
			if b.Sequence < last.Sequence || b.Sequence > 0 && b.Status != raced(b.Sequence) {
				t.Fatalf("torn beat %+v after %+v", b, last)
			}
			if b.Sequence > last.Sequence {
				n++
			} else if child.Process.Signal(syscall.Signal(0)) != nil {
				t.Fatal("the writer is gone")
			}
			last = b
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		child.Wait()
		b, err := r.Read()
		if err != nil || b.Status != raced(b.Sequence) || b.Sequence < last.Sequence {
			t.Fatalf("Read() after the kill = %+v, %v, after %+v", b, err, last)
		}
		last = b
	}
}

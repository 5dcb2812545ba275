package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/theseus-run/theseus/internal/tree"
)

// TestMain lets the test binary be the other process that some tests need.
func TestMain(m *testing.M) {
	dir := os.Getenv("STORE_TEST_DIR")
	switch os.Getenv("STORE_TEST_ROLE") {
	case "hold": // opens the store and waits to be killed
		s, err := Open(dir, Options{})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("holding")
		io.Copy(io.Discard, os.Stdin)
		s.Close()
		os.Exit(0)
	case "crash": // updates the store and dies before its nth step that writes
		at, _ := strconv.ParseInt(os.Getenv("STORE_TEST_STEP"), 10, 64)
		var step atomic.Int64
		s, err := Open(dir, Options{fault: func(op, name string) error {
			if step.Add(1) == at {
				fmt.Println(op, name)
				os.Exit(3)
			}
			return nil
		}})
		if err == nil {
			err = update(s)
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// next is what update makes of the store that saved returns.
func next() *tree.Tree { return app(6, "// edited twice") }

func update(s *Store) error {
	if err := s.Save(Record{Number: 3}, next()); err != nil {
		return err
	}
	if err := s.SetCurrent(3); err != nil {
		return err
	}
	return s.Prune(2)
}

func other(t *testing.T, role, dir string, step int) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), "STORE_TEST_ROLE="+role, "STORE_TEST_DIR="+dir, fmt.Sprint("STORE_TEST_STEP=", step))
	return cmd
}

// A process dies before each step of an update in turn. Whoever opens the store
// then finds the old generation or the new one, whole, and can go on.
func TestCrashAtEachStep(t *testing.T) {
	dies := 0
	for step := 1; ; step++ {
		dir, _, old := saved(t)
		out, err := other(t, "crash", dir, step).Output()
		if err == nil {
			break
		}
		if code := (*exec.ExitError)(nil); !errors.As(err, &code) || code.ExitCode() != 3 {
			t.Fatalf("step %d: %v: %s", step, err, out)
		}
		dies++
		at := strings.TrimSpace(string(out))
		s := open(t, dir, Options{})
		if p := s.Problems(); len(p) > 0 {
			t.Errorf("died before %s: problems %v", at, p)
		}
		n, err := s.Current()
		if err != nil {
			t.Fatal(err)
		}
		want := old
		if n == 3 {
			want = next()
		} else if n != 2 {
			t.Fatalf("died before %s: current is %d", at, n)
		}
		wantCurrent(t, s, n, want)
		for _, r := range s.List() {
			if _, _, err := s.Load(r.Number); err != nil {
				t.Errorf("died before %s: %v", at, err)
			}
		}
		if left, _ := os.ReadDir(filepath.Join(dir, "tmp")); len(left) > 0 {
			t.Errorf("died before %s: tmp holds %v", at, left)
		}
		wantCurrent(t, s, save(t, s, next()), next())
		s.Close()
	}
	if dies < 10 {
		t.Errorf("the update has only %d steps; the test sees too little", dies)
	}
}

// Each step fails in turn, as on a full or broken disk. The update reports it, the
// old state is whole, nothing is left behind, and trying again works.
func TestFailureAtEachStep(t *testing.T) {
	for at := int64(1); ; at++ {
		dir, _, old := saved(t)
		var step atomic.Int64
		var what string
		s := open(t, dir, Options{})
		before := found(t, dir)
		s.disk.fault = func(op, name string) error {
			if step.Add(1) == at {
				what = op + " " + name
				return &os.PathError{Op: "write", Path: name, Err: syscall.ENOSPC}
			}
			return nil
		}
		err := update(s)
		if step.Load() < at {
			return
		}
		e := (*Error)(nil)
		if !errors.As(err, &e) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(e.Hint, "free space") {
			t.Fatalf("%s fails: error = %v, want an Error with a hint", what, err)
		}
		n, err := s.Current()
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case n == 2:
			wantCurrent(t, s, 2, old)
		case n == 3 && (strings.HasPrefix(what, "remove") || what == "syncdir generations"): // Prune failed
			wantCurrent(t, s, 3, next())
		default:
			t.Fatalf("%s fails: current is %d", what, n)
		}
		if _, saved := s.records[3]; !saved && len(found(t, dir)) != len(before) {
			t.Errorf("%s fails: left behind %v", what, found(t, dir))
		}
		wantCurrent(t, s, save(t, s, app(6, "again")), app(6, "again"))
		s.Close()
	}
}

func TestTwoProcesses(t *testing.T) {
	dir, _, b := saved(t)
	cmd := other(t, "hold", dir, 0)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "holding\n" {
		t.Fatalf("the other process says %q (%v)", line, err)
	}
	_, err = Open(dir, Options{})
	if e := (*LockedError)(nil); !errors.Is(err, ErrLocked) || !errors.As(err, &e) || e.PID != cmd.Process.Pid {
		t.Errorf("Open = %v, want ErrLocked naming process %d", err, cmd.Process.Pid)
	}
	r := open(t, dir, Options{ReadOnly: true})
	wantCurrent(t, r, 2, b)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	s := open(t, dir, Options{}) // no stale lock
	if !s.doubtful {
		t.Error("the store does not know that the last process was killed")
	}
	wantCurrent(t, s, 2, b)
}

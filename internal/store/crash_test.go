package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/theseus-run/theseus/internal/disk"
	"github.com/theseus-run/theseus/internal/tree"
	"github.com/theseus-run/theseus/update"
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
		at, _ := strconv.Atoi(os.Getenv("STORE_TEST_STEP"))
		root, err := disk.Open(dir)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		s, err := Open(dir, Options{FS: disk.Points(root, func(o disk.Op) error {
			if o.Index == at && o.Phase == disk.Before {
				fmt.Println(o.Kind, o.Name)
				os.Exit(3)
			}
			return nil
		})})
		if err == nil {
			s.Retain(2)
			_, err = s.Step(update.Restart{})
		}
		if err == nil {
			err = apply(s, 3, next())
		}
		if err == nil {
			err = s.Close()
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// next is what the other process makes of the store that saved returns.
func next() *tree.Tree { return app(6, "// edited twice") }

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
		n := s.Current()
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
		for _, name := range found(t, dir) {
			if strings.Contains(name, ".tmp-") {
				t.Errorf("died before %s: %s is left", at, name)
			}
		}
		wantCurrent(t, s, save(t, s, next()), next())
		s.Close()
	}
	if dies < 10 {
		t.Errorf("the update has only %d steps; the test sees too little", dies)
	}
}

// Each step fails in turn, as on a full or broken disk. The update reports it, or
// what failed did not matter; the old state or the new is whole, and trying again
// works.
func TestFailureAtEachStep(t *testing.T) {
	for at := 1; ; at++ {
		dir, _, old := saved(t)
		root, err := disk.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		armed, first, what := false, 0, ""
		p := disk.Points(root, func(o disk.Op) error {
			if !armed || o.Phase != disk.Before {
				return nil
			}
			if first == 0 {
				first = o.Index
			}
			if o.Index-first+1 != at {
				return nil
			}
			what = string(o.Kind) + " " + o.Name
			return &os.PathError{Op: "write", Path: o.Name, Err: syscall.ENOSPC}
		})
		s := open(t, dir, Options{FS: p})
		s.Retain(2)
		armed = true
		err = apply(s, 3, next())
		armed = false
		if what == "" {
			return
		}
		if e := (*Error)(nil); err != nil && (!errors.As(err, &e) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(e.Hint, "free space")) {
			t.Fatalf("%s fails: error = %v, want an Error with a hint", what, err)
		}
		switch n := s.Current(); {
		case n == 2 && err != nil:
			wantCurrent(t, s, 2, old)
		case n == 3:
			wantCurrent(t, s, 3, next())
		default:
			t.Fatalf("%s fails: current is %d, %v", what, n, err)
		}
		wantCurrent(t, s, save(t, s, app(6, "again")), app(6, "again"))
		if err := s.Close(); err != nil {
			t.Errorf("%s fails: Close: %v", what, err)
		}
		s = open(t, dir, Options{})
		wantCurrent(t, s, s.Current(), app(6, "again"))
		if p := s.Problems(); len(p) > 0 {
			t.Errorf("%s fails: problems %v", what, p)
		}
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
	wantCurrent(t, s, 2, b)
}

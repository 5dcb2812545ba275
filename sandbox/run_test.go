package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary be the child: its work comes on stdin.
func TestMain(m *testing.M) {
	if os.Getenv("SANDBOX_CHILD") == "1" {
		child()
		return
	}
	os.Exit(m.Run())
}

var sink [][]byte

func child() {
	work, _ := io.ReadAll(os.Stdin)
	switch string(work) {
	case "echo":
		fmt.Print("out")
		fmt.Fprint(os.Stderr, "err")
		os.Exit(7)
	case "env":
		fmt.Print(strings.Join(os.Environ(), " "))
	case "spin":
		fmt.Printf("%d\n", os.Getpid())
		//lint:ignore SA5002 the child is meant to burn until it is killed
		for {
		}
	case "eat":
		for {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			sink = append(sink, b)
		}
	case "flood":
		for {
			fmt.Println(strings.Repeat("x", 1000))
		}
	case "files":
		var open []*os.File
		for {
			f, err := os.Open(os.Args[0])
			if err != nil {
				fmt.Print(len(open))
				return
			}
			open = append(open, f)
		}
	case "grandchild":
		cmd := exec.Command(os.Args[0])
		cmd.Env = []string{"SANDBOX_CHILD=1"}
		in, _ := cmd.StdinPipe()
		if err := cmd.Start(); err != nil {
			fmt.Print(err)
			return
		}
		fmt.Fprint(in, "spin")
		in.Close()
		fmt.Print(cmd.Process.Pid)
	case "orphan":
		// A parent that is killed while its own sandboxed child spins.
		_, _ = Run(context.Background(), Spec{Path: os.Args[0], Env: []string{"SANDBOX_CHILD=1"}, Stdin: []byte("announce"),
			Stderr: os.Stdout, Time: time.Minute})
	case "announce":
		fmt.Fprintf(os.Stderr, "%d\n", os.Getpid())
		//lint:ignore SA5002 the child is meant to burn until it is killed
		for {
		}
	}
}

func self(t *testing.T, work string) Spec {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Spec{Path: exe, Env: []string{"SANDBOX_CHILD=1"}, Stdin: []byte(work), Time: 10 * time.Second}
}

func run(t *testing.T, spec Spec) Result {
	t.Helper()
	r, err := Run(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func gone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(time.Minute); Alive(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d is alive", pid)
		}
	}
}

func TestRun(t *testing.T) {
	r := run(t, self(t, "echo"))
	if r.ExitCode != 7 || r.Signaled || r.TimedOut || string(r.Stdout) != "out" || string(r.Stderr) != "err" {
		t.Errorf("%+v", r)
	}
}

func TestEnvironmentIsNotInherited(t *testing.T) {
	t.Setenv("SECRET_OF_THE_PARENT", "x")
	if r := run(t, self(t, "env")); strings.Contains(string(r.Stdout), "SECRET") || !strings.Contains(string(r.Stdout), "SANDBOX_CHILD=1") {
		t.Errorf("environment: %s", r.Stdout)
	}
}

func TestDeadline(t *testing.T) {
	spec := self(t, "spin")
	spec.Time = 100 * time.Millisecond
	r := run(t, spec)
	if !r.TimedOut || r.Duration > 2*time.Second {
		t.Errorf("%+v", r)
	}
	if pid, err := strconv.Atoi(strings.TrimSpace(string(r.Stdout))); err == nil {
		gone(t, pid)
	}
}

func TestContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	r, err := Run(ctx, self(t, "spin"))
	if err != nil || !r.TimedOut {
		t.Errorf("%+v %v", r, err)
	}
}

func TestOutputIsBounded(t *testing.T) {
	spec := self(t, "flood")
	spec.MaxOutput = 5000
	if r := run(t, spec); !r.TooMuch || r.TimedOut || len(r.Stdout) != 5000 {
		t.Errorf("%d bytes, %+v", len(r.Stdout), r.TooMuch)
	}
}

func TestDataLimit(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("RLIMIT_DATA counts mapped memory on Linux only")
	}
	if raceDetector {
		t.Skip("the race detector cannot run under a data limit")
	}
	spec := self(t, "eat")
	spec.DataBytes = 256 << 20
	r := run(t, spec)
	if r.TimedOut || r.ExitCode == 0 || !bytes.Contains(r.Stderr, []byte("out of memory")) && !bytes.Contains(r.Stderr, []byte("cannot allocate")) {
		t.Errorf("exit %d, stderr %.200s", r.ExitCode, r.Stderr)
	}
	if len(r.NotEnforced) != 0 {
		t.Errorf("NotEnforced = %v", r.NotEnforced)
	}
}

func TestFileLimit(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("set from outside on Linux only")
	}
	spec := self(t, "files")
	spec.Files = 20
	n, err := strconv.Atoi(string(run(t, spec).Stdout))
	if err != nil || n > 20 {
		t.Errorf("opened %d files %v", n, err)
	}
}

func TestProcessorLimit(t *testing.T) {
	if runtime.GOOS != "linux" || testing.Short() {
		t.Skip("takes a second; set from outside on Linux only")
	}
	spec := self(t, "spin")
	spec.CPU = time.Second
	if r := run(t, spec); !r.Signaled || r.TimedOut {
		t.Errorf("%+v", r)
	}
}

func TestGrandchildrenDie(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a job object")
	}
	r := run(t, self(t, "grandchild"))
	pid, err := strconv.Atoi(string(r.Stdout))
	if err != nil {
		t.Fatalf("%s %v", r.Stdout, err)
	}
	gone(t, pid)
}

// When the parent is killed, its child is too.
func TestParentDeath(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Linux only")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = []string{"SANDBOX_CHILD=1"}
	cmd.Stdin = strings.NewReader("orphan")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	pid, _ := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || pid == 0 || !Alive(pid) {
		t.Fatalf("%q %v", line, err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	gone(t, pid)
}

func TestCannotStart(t *testing.T) {
	if _, err := Run(t.Context(), Spec{Path: "/does/not/exist"}); !errors.Is(err, ErrStart) {
		t.Errorf("%v", err)
	}
}

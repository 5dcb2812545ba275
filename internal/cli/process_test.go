//go:build unix

package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// deadline bounds every wait of a script.
const deadline = 20 * time.Second

// pause is the time between two looks at a condition.
const pause = 10 * time.Millisecond

type worldKey struct{}

// A world is what one script has started. It is used by one goroutine.
type world struct {
	processes map[string]*process
	answers   map[string]chan answer
	listeners []net.Listener
	traffic   *traffic
	held      map[string]net.Conn
}

func newWorld() *world {
	return &world{processes: map[string]*process{}, answers: map[string]chan answer{}, held: map[string]net.Conn{}}
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

// close ends what still runs.
func (w *world) close() {
	for _, c := range w.held {
		_ = c.Close()
	}
	if w.traffic != nil {
		w.traffic.end()
	}
	for _, p := range w.processes {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // with those that replaced it
		<-p.done
	}
	for _, l := range w.listeners {
		_ = l.Close()
	}
	for _, c := range w.answers {
		<-c
	}
}

// A process runs in the background of a script.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr output
	ended          chan struct{} // closed when it has ended
	done           chan struct{} // closed when those have too that it passed its output to
}

// An output collects what a process writes. It is safe for concurrent use.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// until polls a condition; what says it in the failure.
func until(ts *testscript.TestScript, what string, ok func() (bool, string)) {
	end, last := time.Now().Add(deadline), ""
	for {
		var yes bool
		if yes, last = ok(); yes {
			return
		}
		if time.Now().After(end) {
			break
		}
		time.Sleep(pause)
	}
	for name, p := range worldOf(ts).processes {
		ts.Logf("[%s stdout]\n%s[%s stderr]\n%s", name, p.stdout.String(), name, p.stderr.String())
	}
	ts.Fatalf("waited %s for %s; last seen: %s", deadline, what, last)
}

// need refuses a wrong use of a command.
func need(ts *testscript.TestScript, neg bool, ok bool, usage string) {
	if neg || !ok {
		ts.Fatalf("usage: %s", usage)
	}
}

func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) >= 2, "exits STATUS PROGRAM ARG...")
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if ee, ok := errors.AsType[*exec.ExitError](err); ok {
		got = ee.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}

func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) >= 2, "start NAME PROGRAM ARG...")
	path, err := exec.LookPath(args[1])
	ts.Check(err)
	p := &process{cmd: exec.Command(path, args[2:]...), ended: make(chan struct{}), done: make(chan struct{})}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Args[0] = args[1]
	p.cmd.Dir = ts.MkAbs(".")
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "WORK", "GOCOVERDIR", "GORACE"} {
		if v := ts.Getenv(name); v != "" {
			p.cmd.Env = append(p.cmd.Env, name+"="+v)
		}
	}
	var copied sync.WaitGroup
	p.cmd.Stdout = collect(ts, &copied, &p.stdout)
	p.cmd.Stderr = collect(ts, &copied, &p.stderr)
	err = p.cmd.Start()
	_ = p.cmd.Stdout.(*os.File).Close()
	_ = p.cmd.Stderr.(*os.File).Close()
	ts.Check(err)
	if old := worldOf(ts).processes[args[0]]; old != nil {
		<-old.done
	}
	worldOf(ts).processes[args[0]] = p
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait()
		close(p.ended)
		copied.Wait()
	}()
}

// collect returns a pipe whose other end goes to an output until all who write to
// it have ended.
func collect(ts *testscript.TestScript, copied *sync.WaitGroup, to *output) *os.File {
	r, w, err := os.Pipe()
	ts.Check(err)
	copied.Go(func() {
		_, _ = io.Copy(to, r)
		r.Close()
	})
	return w
}

// find returns a process that was started.
func find(ts *testscript.TestScript, name string) *process {
	p := worldOf(ts).processes[name]
	if p == nil {
		ts.Fatalf("nothing named %q was started", name)
	}
	return p
}

// signals are those that scripts may send.
var signals = map[string]syscall.Signal{"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT,
	"TERM": syscall.SIGTERM, "USR2": syscall.SIGUSR2, "KILL": syscall.SIGKILL}

func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) == 2 && signals[args[0]] != 0, "signal HUP|INT|QUIT|TERM|USR2|KILL NAME")
	ts.Check(find(ts, args[1]).cmd.Process.Signal(signals[args[0]]))
}

func cmdSignalUntilExit(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) == 2 && signals[args[0]] != 0, "signal-until-exit HUP|INT|QUIT|TERM|KILL NAME")
	p := find(ts, args[1])
	until(ts, "the end of "+args[1], func() (bool, string) {
		select {
		case <-p.done:
			return true, ""
		default:
			_ = p.cmd.Process.Signal(signals[args[0]]) // it may just have ended
			return false, "it runs"
		}
	})
}

func cmdWaitFile(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) == 1, "wait-file FILE")
	until(ts, args[0], func() (bool, string) {
		_, err := os.Stat(ts.MkAbs(args[0]))
		return err == nil, fmt.Sprint(err)
	})
}

func cmdWaitExit(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) == 2, "wait-exit NAME STATUS")
	p := find(ts, args[0])
	until(ts, "the end of "+args[0], func() (bool, string) {
		select {
		case <-p.done:
			return true, ""
		default:
			return false, "it runs"
		}
	})
	fmt.Fprint(ts.Stdout(), p.stdout.String())
	fmt.Fprint(ts.Stderr(), p.stderr.String())
	state := p.cmd.ProcessState
	got := strconv.Itoa(state.ExitCode())
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		got = ws.Signal().String()
	}
	if got != args[1] {
		ts.Fatalf("%s ended with %s, want %s\n%s%s", args[0], got, args[1], p.stdout.String(), p.stderr.String())
	}
}

func cmdWaitOutput(of func(*process) *output) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		need(ts, neg, len(args) == 2, "wait-stderr|wait-stdout NAME REGEXP")
		p := find(ts, args[0])
		re, err := regexp.Compile("(?m)" + args[1])
		ts.Check(err)
		until(ts, fmt.Sprintf("%q from %s", args[1], args[0]), func() (bool, string) {
			return re.MatchString(of(p).String()), "no match"
		})
	}
}

package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// A Spec says what to run and how far it may go. Path is required; the zero
// value of every other field sets no limit unless it says otherwise.
type Spec struct {
	Path string   // the program
	Args []string // without the program's name
	Env  []string // the whole environment; nil means empty, not inherited
	Dir  string   // working directory; empty means the caller's

	// Stdin is what the child reads; empty means nothing. It is handed over
	// only after the limits are set.
	Stdin []byte

	// Time is the wall time after which the child's group is killed. Zero
	// means that only the context ends it.
	Time time.Duration

	// MaxOutput bounds the bytes kept of standard output, and of standard
	// error, each. The child is killed when it writes more to standard output;
	// standard error is cut. Zero means 1 MiB.
	MaxOutput int

	// Stderr, when set, receives standard error as it is written, as far as
	// MaxOutput allows. It is called from another goroutine.
	Stderr io.Writer

	DataBytes int64         // RLIMIT_DATA: heap and other private memory
	CPU       time.Duration // RLIMIT_CPU, in whole seconds, rounded up
	Files     int           // RLIMIT_NOFILE
}

// A Result is how the child ended.
type Result struct {
	ExitCode  int  // -1 when a signal ended it
	Signaled  bool // ended by a signal, its own or ours
	TimedOut  bool // killed at Spec.Time or at the context's end
	TooMuch   bool // killed for writing more than Spec.MaxOutput
	Stdout    []byte
	Stderr    []byte
	Truncated bool // Stderr was cut
	Duration  time.Duration

	// NotEnforced names the limits of the Spec that this system does not hold:
	// "data", "cpu", "files", "parent".
	NotEnforced []string
}

// ErrStart is wrapped by the error of Run when the child did not start.
var ErrStart = errors.New("cannot start the child process")

const defaultOutput = 1 << 20

// waitAfterKill is how long Run waits for pipes that a killed child's own
// children may hold open.
const waitAfterKill = time.Second

// Run runs the child to its end and reports it. An error means that the child
// could not be run; a child that fails is a Result. No process of the child's
// group is left when Run returns. It is safe for concurrent use.
func Run(ctx context.Context, spec Spec) (Result, error) {
	if spec.MaxOutput == 0 {
		spec.MaxOutput = defaultOutput
	}
	if spec.Time > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, spec.Time)
		defer cancel()
	}
	inner, kill := context.WithCancel(ctx)
	defer kill()

	cmd := exec.CommandContext(inner, spec.Path, spec.Args...)
	cmd.Env = append([]string{}, spec.Env...)
	cmd.Dir = spec.Dir
	var result Result
	stdout := &bounded{max: spec.MaxOutput, full: kill}
	stderr := &bounded{max: spec.MaxOutput, copy: spec.Stderr}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrStart, err)
	}
	prepare(cmd)
	cmd.Cancel = func() error { return killGroup(cmd.Process) }
	cmd.WaitDelay = waitAfterKill

	start := time.Now()
	if err := cmd.Start(); err != nil {
		return Result{}, fmt.Errorf("%w: %s: %w", ErrStart, spec.Path, err)
	}
	result.NotEnforced = limit(cmd.Process.Pid, spec)
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		_, _ = stdin.Write(spec.Stdin) // a child that ends early does not read it all
		_ = stdin.Close()
	}()
	err = cmd.Wait()
	_ = killGroup(cmd.Process) // what it may have left behind
	<-fed
	result.Duration = time.Since(start)
	if cmd.ProcessState == nil {
		return Result{}, fmt.Errorf("wait for %s: %w", spec.Path, err)
	}
	result.ExitCode = cmd.ProcessState.ExitCode()
	result.Signaled = signaled(cmd.ProcessState)
	result.TooMuch = stdout.over
	result.TimedOut = ctx.Err() != nil && !result.TooMuch && result.ExitCode != 0
	result.Stdout, result.Stderr, result.Truncated = stdout.buf.Bytes(), stderr.buf.Bytes(), stderr.over
	return result, nil
}

// A bounded writer keeps the first max bytes.
type bounded struct {
	max  int
	buf  bytes.Buffer
	over bool
	full func()    // called once when more comes; nil: ignored
	copy io.Writer // gets what is kept
}

func (b *bounded) Write(p []byte) (int, error) {
	keep := p[:min(len(p), b.max-b.buf.Len())]
	b.buf.Write(keep)
	if b.copy != nil && len(keep) > 0 {
		_, _ = b.copy.Write(keep)
	}
	if len(keep) < len(p) {
		if !b.over && b.full != nil {
			b.full()
		}
		b.over = true
	}
	return len(p), nil
}

// Alive reports whether a process with that id exists.
func Alive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	defer p.Release()
	return alive(p)
}

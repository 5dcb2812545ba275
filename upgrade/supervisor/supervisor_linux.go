package supervisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/theseus-run/theseus/internal/executable"
	"github.com/theseus-run/theseus/upgrade/internal/pidfile"
	"github.com/theseus-run/theseus/upgrade/internal/systemd"
)

// A Supervisor keeps one service running. [New] makes it.
type Supervisor struct {
	opt    Options
	name   string // argv[0] of workers
	began  atomic.Bool
	inbox  chan func()   // what the loop does
	over   chan struct{} // closed when the loop has ended
	procs  *procs
	notify *systemd.Notifier
	masked bool // this process was started with signals blocked, and children would be

	// The loop owns what follows; before Run, New does.
	workers    []*worker // oldest first
	started    int
	serving    *worker
	program    program // what a crash starts again
	earlier    program // what did before the last upgrade; its pin is -1 if there is none
	snap       *snapshot
	activated  bool // snap is made of what the service manager passed
	everServed bool
	generation int  // of the worker that served last
	lastStatus int  // of the last worker that served, or was to, and has ended
	crashed    bool // the worker that served has ended, and that is not counted yet
	restarts   int
	upgrades   int
	replaced   int

	pause    time.Duration // before the next start
	restart  *alarm        // of the next start; nil if none is due
	inherits *alarm        // by when a worker must have become the service; nil if none must
	degraded time.Time     // since when; zero if the worker is well

	stopping  bool
	stopBegan time.Time
	stopBy    syscall.Signal
	hurried   bool

	requests map[uint64]*request
	lastID   uint64
	asked    *worker // that was asked for as successor, while systemd is told of a reload

	replacement *replacement
	failure     error // why the loop has to end
	watchdog    <-chan time.Time
	stored      map[string]uint64 // name in systemd's store to the inode of the socket
	early       []os.Signal       // that came before Run
	adopted     *adoption         // from the program before this one; nil else
}

// New makes a supervisor. It takes the descriptors of LISTEN_FDS over, if they are
// for this process: the first worker gets them.
//
// In a process that a supervisor is about to become, it takes over what that one
// had; if it cannot, the old program is executed again and New does not return. In
// the trial of a new supervisor it gives the verdict and returns [ErrTrial]. So it
// must be called early, before anything is done that two processes must not do, and
// its error must end the process.
//
// Without a call of Run, call Close.
func New(opt Options) (*Supervisor, error) {
	if spec, ok := take(shimVariable); ok {
		return nil, shim(spec)
	}
	if spec, ok := take(trialVariable); ok {
		return nil, trial(spec, opt)
	}
	if spec, ok := take(stateVariable); ok {
		return adopt(spec, opt)
	}
	s, err := prepare(opt)
	if err != nil {
		return nil, err
	}
	if s.program.path, err = programOf(opt); err != nil {
		return nil, err
	}
	s.program.args = s.opt.Args
	if err := s.activate(); err != nil {
		return nil, err
	}
	return s, keepFromChildren()
}

// prepare makes a supervisor that has nothing.
func prepare(opt Options) (*Supervisor, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Supervisor{
		opt: opt, name: cmp.Or(opt.Path, os.Args[0]), inbox: make(chan func()), over: make(chan struct{}),
		notify: systemd.New(os.LookupEnv), masked: blocked(),
		program: program{pin: -1}, earlier: program{pin: -1}, pause: opt.pace.first, requests: map[uint64]*request{}, stored: map[string]uint64{},
	}
	s.procs = newProcs(opt.Subreaper || os.Getpid() == 1, func(p *proc) { s.post(func() { s.exited(p) }) })
	return s, nil
}

func programOf(opt Options) (string, error) {
	if opt.Path == "" {
		return ownPath()
	}
	return executable.Find(opt.Path)
}

// take removes a variable from the environment and returns it.
func take(name string) (string, bool) {
	value, ok := os.LookupEnv(name)
	if ok {
		os.Unsetenv(name)
	}
	return value, ok
}

// Close frees what New opened, if Run was never called. Workers that were taken over
// run on without a supervisor.
func (s *Supervisor) Close() error {
	if s.began.CompareAndSwap(false, true) {
		s.free()
		close(s.over)
	}
	return nil
}

// free closes every descriptor.
func (s *Supervisor) free() {
	for _, w := range s.workers {
		s.closeWorker(w)
		if w.conduit != nil && w.conduit.done != nil {
			<-w.conduit.done
		}
	}
	s.snap.release()
	s.snap = nil
	closeFD(s.program.pin)
	closeFD(s.earlier.pin)
	s.program.pin, s.earlier.pin = -1, -1
}

// Run starts the worker and keeps the service running until ctx ends or a signal
// says stop. Then it passes that on, waits until all workers have drained, and
// returns the exit status of the one that served, 128+n if signal n ended it.
// signals may be nil; [Signals] are those to deliver, and those that are not for the
// supervisor are passed on to the worker that serves.
//
// A worker that ends before any has served is not started again: Run returns its
// status. The error tells what kept the first worker from being started at all. Run
// can be called once. It does not return when the supervisor is replaced: the
// process goes on as another program.
func (s *Supervisor) Run(ctx context.Context, signals <-chan os.Signal) (int, error) {
	if !s.began.CompareAndSwap(false, true) {
		return 1, errors.New("run: it has run already, or was closed")
	}
	defer s.free()
	defer close(s.over)
	if s.opt.Subreaper {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return 1, fmt.Errorf("become the parent of orphans: %w", err)
		}
	}
	if every := s.notify.WatchdogInterval(); every > 0 {
		tick := time.NewTicker(every)
		defer tick.Stop()
		s.watchdog = tick.C
	}
	if err := s.begin(); err != nil {
		return 1, err
	}
	for _, sig := range s.early {
		s.signal(sig)
	}
	s.loop(ctx, signals)
	<-s.drainInbox(s.procs.pause())
	for _, w := range s.workers { // only after a failure
		s.procs.kill(w.proc)
	}
	s.warn(s.forgetFiles())
	if s.opt.PIDFile != "" && s.everServed {
		if _, err := pidfile.Remove(s.opt.PIDFile, os.Getpid()); err != nil {
			s.trouble(nil, "the PID file was not removed", err)
		}
	}
	return s.lastStatus, s.failure
}

// begin starts the first worker, or goes on with those that were taken over.
func (s *Supervisor) begin() error {
	if s.adopted != nil {
		s.proceed()
		return nil
	}
	s.procs.resume()
	if err := s.bring(); err != nil {
		<-s.procs.pause()
		return err
	}
	return nil
}

// loop runs until there is nothing left to supervise.
func (s *Supervisor) loop(ctx context.Context, signals <-chan os.Signal) {
	done := ctx.Done()
	for !s.finished() {
		select {
		case f := <-s.inbox:
			f()
		case sig := <-signals:
			s.signal(sig)
		case <-done:
			done = nil
			s.stop(unix.SIGTERM)
		case <-s.watchdog:
			s.alive()
		}
		s.advance(signals)
	}
}

// finished reports whether the loop has to end.
func (s *Supervisor) finished() bool {
	if s.failure != nil {
		return true
	}
	return len(s.workers) == 0 && (s.stopping || !s.everServed)
}

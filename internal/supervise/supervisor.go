//go:build unix

package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
)

// mostDraining is how many old children may drain at once.
const mostDraining = 8

// A Supervisor keeps one program running and its sockets open. [New] makes it.
type Supervisor struct {
	opt      Options
	selfPath string    // runs opt.Self
	workDir  string    // what relative paths of the command are relative to
	sockets  []*socket // never change
	dir      string    // of the notify sockets
	systemd  *systemd
	began    atomic.Bool

	procs *procs // from Run on
	guard guard

	stop    chan struct{}  // closed when the supervisor stops
	hurry   chan struct{}  // closed when nothing may drain any longer
	swapped chan struct{}  // says to Run's loop that active has changed
	wg      sync.WaitGroup // what must be over before Run returns
	settled chan struct{}  // closed when it is
	burials sync.WaitGroup // one for each child, until its end
	blind   sync.Once      // tells once that probes cannot tell children apart

	events sync.Mutex // one event at a time; taken before mu

	mu        sync.Mutex
	running   bool // Run has begun and nobody has told it to stop
	over      bool // it was told to stop
	replacing bool // a replacement runs
	ready     bool // a child has served
	active    *child
	children  map[int]*child // by number, those that run
	program   *program       // what a crash restarts
	started   int
	restarts  int
	replaced  int
	refused   map[string]bool // fingerprints that were rolled back
	last      *Verdict
	lastExit  int // status of the last child that served and has ended
}

// New checks opt, finds the program and opens the sockets. It takes the
// variables and descriptors of LISTEN_FDS, if they are for this process, out of
// the hands of the caller. Without a call of Run, call Close.
func New(opt Options) (*Supervisor, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Supervisor{
		opt: opt, stop: make(chan struct{}), hurry: make(chan struct{}), swapped: make(chan struct{}, 1), settled: make(chan struct{}),
		children: map[int]*child{}, refused: map[string]bool{},
	}
	if s.workDir, err = os.Getwd(); err != nil {
		return nil, fmt.Errorf("working directory: %w", err)
	}
	if s.opt.Self == nil {
		s.opt.Self = []string{os.Args[0], "exec-child"}
		if s.selfPath, err = self(); err != nil {
			return nil, fmt.Errorf("find this executable: %w", err)
		}
	} else {
		s.selfPath = s.opt.Self[0]
	}
	if s.program, err = lookup(opt.Command, s.workDir); err != nil {
		return nil, err
	}
	if err := s.openAll(); err != nil {
		s.program.close()
		return nil, err
	}
	return s, nil
}

// openAll opens what Close closes.
func (s *Supervisor) openAll() error {
	inherited, err := inherit(os.Getenv)
	if err != nil {
		return err
	}
	if err := closeOnExec(firstFD); err != nil {
		return fmt.Errorf("keep descriptors from children: %w", err)
	}
	if s.sockets, err = collect(s.opt, inherited); err != nil {
		return err
	}
	if s.opt.Ready.probes() && s.target() == nil {
		err = errNoTarget
	} else if s.dir, err = notifyDir(); err == nil {
		err = s.writeStatus()
	}
	if err != nil {
		closeAll(s.sockets)
		_ = os.RemoveAll(s.dir)
		return err
	}
	s.systemd = newSystemd(os.Getenv)
	return nil
}

// notifyDir makes the directory of the notify sockets. Children that change
// their user must reach them by name: root's directory allows that where the
// kernel tells who sends.
func notifyDir() (string, error) {
	const longest = 60 // sun_path has 104 bytes or more
	base := os.TempDir()
	if len(base) > longest {
		base = "/tmp"
	}
	dir, err := os.MkdirTemp(base, "theseus-exec-")
	if err == nil && hasCredentials && os.Geteuid() == 0 {
		err = os.Chmod(dir, 0o711)
	}
	if err != nil {
		return dir, fmt.Errorf("directory for NOTIFY_SOCKET: %w", err)
	}
	return dir, nil
}

// Close frees what New opened, if Run was never called.
func (s *Supervisor) Close() error {
	if s.began.CompareAndSwap(false, true) {
		s.free()
	}
	return nil
}

func (s *Supervisor) free() {
	closeAll(s.sockets)
	s.program.close()
	s.systemd.close()
	_ = os.RemoveAll(s.dir)
	if s.opt.StatusFile != "" {
		_ = os.Remove(s.opt.StatusFile)
	}
}

// Run starts the program and keeps it running until ctx ends or a signal tells
// it to stop; then it drains the children and returns the exit status of the
// one that served, 128+n if signal n ended it. signals may be nil; [Signals] are
// those to deliver, and those that are not for the supervisor are passed on.
//
// It returns a [*StartError] if the program cannot be executed at all when it
// is started for the first time, and [ErrInterrupted] after a second signal to
// stop. No child runs once Run has returned, unless the kernel could not end
// it. Run can be called once.
func (s *Supervisor) Run(ctx context.Context, signals <-chan os.Signal) (int, error) {
	if !s.began.CompareAndSwap(false, true) {
		return 0, errors.New("run: it has run already, or was closed")
	}
	defer s.free()
	if s.opt.Subreaper {
		if err := becomeSubreaper(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return 0, fmt.Errorf("become the parent of orphans: %w", err)
		}
	}
	s.procs = newProcs(s.opt.Subreaper || os.Getpid() == 1)
	defer s.procs.close()
	if err := s.startGuard(); err != nil {
		return 0, err
	}
	defer s.guard.close()
	s.systemd.store(s)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.running = true
	s.mu.Unlock()
	over := make(chan struct{})
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer close(over)
	helpers.Go(func() { s.handle(ctx, signals, cancel, over) })
	helpers.Go(func() { s.systemd.watchdog(s, over) })
	helpers.Go(func() { s.missGuard(over) })
	err := s.keep(ctx)
	return s.shutdown(err)
}

package supervisor

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/beat"
	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// mostWorkers is how many may live at a time.
const mostWorkers = 64

// A worker is one process that runs, or ran, the service. The loop owns its fields.
type worker struct {
	*proc
	number  int
	program program // its pin belongs to the supervisor
	began   time.Time
	state   State // starting, serving or draining
	conduit *conduit
	beats   int // the heartbeat memory

	greeted    bool // it has said hello
	generation int
	release    wire.Release
	asker      *worker   // whose successor it was started as; nil if the supervisor started it
	snap       *snapshot // the last one it sent before it served
	takeover   *takeover // while the supervisor is its predecessor
	kept       bool      // a snapshot of it is in use
	lost       bool      // the link has ended
	dead       bool      // it was reaped
	over       bool      // both, and that was handled
	unwatch    func()    // ends the watch of its heartbeats; nil if nobody watches
}

// A launch is how a worker is started.
type launch struct {
	program program
	env     []string // added
	control int      // the worker's end of the control link to its predecessor; -1 for none
	asker   *worker
}

// launch starts a worker. The descriptors of l stay the caller's.
func (s *Supervisor) launch(l launch) (*worker, error) {
	if len(s.workers) >= mostWorkers {
		return nil, fmt.Errorf("%d workers live already", mostWorkers)
	}
	memory, err := beat.Create()
	if err != nil {
		return nil, err
	}
	beats, err := keep(memory)
	if err != nil {
		return nil, err
	}
	ours, theirs, err := pair()
	if err != nil {
		closeFD(beats)
		return nil, err
	}
	defer closeFD(theirs)
	c, err := newConduit(ours)
	if err != nil {
		closeFD(beats)
		return nil, err
	}
	w := &worker{number: s.started + 1, program: l.program, began: time.Now(), state: StateStarting, conduit: c, beats: beats, asker: l.asker}
	w.proc, err = s.fork(l, theirs, beats)
	if err == nil {
		err = c.send(s.greeting())
	}
	if err != nil {
		if w.proc != nil {
			s.procs.kill(w.proc)
			closeFD(w.fd)
		}
		c.close()
		closeFD(beats)
		return nil, fmt.Errorf("start %s: %w", l.program.path, err)
	}
	s.started++
	s.workers = append(s.workers, w)
	s.receive(w)
	s.emit(Event{Kind: Started, Worker: w.number, PID: w.pid, Took: time.Since(w.began), Detail: l.program.path})
	return w, nil
}

// fork starts the process of a worker.
func (s *Supervisor) fork(l launch, link, beats int) (*proc, error) {
	env := append(without(os.Environ()), s.opt.Env...)
	env = append(env, l.env...)
	files := []uintptr{0, 1, 2}
	give := func(variable string, fd int) {
		env = append(env, variable+"="+strconv.Itoa(len(files)))
		files = append(files, uintptr(fd))
	}
	if l.control >= 0 {
		give(upgradeVariable, l.control) // always 3
		env = append(env, pathVariable+"="+l.program.path)
	}
	give(supervisorVariable, link)
	give(beatVariable, beats)
	path, argv := l.program.path, append([]string{s.name}, l.program.args...)
	if l.program.moved() {
		// The child's own descriptors must not come over the one that it is started
		// from.
		pin, err := duplicate(l.program.pin, int(slices.Max(files))+32)
		if err != nil {
			return nil, err
		}
		defer closeFD(pin)
		path = byDescriptor(pin)
	}
	if s.masked {
		return s.forkUnmasked(path, argv, env, files)
	}
	return s.procs.start(path, argv, env, files, 0)
}

// greeting is this process's hello to workers.
func (s *Supervisor) greeting() wire.Hello {
	h := wire.Hello{Min: protocolMin, Max: protocol, PID: os.Getpid(), Limits: wire.Limits{State: stateLimit}}
	if s.serving != nil {
		h.Generation = s.serving.generation
	}
	return h
}

// The protocol of the links, and the oldest version still spoken.
const (
	protocol    = 1
	protocolMin = 1
)

// receive reads what a worker says from here on.
func (s *Supervisor) receive(w *worker) {
	if w.conduit == nil {
		return
	}
	parts := &assembly{}
	w.conduit.resume(func(m wire.Message, files []*os.File) bool {
		switch m.(type) {
		case wire.Sockets, wire.State, wire.StateData, wire.StateEnd, wire.Prepared:
			snap, err := parts.add(m, files)
			if err != nil {
				s.post(func() { s.trouble(w, "a snapshot was dropped", err) })
			}
			if snap != nil && !s.post(func() { s.keepSnapshot(w, snap) }) {
				snap.release()
			}
		default:
			closeFiles(files)
			s.post(func() { s.heard(w, m) })
		}
		return parts.whole()
	}, func(err error) {
		parts.drop()
		s.post(func() { s.linkEnded(w, err) })
	})
}

// signalAll passes a signal on to all workers.
func (s *Supervisor) signalAll(sig syscall.Signal) {
	for _, w := range s.workers {
		_ = s.procs.signal(w.proc, sig) // one that has ended needs none
	}
}

// kill ends a worker.
func (s *Supervisor) kill(w *worker, why string) {
	if w.dead {
		return
	}
	s.emit(Event{Kind: Killed, Worker: w.number, PID: w.pid, Detail: why})
	s.procs.kill(w.proc)
}

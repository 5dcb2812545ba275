package supervisor

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/theseus-run/theseus/internal/executable"
	"github.com/theseus-run/theseus/upgrade/internal/pidfile"
	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// heard handles what a worker says, but for snapshots.
func (s *Supervisor) heard(w *worker, m wire.Message) {
	_, hello := m.(wire.Hello)
	if !w.greeted && !hello {
		s.trouble(w, "the link to a worker", fmt.Errorf("%s came before hello", wire.Name(m)))
		w.conduit.close()
		return
	}
	switch m := m.(type) {
	case wire.Hello:
		s.meet(w, m)
	case wire.Served:
		s.served(w, m)
	case wire.Start:
		s.succeed(w, m)
	case wire.Verdict:
		s.verdict(m)
	case wire.Abort:
		s.trouble(w, "a worker", errors.New(m.Reason))
	}
}

// meet learns who a worker is.
func (s *Supervisor) meet(w *worker, m wire.Hello) {
	if _, err := wire.Negotiate(s.greeting(), m); err != nil {
		s.trouble(w, "the link to a worker", err)
		w.conduit.close()
		return
	}
	w.greeted, w.generation, w.release = true, m.Generation, m.Release
}

// keepSnapshot takes a complete snapshot over.
func (s *Supervisor) keepSnapshot(w *worker, snap *snapshot) {
	switch {
	case w == s.serving:
		s.useSnapshot(w, snap)
	case w.state == StateStarting && !w.over: // what it hands on counts once it serves
		w.snap.release()
		w.snap = snap
	default:
		snap.release()
	}
}

// useSnapshot makes snap, which is w's, what the next worker starts from.
func (s *Supervisor) useSnapshot(w *worker, snap *snapshot) {
	s.snap.release()
	s.snap, s.activated = snap, false
	if !w.kept {
		w.kept = true
		s.emit(Event{Kind: Kept, Worker: w.number, PID: w.pid, Took: time.Since(w.began), Detail: fmt.Sprintf("%d sockets, %d bytes of states", len(snap.sockets), snap.size())})
	}
	s.warn(s.storeFiles())
	_ = s.opt.point("snapshot") // a test's failure is a kill
}

// served makes w the service.
func (s *Supervisor) served(w *worker, m wire.Served) {
	w.generation, w.release = m.Generation, m.Release
	if w.state != StateStarting || w.over {
		return
	}
	w.state = StateServing
	w.takeover.close()
	w.takeover = nil
	old, first := s.serving, !s.everServed
	s.serving, s.everServed, s.generation = w, true, w.generation
	s.inherits.stop()
	s.restart.stop()
	s.restart = nil
	if w.snap != nil {
		s.useSnapshot(w, w.snap)
		w.snap = nil
	}
	s.nowRuns(w)
	if old != nil {
		old.state = StateDraining
		s.unwatch(old)
	}
	if old != nil || w.asker != nil {
		s.upgrades++
	}
	s.degraded = time.Time{}
	s.watch(w)
	s.emit(Event{Kind: Serving, Worker: w.number, PID: w.pid, Took: time.Since(w.began)})
	if old != nil {
		s.emit(Event{Kind: Draining, Worker: old.number, PID: old.pid})
	}
	if first && s.opt.PIDFile != "" {
		if err := pidfile.Write(s.opt.PIDFile, os.Getpid()); err != nil {
			s.trouble(nil, "the PID file was not written", err)
		}
	}
	s.asked = nil
	if s.stopping {
		_ = s.procs.signal(w.proc, s.stopBy) // it may have come too early
	} else {
		s.warn(s.notify.Ready())
	}
	s.crashed = false
	s.answerDone()
	if w.asker != nil {
		s.follow()
	}
	_ = s.opt.point("served")
}

// succeed starts a successor of w.
func (s *Supervisor) succeed(w *worker, m wire.Start) {
	err := s.startFor(w, m)
	if err == nil {
		return
	}
	if err := w.conduit.send(wire.Started{Reason: err.Error()}); err != nil {
		s.trouble(w, "a worker was not told that its successor cannot start", err)
	}
}

func (s *Supervisor) startFor(w *worker, m wire.Start) error {
	switch {
	case s.stopping:
		return ErrStopping
	case m.Path == "":
		return errors.New("no program is named")
	case w.over || w.dead:
		return nil // nobody is there to be told
	}
	path, err := executable.Find(m.Path)
	if err != nil {
		return err
	}
	args := m.Args
	if args == nil {
		args = s.opt.Args
	}
	ours, theirs, err := pair()
	if err != nil {
		return err
	}
	defer closeFD(ours)
	defer closeFD(theirs)
	next, err := s.launch(launch{program: program{path: path, args: args, pin: -1}, env: m.Env, control: theirs, asker: w})
	if err != nil {
		return err
	}
	s.asked = next
	s.warn(s.notify.Reloading())
	s.emit(Event{Kind: Upgrading, Worker: w.number, PID: w.pid, Detail: path})
	if err := w.conduit.send(wire.Started{PID: next.pid}, ours, next.fd); err != nil {
		s.trouble(w, "a worker was not told of its successor", err) // who sees the link end
	}
	_ = s.opt.point("started")
	return nil
}

package supervisor

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// linkEnded takes note that a worker says nothing any more.
func (s *Supervisor) linkEnded(w *worker, err error) {
	w.lost = true
	if !w.dead && !errors.Is(err, io.EOF) {
		s.trouble(w, "the link to a worker", err)
	}
	s.farewell(w)
}

// exited takes note that a process has ended.
func (s *Supervisor) exited(p *proc) {
	for _, w := range s.workers {
		if w.proc != p {
			continue
		}
		w.dead = true
		if !w.lost { // what it said last is still in the link; who else holds that does not count
			s.after(s.opt.pace.settle, func() { w.lost = true; s.farewell(w) })
		}
		s.farewell(w)
		return
	}
}

// farewell handles the end of a worker, once nothing more can come from it.
func (s *Supervisor) farewell(w *worker) {
	if w.over || !w.dead || !w.lost {
		return
	}
	w.over = true
	s.workers = slices.DeleteFunc(s.workers, func(o *worker) bool { return o == w })
	s.unwatch(w)
	s.emit(Event{Kind: Ended, Worker: w.number, PID: w.pid, Took: time.Since(w.began), Detail: statusText(w.status)})
	if a := w.asker; a != nil && !a.over {
		if err := a.conduit.send(wire.Exited{PID: w.pid, Status: statusText(w.status)}); err != nil && !errors.Is(err, wire.ErrGone) {
			s.trouble(a, "a worker was not told of the end of its successor", err)
		}
	}
	if s.asked == w {
		s.asked = nil
		s.warn(s.notify.Ready())
	}
	s.closeWorker(w)
	if w == s.serving || s.serving == nil && w.state == StateStarting {
		s.lastStatus = statusOf(w.status)
	}
	s.abandonRequests(w)
	if w == s.serving {
		s.serving = nil
		s.degraded = time.Time{}
		s.crashed = true
		if time.Since(w.began) >= s.opt.pace.steady {
			s.pause = s.opt.pace.first
		}
	}
	_ = s.opt.point("ended")
	s.recover(statusText(w.status))
}

// closeWorker frees what belongs to w, which is a process no longer, or never was.
func (s *Supervisor) closeWorker(w *worker) {
	s.unwatch(w)
	w.takeover.close()
	w.conduit.close()
	closeFD(w.beats)
	closeFD(w.fd)
	w.snap.release()
	w.beats, w.fd, w.snap = -1, -1, nil
}

// recover has a worker serve again, if none does and none is about to.
func (s *Supervisor) recover(why string) {
	if s.serving != nil || s.stopping || !s.everServed || s.failure != nil || s.restart != nil {
		return
	}
	for _, w := range s.workers {
		if w.state == StateStarting {
			s.expect(w)
			return
		}
	}
	if s.crashed {
		s.crashed = false
		s.restarts++
	}
	if s.pause >= s.opt.pace.most {
		s.takeTurns()
	}
	s.emit(Event{Kind: Waiting, Took: s.pause, Detail: why + "; connections wait"})
	s.restart = s.after(s.pause, func() {
		s.restart = nil
		if err := s.bring(); err != nil {
			s.recover(err.Error())
		}
	})
	s.pause = min(2*s.pause, s.opt.pace.most)
}

// expect gives a worker that inherits the service by itself its time.
func (s *Supervisor) expect(w *worker) {
	if w.takeover != nil {
		return // that has a deadline
	}
	s.inherits.stop()
	s.inherits = s.after(s.opt.ReadyTimeout, func() {
		s.kill(w, fmt.Sprintf("it was about to become the service, and did not within %s after its predecessor's end", s.opt.ReadyTimeout))
	})
}

// bring starts a worker from the last snapshot, if there is one.
func (s *Supervisor) bring() error {
	if s.snap == nil {
		_, err := s.launch(launch{program: s.program, control: -1})
		return err
	}
	ours, theirs, err := pair()
	if err != nil {
		return err
	}
	defer closeFD(theirs)
	c, err := newConduit(ours)
	if err != nil {
		return err
	}
	w, err := s.launch(launch{program: s.program, control: theirs})
	if err != nil {
		c.close()
		return err
	}
	s.handOn(w, c)
	_ = s.opt.point("restarted")
	return nil
}

package supervisor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Status returns what the supervisor does now. It may be called while Run runs, and
// is that of the end afterwards but for the workers.
func (s *Supervisor) Status() (st Status) {
	if !s.do(func() { st = s.status() }) {
		st = Status{PID: os.Getpid(), State: StateStopping}
	}
	return st
}

func (s *Supervisor) status() Status {
	st := Status{PID: os.Getpid(), State: s.state(), Workers: []WorkerStatus{}, Sockets: []string{},
		Restarts: s.restarts, Upgrades: s.upgrades, Replacements: s.replaced}
	for _, w := range s.workers {
		st.Workers = append(st.Workers, WorkerStatus{Worker: w.number, PID: w.pid, State: w.state, Generation: w.generation, Path: w.program.path, Started: w.began})
	}
	if s.snap != nil {
		st.Snapshot = s.snap.at
		for _, sock := range s.snap.sockets {
			st.Sockets = append(st.Sockets, sock.Name)
		}
	}
	return st
}

// state is that of the whole.
func (s *Supervisor) state() State {
	switch {
	case s.stopping:
		return StateStopping
	case s.serving == nil && s.everServed:
		return StateWaiting
	case s.serving == nil:
		return StateStarting
	case !s.degraded.IsZero():
		return StateDegraded
	case s.upgrading():
		return StateUpgrading
	}
	return StateServing
}

// emit logs an event and tells everybody who wants to know.
func (s *Supervisor) emit(e Event) {
	e.Time = time.Now()
	s.opt.Log.Log(context.Background(), e.level(), string(e.Kind), e.attrs()...)
	s.warn(s.notify.Status(s.summary()))
	if s.opt.OnEvent != nil {
		s.opt.OnEvent(e)
	}
}

// summary is one line about the workers.
func (s *Supervisor) summary() string {
	text := string(s.state())
	for _, w := range s.workers {
		text += fmt.Sprintf(", process %d %s (%s)", w.pid, w.state, filepath.Base(w.program.path))
	}
	return clean(text)
}

// clean replaces what a status must not have: names of files may have anything.
func clean(text string) string {
	out := []rune(text)
	for i, r := range out {
		if r < ' ' || r == 0x7f {
			out[i] = '?'
		}
	}
	return string(out[:min(len(out), 1000)])
}

// trouble reports an error that does not stop the service.
func (s *Supervisor) trouble(w *worker, what string, err error) {
	e := Event{Kind: Trouble, Detail: what + ": " + err.Error()}
	if w != nil {
		e.Worker, e.PID = w.number, w.pid
	}
	s.emit(e)
}

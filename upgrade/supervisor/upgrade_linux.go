package supervisor

import (
	"context"
	"errors"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// A request asks the worker that serves to upgrade.
type request struct {
	worker *worker
	path   string
	reply  chan error // has room for one; nil if it came by signal
	done   bool       // it has succeeded, but for the word of the new service
}

// Upgrade asks the worker that serves to upgrade to the program at path, empty for
// that of its own file, and returns when that is over: the service is another
// worker's then. Force allows a program that was rolled back before.
//
// The errors are [ErrNotServing], [ErrStopping], [ErrInProgress], or a
// [*RefusedError] that says why the worker serves on as before. An end of ctx ends
// the wait, and not the upgrade.
func (s *Supervisor) Upgrade(ctx context.Context, path string, force bool) error {
	reply := make(chan error, 1)
	if !s.post(func() {
		if err := s.ask(path, force, reply); err != nil {
			reply <- err
		}
	}) {
		return ErrStopping
	}
	select {
	case err := <-reply:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.over:
		return ErrStopping
	}
}

// upgradeBySignal does not wait for the verdict: the outcome is an event.
func (s *Supervisor) upgradeBySignal() {
	if err := s.ask("", false, nil); err != nil {
		s.trouble(nil, "upgrade: the signal had no effect", err)
	}
}

func (s *Supervisor) ask(path string, force bool, reply chan error) error {
	switch {
	case s.stopping:
		return ErrStopping
	case s.serving == nil:
		return ErrNotServing
	case len(s.requests) > 0 || s.asked != nil:
		return ErrInProgress
	}
	s.lastID++
	if err := s.serving.conduit.send(wire.Request{ID: s.lastID, Path: path, Force: force}); err != nil {
		return &RefusedError{Path: path, Err: err}
	}
	s.requests[s.lastID] = &request{worker: s.serving, path: path, reply: reply}
	return nil
}

// verdict ends a request.
func (s *Supervisor) verdict(m wire.Verdict) {
	r := s.requests[m.ID]
	if r == nil {
		return
	}
	if m.OK && r.worker == s.serving {
		r.done = true // who asks again must meet the new worker
		return
	}
	delete(s.requests, m.ID)
	var err error
	if !m.OK {
		err = &RefusedError{Path: r.path, Err: errors.New(m.Reason)}
	}
	s.answer(r, err)
}

// answerDone ends the requests that have succeeded.
func (s *Supervisor) answerDone() {
	for id, r := range s.requests {
		if r.done {
			delete(s.requests, id)
			s.answer(r, nil)
		}
	}
}

func (s *Supervisor) answer(r *request, err error) {
	if r.reply != nil {
		r.reply <- err
	} else if err != nil {
		s.trouble(r.worker, "upgrade", err)
	}
}

// abandonRequests ends the requests that w cannot answer any more.
func (s *Supervisor) abandonRequests(w *worker) {
	for id, r := range s.requests {
		if r.worker == w && !r.done {
			delete(s.requests, id)
			s.answer(r, &RefusedError{Path: r.path, Err: errors.New("the worker ended before its verdict")})
		}
	}
}

// upgrading reports whether a successor is being started.
func (s *Supervisor) upgrading() bool {
	for _, w := range s.workers {
		if w.state == StateStarting && w.asker != nil {
			return true
		}
	}
	return false
}

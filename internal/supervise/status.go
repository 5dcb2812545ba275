//go:build unix

package supervise

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Status returns what the supervisor does now.
func (s *Supervisor) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{
		PID: os.Getpid(), State: s.state(), Command: s.opt.Command, Sockets: []SocketStatus{}, Children: []ChildStatus{},
		Restarts: s.restarts, Replacements: s.replaced, Refused: slices.Sorted(maps.Keys(s.refused)), Last: s.last,
	}
	if st.Refused == nil {
		st.Refused = []string{}
	}
	for i, sock := range s.sockets {
		st.Sockets = append(st.Sockets, SocketStatus{FD: firstFD + i, Name: sock.name, Network: sock.network, Address: sock.address})
	}
	for _, n := range slices.Sorted(maps.Keys(s.children)) {
		c := s.children[n]
		st.Children = append(st.Children, ChildStatus{Child: n, PID: c.pid, State: c.state, Started: c.started, Fingerprint: c.prog.digest})
	}
	return st
}

// state is that of the whole; mu is held.
func (s *Supervisor) state() State {
	switch {
	case s.over:
		return StateStopping
	case s.active == nil && s.ready:
		return StateDegraded
	case s.active == nil:
		return StateStarting
	case s.replacing:
		return StateReplacing
	}
	return StateServing
}

// emit logs an event and tells everybody who wants to know.
func (s *Supervisor) emit(e Event) {
	e.Time = time.Now()
	s.events.Lock()
	defer s.events.Unlock()
	s.opt.Log.Log(context.Background(), e.level(), string(e.Kind), e.attrs()...)
	s.publish()
	if s.opt.OnEvent != nil {
		s.opt.OnEvent(e)
	}
}

// changed publishes a status that no event goes with.
func (s *Supervisor) changed() {
	s.events.Lock()
	defer s.events.Unlock()
	s.publish()
}

// publish writes the status for people and programs; events is held.
func (s *Supervisor) publish() {
	if err := s.writeStatus(); err != nil {
		s.opt.Log.Warn("the status file is not written", "error", err.Error())
	}
	s.systemd.status(s.summary())
}

// summary is one line about the children.
func (s *Supervisor) summary() string {
	st := s.Status()
	text := string(st.State)
	for _, c := range st.Children {
		text += fmt.Sprintf(", process %d %s", c.PID, c.State)
	}
	return text
}

// writeStatus replaces the status file by rename. It is not synced: it is of no
// use after a power failure.
func (s *Supervisor) writeStatus() error {
	if s.opt.StatusFile == "" {
		return nil
	}
	data, err := json.MarshalIndent(s.Status(), "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(s.opt.StatusFile), ".status-*")
	if err != nil {
		return fmt.Errorf("status file: %w", err)
	}
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = f.Chmod(0o644)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), s.opt.StatusFile)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("status file: %w", err)
	}
	return nil
}

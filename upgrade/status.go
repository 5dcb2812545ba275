package upgrade

import (
	"os"
	"slices"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// A Status is what a process tells of itself.
type Status struct {
	PID         int            `json:"pid"`
	Generation  int            `json:"generation"`
	Release     Release        `json:"release"`
	State       State          `json:"state"`
	Since       time.Time      `json:"since"`       // when it entered the state
	Connections map[string]int `json:"connections"` // open ones: "idle", "active", "http2" or "hijacked"
	Inflight    int64          `json:"inflight"`    // requests in handlers

	// Draining are the predecessors that still finish what they have, the oldest
	// first. They tell twice a second.
	Draining []Process `json:"draining,omitempty"`

	// Rejected are the programs that were rolled back: SHA-256 and why.
	Rejected map[string]string `json:"rejected,omitempty"`
}

// A Process is an old one that drains.
type Process struct {
	PID         int            `json:"pid"`
	Generation  int            `json:"generation"`
	Release     Release        `json:"release"`
	Since       time.Time      `json:"since"`    // when it began to drain
	Deadline    time.Time      `json:"deadline"` // when it cancels what is left
	Connections map[string]int `json:"connections"`
	Inflight    int64          `json:"inflight"`
}

// Status returns the state of the process.
func (u *Upgrader) Status() Status {
	s := Status{PID: os.Getpid(), Generation: u.generation, Release: Release(u.release()),
		Connections: u.countConns(), Inflight: u.inflight.Load(), Rejected: map[string]string{}}
	s.Release.Digest = u.ownDigest()
	u.mu.Lock()
	defer u.mu.Unlock()
	s.State, s.Since = u.state, u.since
	for _, p := range u.drains {
		s.Draining = append(s.Draining, process(p))
	}
	for digest, why := range u.rejected {
		s.Rejected[digest] = why
	}
	return s
}

func process(p wire.Process) Process {
	return Process{PID: p.PID, Generation: p.Generation, Release: Release(p.Release), Since: p.Since, Deadline: p.Deadline, Connections: p.Connections, Inflight: p.Inflight}
}

// draining is the list for a successor: the older processes, and this one.
func (u *Upgrader) draining(deadline time.Time) []wire.Process {
	connections := u.countConns()
	u.mu.Lock()
	defer u.mu.Unlock()
	return append(slices.Clone(u.drains), wire.Process{PID: os.Getpid(), Generation: u.generation,
		Release: u.release(), Since: u.since, Deadline: deadline,
		Connections: connections, Inflight: u.inflight.Load()})
}

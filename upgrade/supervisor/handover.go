package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// What one program leaves to the next in the same process, or to one on trial: JSON
// in memory whose descriptor travels with those that it names. The decoder takes
// nothing on trust: the program that wrote it may be any.

// The format of the state.
const (
	savedFormat  = "theseus supervisor"
	savedVersion = 1        // what is written
	savedOldest  = 1        // what is still read
	savedLimit   = 16 << 20 // bytes
)

// errSaved is wrapped by errors about a state that makes no sense.
var errSaved = errors.New("the state of the old supervisor cannot be used")

// A saved is a supervisor at rest.
type saved struct {
	Format  string `json:"format"`
	Version int    `json:"version"`

	PID    int   `json:"pid"`
	Frozen int64 `json:"frozen_ns"` // CLOCK_MONOTONIC

	Image   handle        `json:"image"`         // the executable that wrote this
	Pin     *handle       `json:"pin,omitempty"` // what a crash starts again
	Path    string        `json:"path"`
	Args    []string      `json:"args"`
	Earlier *savedProgram `json:"earlier,omitempty"`
	Workers []savedWorker `json:"workers"`
	Serving int           `json:"serving"` // number of a worker
	Started int           `json:"started"` // workers, ever

	Snapshot  *savedSnapshot `json:"snapshot,omitempty"`
	Activated bool           `json:"activated,omitempty"`

	Generation int               `json:"generation"`
	Restarts   int               `json:"restarts"`
	Upgrades   int               `json:"upgrades"`
	Replaced   int               `json:"replaced"`
	LastStatus int               `json:"last_status"`
	LastID     uint64            `json:"last_id"`
	Pause      int64             `json:"pause_ns"`
	Degraded   *int64            `json:"degraded_ns,omitempty"` // for how long; null if the worker is well
	Stored     map[string]uint64 `json:"stored,omitempty"`
}

// A handle is a descriptor and what it must be.
type handle struct {
	FD     int    `json:"fd"`
	Device uint64 `json:"dev"`
	Inode  uint64 `json:"ino"`
}

// A savedProgram is what was the service before the last upgrade.
type savedProgram struct {
	Pin  handle   `json:"pin"`
	Path string   `json:"path"`
	Args []string `json:"args"`
}

type savedWorker struct {
	Number     int          `json:"number"`
	PID        int          `json:"pid"`
	State      State        `json:"state"`
	Age        int64        `json:"age_ns"`
	Path       string       `json:"path"`
	Args       []string     `json:"args"`
	Link       *handle      `json:"link,omitempty"` // null: it has ended
	Beats      handle       `json:"beats"`
	Greeted    bool         `json:"greeted"`
	Kept       bool         `json:"kept"`
	Generation int          `json:"generation"`
	Release    wire.Release `json:"release"`
}

type savedSnapshot struct {
	Age     int64         `json:"age_ns"`
	Sockets []savedSocket `json:"sockets"`
	States  []heldState   `json:"states"`
	Blob    *handle       `json:"blob,omitempty"` // the bytes of the states
}

type savedSocket struct {
	wire.Socket
	handle
	Listening bool `json:"listening"`
}

// A heldState is one state of a snapshot.
type heldState struct {
	Name    string `json:"name"`
	Version int    `json:"version"`
	Offset  int64  `json:"offset"` // in the blob
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256"`
}

// handles lists every descriptor that travels with the state.
func (v *saved) handles() []handle {
	all := []handle{v.Image}
	add := func(h *handle) {
		if h != nil {
			all = append(all, *h)
		}
	}
	add(v.Pin)
	if v.Earlier != nil {
		all = append(all, v.Earlier.Pin)
	}
	for _, w := range v.Workers {
		add(w.Link)
		all = append(all, w.Beats)
	}
	if v.Snapshot != nil {
		add(v.Snapshot.Blob)
		for _, s := range v.Snapshot.Sockets {
			all = append(all, s.handle)
		}
	}
	return all
}

func (v *saved) encode() ([]byte, error) {
	v.Format, v.Version = savedFormat, savedVersion
	text, err := json.Marshal(v)
	if err == nil && len(text) > savedLimit {
		err = fmt.Errorf("the state of the supervisor has %d MiB", len(text)>>20)
	}
	return text, err
}

// decode reads a state and checks that it makes sense in itself. What it names may
// still not exist.
func decode(text []byte) (*saved, error) {
	var head struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if len(text) > savedLimit {
		return nil, fmt.Errorf("%w: it is larger than %d MiB", errSaved, savedLimit>>20)
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("%w: %w", errSaved, err)
	}
	if head.Format != savedFormat {
		return nil, fmt.Errorf("%w: it is none", errSaved)
	}
	if head.Version < savedOldest || head.Version > savedVersion {
		return nil, fmt.Errorf("%w: it has version %d, and this program reads %d to %d", errSaved, head.Version, savedOldest, savedVersion)
	}
	v := &saved{}
	if err := json.Unmarshal(text, v); err != nil {
		return nil, fmt.Errorf("%w: %w", errSaved, err)
	}
	if err := v.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", errSaved, err)
	}
	return v, nil
}

func (v *saved) check() error {
	seen := map[int]bool{}
	for _, h := range v.handles() {
		if h.FD < 3 || h.FD > math.MaxInt32 || seen[h.FD] {
			return fmt.Errorf("descriptor %d is standard, or comes twice", h.FD)
		}
		seen[h.FD] = true
	}
	if v.PID < 1 || v.Path == "" || v.Pause < 0 || v.Earlier != nil && v.Earlier.Path == "" {
		return errors.New("process, program or pause is missing")
	}
	if err := v.checkWorkers(); err != nil {
		return err
	}
	return v.Snapshot.check()
}

func (v *saved) checkWorkers() error {
	serving := 0
	numbers, pids := map[int]bool{}, map[int]bool{}
	for _, w := range v.Workers {
		if w.Number < 1 || w.Number > v.Started || numbers[w.Number] || w.PID < 2 || pids[w.PID] || w.Path == "" {
			return fmt.Errorf("worker %d, process %d, cannot be", w.Number, w.PID)
		}
		numbers[w.Number], pids[w.PID] = true, true
		switch {
		case w.State == StateServing && w.Number == v.Serving:
			serving++
		case w.State != StateDraining:
			return fmt.Errorf("worker %d is %q", w.Number, w.State)
		}
	}
	if serving != 1 {
		return errors.New("no worker serves")
	}
	return nil
}

func (s *savedSnapshot) check() error {
	if s == nil {
		return nil
	}
	if len(s.Sockets) > socketLimit || len(s.States) > statesLimit || s.Blob == nil && len(s.States) > 0 {
		return errors.New("the snapshot is not whole")
	}
	names := map[string]bool{}
	end := int64(0)
	for _, st := range s.States {
		if names[st.Name] || st.Offset != end || st.Size < 0 || st.Size > stateLimit-end {
			return fmt.Errorf("state %q of the snapshot cannot be", st.Name)
		}
		names[st.Name] = true
		end += st.Size
	}
	return nil
}

// What a snapshot may hold.
const (
	stateLimit  = 512 << 20 // bytes of all states
	socketLimit = 1024
	statesLimit = 4096
)

package supervisor

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// A snapshot is what a worker would hand to a successor: copies of its sockets,
// and its states in memory. It does not change once it is complete.
type snapshot struct {
	sockets []heldSocket
	states  []heldState
	blob    int // the bytes of all states; -1 if there are none
	at      time.Time

	holders atomic.Int32
}

type heldSocket struct {
	wire.Socket
	fd int
}

// newSnapshot makes an empty one, which the caller holds.
func newSnapshot() *snapshot {
	s := &snapshot{blob: -1}
	s.holders.Store(1)
	return s
}

// hold keeps the descriptors open until another release.
func (s *snapshot) hold() *snapshot {
	s.holders.Add(1)
	return s
}

// release closes the descriptors when nobody holds the snapshot; nil is allowed.
func (s *snapshot) release() {
	if s == nil || s.holders.Add(-1) > 0 {
		return
	}
	for _, sock := range s.sockets {
		closeFD(sock.fd)
	}
	closeFD(s.blob)
}

// size is that of the blob.
func (s *snapshot) size() int64 {
	if len(s.states) == 0 {
		return 0
	}
	last := s.states[len(s.states)-1]
	return last.Offset + last.Size
}

// An assembly puts a snapshot together from messages.
type assembly struct {
	snap    *snapshot // nil between two
	open    bool      // the last state is not finished
	sum     hash.Hash
	spoiled bool // what comes up to the next Prepared is dropped
}

// whole reports whether nothing has begun that has not ended.
func (a *assembly) whole() bool { return a.snap == nil && !a.spoiled }

// add takes a message, and files, which it owns from here on. It returns the
// snapshot, which is the caller's then, when it is complete. After an error the
// rest of this snapshot is dropped.
func (a *assembly) add(m wire.Message, files []*os.File) (*snapshot, error) {
	if _, last := m.(wire.Prepared); last {
		closeFiles(files)
		return a.complete()
	}
	if a.spoiled {
		closeFiles(files)
		return nil, nil
	}
	if a.snap == nil {
		a.snap = newSnapshot()
	}
	err := a.take(m, files)
	if err != nil {
		a.drop()
		a.spoiled = true
	}
	return nil, err
}

func (a *assembly) take(m wire.Message, files []*os.File) error {
	switch m := m.(type) {
	case wire.Sockets:
		return a.sockets(m.Sockets, files)
	case wire.State:
		return a.begin(m)
	case wire.StateData:
		return a.data(m.Data)
	case wire.StateEnd:
		return a.end(m)
	}
	closeFiles(files)
	return fmt.Errorf("%s is no part of a snapshot", wire.Name(m))
}

func (a *assembly) sockets(names []wire.Socket, files []*os.File) error {
	defer closeFiles(files) // twice does no harm
	if len(a.snap.sockets)+len(names) > socketLimit {
		return fmt.Errorf("a snapshot of more than %d sockets", socketLimit)
	}
	for i, name := range names {
		fd, err := keep(files[i])
		if err != nil {
			return err
		}
		a.snap.sockets = append(a.snap.sockets, heldSocket{name, fd})
	}
	return nil
}

func (a *assembly) begin(m wire.State) error {
	if a.open {
		return fmt.Errorf("state %q begins in another", m.Name)
	}
	if len(a.snap.states) >= statesLimit {
		return fmt.Errorf("a snapshot of more than %d states", statesLimit)
	}
	if slices.ContainsFunc(a.snap.states, func(s heldState) bool { return s.Name == m.Name }) {
		return fmt.Errorf("state %q came twice", m.Name)
	}
	if a.snap.blob < 0 {
		var err error
		if a.snap.blob, err = newMemory("theseus snapshot"); err != nil {
			return err
		}
	}
	a.snap.states = append(a.snap.states, heldState{Name: m.Name, Version: m.Version, Offset: a.snap.size()})
	a.open, a.sum = true, sha256.New()
	return nil
}

func (a *assembly) data(p []byte) error {
	if !a.open {
		return errors.New("a piece of no state")
	}
	if a.snap.size()+int64(len(p)) > stateLimit {
		return fmt.Errorf("the states of a snapshot have more than %d MiB", stateLimit>>20)
	}
	a.sum.Write(p)
	a.snap.states[len(a.snap.states)-1].Size += int64(len(p))
	return writeAll(a.snap.blob, p)
}

func (a *assembly) end(m wire.StateEnd) error {
	if !a.open {
		return fmt.Errorf("state %q ends, which did not begin", m.Name)
	}
	last := &a.snap.states[len(a.snap.states)-1]
	last.SHA256 = hex.EncodeToString(a.sum.Sum(nil))
	if last.Name != m.Name || last.Size != m.Size || last.SHA256 != m.SHA256 {
		return fmt.Errorf("state %q does not match its end", last.Name)
	}
	a.open = false
	return nil
}

func (a *assembly) complete() (*snapshot, error) {
	if a.spoiled {
		a.spoiled = false
		return nil, nil
	}
	if a.open {
		a.drop()
		return nil, errors.New("the snapshot ends within a state")
	}
	done := a.snap
	if done == nil {
		done = newSnapshot()
	}
	a.snap = nil
	if done.blob >= 0 {
		if err := seal(done.blob); err != nil {
			done.release()
			return nil, err
		}
	}
	done.at = time.Now()
	return done, nil
}

// drop forgets what was not completed.
func (a *assembly) drop() {
	a.snap.release()
	a.snap, a.open = nil, false
}

// send plays the old side's part of the handshake in which it hands on what it has.
func (s *snapshot) send(link *wire.Link) error {
	for chunk := range slices.Chunk(s.sockets, wire.MaxFiles) {
		var m wire.Sockets
		var fds []int
		for _, sock := range chunk {
			m.Sockets, fds = append(m.Sockets, sock.Socket), append(fds, sock.fd)
		}
		if err := link.Send(m, fds...); err != nil {
			return err
		}
	}
	for _, state := range s.states {
		if err := s.sendState(link, state); err != nil {
			return err
		}
	}
	return link.Send(wire.Prepared{})
}

func (s *snapshot) sendState(link *wire.Link, state heldState) error {
	if err := link.Send(wire.State{Name: state.Name, Version: state.Version, Size: state.Size}); err != nil {
		return err
	}
	buf := make([]byte, wire.MaxStateData)
	for sent := int64(0); sent < state.Size; {
		piece := buf[:min(int64(len(buf)), state.Size-sent)]
		if err := readAt(s.blob, piece, state.Offset+sent); err != nil {
			return err
		}
		if err := link.Send(wire.StateData{Data: piece}); err != nil {
			return err
		}
		sent += int64(len(piece))
	}
	return link.Send(wire.StateEnd{Name: state.Name, SHA256: state.SHA256, Size: state.Size})
}

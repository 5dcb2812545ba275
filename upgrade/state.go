package upgrade

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// A Blob is a state that the predecessor handed over.
type Blob struct {
	Version int // of its format, as the one who wrote it says
	Data    []byte
}

// A stateSource writes a state for a successor.
type stateSource struct {
	name    string
	version int
	write   func(context.Context, io.Writer) error
}

// ProvideState registers what writes the state of that name for a successor, which
// reads it with [Upgrader.ReceivedState] while it starts. Version is that of the format:
// the successor may be newer or older than this process. The function is called
// at each upgrade while this process goes on serving, so it must write a
// consistent copy; below a supervisor it is called at each snapshot too, and calls
// may overlap. What must be exact at the moment of the switch belongs to a
// [Singleton].
func (u *Upgrader) ProvideState(name string, version int, write func(context.Context, io.Writer) error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, s := range u.states {
		if s.name == name {
			u.states[i] = stateSource{name, version, write}
			return
		}
	}
	u.states = append(u.states, stateSource{name, version, write})
}

// ReceivedState returns the state of that name that the predecessor handed over.
func (u *Upgrader) ReceivedState(name string) (Blob, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	b, ok := u.received[name]
	return b, ok
}

// sendStates streams all states.
func (u *Upgrader) sendStates(ctx context.Context, link *wire.Link) error {
	u.mu.Lock()
	sources := append([]stateSource(nil), u.states...)
	u.mu.Unlock()
	left := u.opt.StateLimit
	for _, s := range sources {
		if err := link.Send(wire.State{Name: s.name, Version: s.version, Size: -1}); err != nil {
			return err
		}
		w := &blobWriter{ctx: ctx, left: &left, sum: sha256.New(), emit: func(p []byte) error { return link.Send(wire.StateData{Data: p}) }}
		if err := w.run(s.write); err != nil {
			return fmt.Errorf("state %q: %w", s.name, err)
		}
		if err := link.Send(wire.StateEnd{Name: s.name, SHA256: hex.EncodeToString(w.sum.Sum(nil)), Size: w.size}); err != nil {
			return err
		}
	}
	return nil
}

// hasStates reports whether there are states to send.
func (u *Upgrader) hasStates() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.states) > 0
}

// ErrStateTooLarge is why states that exceed Options.StateLimit are refused.
var ErrStateTooLarge = errors.New("the states are larger than the limit")

// A blobWriter passes on what is written, in pieces.
type blobWriter struct {
	ctx  context.Context
	emit func([]byte) error
	left *int64 // of the limit of all states
	sum  hash.Hash
	size int64
	buf  []byte
}

// run calls write, and returns without it when that does not return in time: from
// then on it can write nothing more.
func (w *blobWriter) run(write func(context.Context, io.Writer) error) error {
	done := make(chan error, 1)
	go func() {
		err := write(w.ctx, w)
		if err == nil {
			err = w.flush()
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-w.ctx.Done():
		return context.Cause(w.ctx)
	}
}

func (w *blobWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	if int64(len(p)) > *w.left {
		return 0, ErrStateTooLarge
	}
	*w.left -= int64(len(p))
	w.size += int64(len(p))
	w.sum.Write(p)
	w.buf = append(w.buf, p...)
	for len(w.buf) >= wire.MaxStateData {
		if err := w.send(wire.MaxStateData); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (w *blobWriter) send(n int) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	err := w.emit(w.buf[:n])
	w.buf = append(w.buf[:0], w.buf[n:]...)
	return err
}

func (w *blobWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	return w.send(len(w.buf))
}

// A blobReader puts states together.
type blobReader struct {
	limit int64
	into  map[string]Blob
	open  *wire.State
	buf   bytes.Buffer
}

func (r *blobReader) add(m wire.Message) error {
	switch m := m.(type) {
	case wire.State:
		if r.open != nil {
			return fmt.Errorf("state %q begins in state %q", m.Name, r.open.Name)
		}
		if _, again := r.into[m.Name]; again {
			return fmt.Errorf("state %q came twice", m.Name)
		}
		r.open = &m
	case wire.StateData:
		if r.open == nil {
			return errors.New("a piece of no state")
		}
		if r.limit -= int64(len(m.Data)); r.limit < 0 {
			return ErrStateTooLarge
		}
		r.buf.Write(m.Data)
	case wire.StateEnd:
		return r.end(m)
	}
	return nil
}

func (r *blobReader) end(m wire.StateEnd) error {
	if r.open == nil || r.open.Name != m.Name {
		return fmt.Errorf("state %q ends, which did not begin", m.Name)
	}
	sum := sha256.Sum256(r.buf.Bytes())
	if hex.EncodeToString(sum[:]) != m.SHA256 || int64(r.buf.Len()) != m.Size {
		return fmt.Errorf("state %q does not match its checksum", m.Name)
	}
	r.into[m.Name] = Blob{Version: r.open.Version, Data: bytes.Clone(r.buf.Bytes())}
	r.open = nil
	r.buf.Reset()
	return nil
}

// complete reports whether no state is unfinished.
func (r *blobReader) complete() error {
	if r.open != nil {
		return fmt.Errorf("state %q is unfinished", r.open.Name)
	}
	return nil
}

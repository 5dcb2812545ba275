package upgrade

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// snapshotRetry is how long to wait after a snapshot that failed.
const snapshotRetry = 10 * time.Second

// socketsChanged notes that the set of sockets is another one.
func (u *Upgrader) socketsChanged() {
	select {
	case u.setChanged <- struct{}{}:
	default:
	}
}

// follow tells the supervisor that this process is the service, and gives it
// snapshots until it is not any more.
func (s *supervisor) follow() {
	u := s.u
	release := u.release()
	release.Digest = u.ownDigest()
	if s.link.Send(wire.Served{Generation: u.generation, Release: release}) != nil {
		return
	}
	for u.running.Load() == nil {
		wait := u.opt.SnapshotInterval
		if u.State() == Serving {
			if err := s.snapshot(); err != nil {
				u.opt.Log.Warn("upgrade: no snapshot: the supervisor keeps the one before", "error", err)
				wait = snapshotRetry
			}
		}
		var due <-chan time.Time
		if wait > 0 {
			due = time.After(wait)
		}
		select {
		case <-due:
		case <-u.setChanged:
		case <-s.ended:
			return
		case <-u.over:
			return
		}
	}
}

// snapshot sends the sockets and the states, as the prepare step of an upgrade does. All of it
// is gathered before the first byte is sent, so that what is sent is complete.
func (s *supervisor) snapshot() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), s.u.opt.ReadyTimeout, fmt.Errorf("not written within %s", s.u.opt.ReadyTimeout))
	defer cancel()
	states, err := s.u.copyStates(ctx)
	if err != nil {
		return err
	}
	names, files := s.u.copySockets()
	defer closeAll(files)
	for chunk := range slices.Chunk(names, wire.MaxFiles) {
		fds := make([]int, len(chunk))
		for i := range chunk {
			if fds[i], err = number(files[i]); err != nil {
				return err
			}
		}
		if err := s.link.Send(wire.Sockets{Sockets: chunk}, fds...); err != nil {
			return err
		}
		files = files[len(chunk):]
	}
	for _, c := range states {
		if err := c.send(s.link); err != nil {
			return err
		}
	}
	return s.link.Send(wire.Prepared{})
}

// A stateCopy is a state in memory.
type stateCopy struct {
	name    string
	version int
	data    []byte
}

// copyStates gathers all states.
func (u *Upgrader) copyStates(ctx context.Context) (all []stateCopy, err error) {
	u.mu.Lock()
	sources := slices.Clone(u.states)
	u.mu.Unlock()
	left := u.opt.StateLimit
	for _, s := range sources {
		c := stateCopy{name: s.name, version: s.version}
		w := &blobWriter{ctx: ctx, left: &left, sum: sha256.New(), emit: func(p []byte) error {
			c.data = append(c.data, p...)
			return nil
		}}
		if err := w.run(s.write); err != nil {
			return nil, fmt.Errorf("state %q: %w", s.name, err)
		}
		all = append(all, c)
	}
	return all, nil
}

func (c stateCopy) send(link *wire.Link) error {
	if err := link.Send(wire.State{Name: c.name, Version: c.version, Size: int64(len(c.data))}); err != nil {
		return err
	}
	for piece := range slices.Chunk(c.data, wire.MaxStateData) {
		if err := link.Send(wire.StateData{Data: piece}); err != nil {
			return err
		}
	}
	sum := sha256.Sum256(c.data)
	return link.Send(wire.StateEnd{Name: c.name, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(c.data))})
}

// copySockets duplicates what a successor would get. What was closed in this moment
// is left out.
func (u *Upgrader) copySockets() (names []wire.Socket, files []*os.File) {
	offered, sources := u.offered()
	for i, s := range sources {
		raw, err := s.SyscallConn()
		if err != nil {
			continue
		}
		if f, err := duplicate(raw, offered[i].Name); err == nil {
			names, files = append(names, offered[i]), append(files, f)
		}
	}
	return names, files
}

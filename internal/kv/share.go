package kv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/theseus-run/theseus/internal/disk"
)

// Share says whether another process may have the store too, as while one replaces
// another. Then each call, those that only read included, takes a lock that all
// processes share (a file's, so that the end of a process frees it), catches up
// with what the others have written, and does its own: to all it is one store, in
// one order. That costs some microseconds a call in place of some nanoseconds.
//
// Share(false) waits until no other process is in the middle of a call, and keeps
// the lock from then on: calls of the others fail with ErrLocked once they have
// waited for Options.LockWait. The errors are ErrLocked, ErrClosed and those of the
// disk; after one everything is as it was. A store in memory only has nothing to
// share: the error wraps errors.ErrUnsupported.
func (s *Store) Share(on bool) error {
	l := s.log
	if l == nil {
		return fmt.Errorf("share kv: it is in memory only: %w", errors.ErrUnsupported)
	}
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	s.w.Lock()
	defer s.w.Unlock()
	if err := s.enter(); err != nil {
		return err
	}
	if on == l.shared.Load() {
		s.leave()
		return nil
	}
	if !on {
		l.sign()
		l.shared.Store(false)
		return nil
	}
	if l.broken != nil {
		if err := s.rewrite(l, false); err != nil {
			return fmt.Errorf("%w: %w", ErrNotSaved, err)
		}
	}
	_ = l.lock.Truncate(0) // only the name of its holder
	l.shared.Store(true)
	if err := l.lock.Unlock(); err != nil {
		l.shared.Store(false)
		l.sign()
		return err
	}
	return nil
}

// Shared reports whether another process may have the store.
func (s *Store) Shared() bool { return s.log != nil && s.log.shared.Load() }

// sign writes the id of this process into the lock, for people and for Open.
func (l *journal) sign() {
	_ = l.lock.Truncate(0)
	_, _ = l.lock.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
}

const (
	// signedWait is how long Open waits for a lock that somebody seems to keep.
	signedWait = 200 * time.Millisecond
	// stuckWait is how long a call waits after one that waited in vain.
	stuckWait = 10 * time.Millisecond
)

// acquire waits for the lock. Whoever wants to keep it does not wait long for
// somebody who keeps it too; and when one call has waited in vain, those that
// queued behind it do not wait as long once more.
func (l *journal) acquire(wait time.Duration, keep bool) (err error) {
	ok, err := l.lock.TryLock()
	if ok || err != nil {
		l.stuck = l.stuck && !ok
		return err
	}
	if l.stuck {
		wait = min(wait, stuckWait)
	}
	defer func() { l.stuck = errors.Is(err, ErrLocked) }()
	pid := 0
	if keep {
		if pid = disk.Holder(l.fsys, l.name("lock")); pid != 0 {
			wait = min(wait, signedWait)
		}
	}
	end := time.Now().Add(wait)
	for pause := 20 * time.Microsecond; ; pause = min(2*pause, time.Millisecond) {
		time.Sleep(pause)
		if ok, err = l.lock.TryLock(); ok || err != nil {
			return err
		}
		if time.Now().After(end) {
			return &LockedError{Dir: l.dir, PID: disk.Holder(l.fsys, l.name("lock"))}
		}
	}
}

// enter takes the lock, if it is not kept, and catches up. s.w is held.
func (s *Store) enter() error {
	l := s.log
	switch {
	case l.closed:
		return ErrClosed
	case l.shared.Load():
		if err := l.acquire(s.opt.LockWait, false); err != nil {
			return err
		}
		if err := s.catchUp(); err != nil {
			_ = l.lock.Unlock()
			return err
		}
	case l.doubt: // what is behind the end was refused
		if err := l.file.Truncate(l.end); err != nil {
			return fmt.Errorf("%w: %w", ErrNotSaved, err)
		}
		l.doubt = false
	}
	return nil
}

// leave gives back what enter took.
func (s *Store) leave() {
	if s.log.shared.Load() {
		_ = s.log.lock.Unlock()
	}
}

// fresh catches up with other processes.
func (s *Store) fresh() error {
	if s.log == nil || !s.log.shared.Load() {
		return nil
	}
	s.w.Lock()
	defer s.w.Unlock()
	if err := s.enter(); err != nil {
		return err
	}
	s.leave()
	return nil
}

// catchUp applies what others have appended, and cuts what one of them did not
// finish: nobody writes while we have the lock. s.w and the lock are held.
func (s *Store) catchUp() error {
	l := s.log
	info, err := l.fsys.Lstat(l.name("data.log"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.recovery.Missing = true
		return s.rewrite(l, false)
	case err != nil:
		return err
	case !disk.SameFile(info, l.info):
		f, err := l.fsys.OpenFile(l.name("data.log"), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		return s.load(l, f)
	case info.Size() == l.end:
		l.doubt = false
		return nil
	case info.Size() < l.end:
		l.recovery.Damaged = append(l.recovery.Damaged, Damage{Offset: info.Size(), Bytes: l.end - info.Size()})
		return s.rewrite(l, true)
	}
	found, err := s.replay(l, info.Size())
	if err != nil {
		return err
	}
	if found.torn > 0 && len(found.damaged) == 0 {
		if err := l.file.Truncate(l.end); err != nil {
			return err
		}
		l.recovery.Cut += found.torn
		found.torn = 0
	}
	l.doubt = false
	return s.settleLog(l, found, false)
}

package kv

import (
	"fmt"
	"time"

	"github.com/theseus-run/theseus/internal/disk"
)

const (
	// A log is replaced when it is longer than minLog and grow times the length
	// of what it would then have; one that is shared, where all wait for it, later.
	minLog       = 1 << 20
	grow         = 2
	minLogShared = 64 << 20
	growShared   = 4

	// perKey is about what a key takes in the log beside itself and its value.
	perKey = 16
)

// begin begins a change: it waits for its turn, here and among processes, and
// catches up with the others. After an error there is nothing to end.
func (s *Store) begin() error {
	s.w.Lock()
	if s.log == nil {
		return nil
	}
	return s.beginLog()
}

func (s *Store) beginLog() (err error) {
	begun := false
	defer func() {
		if !begun {
			s.w.Unlock()
		}
	}()
	if err := s.enter(); err != nil {
		return err
	}
	if err := s.log.broken; err != nil {
		s.leave()
		return fmt.Errorf("%w: %w", ErrNotSaved, err)
	}
	begun = true
	return nil
}

// end ends what begin began. If a key was found to be gone for lack of time, the log
// learns the time.
func (s *Store) end() {
	defer s.w.Unlock()
	if l := s.log; l != nil {
		if l.seen > l.stamped && l.broken == nil {
			_ = s.append(nil)
		}
		s.leave()
	}
}

// witness notes in the log that a key's time has passed, so that it stays gone.
func (s *Store) witness(expires time.Duration) {
	s.w.Lock()
	l := s.log
	if l.closed || expires <= l.stamped {
		s.w.Unlock()
		return
	}
	s.w.Unlock()
	if s.begin() != nil {
		return
	}
	l.seen = max(l.seen, expires)
	s.end()
}

// append adds a frame to the log, which survives the end of the process when it
// returns. After an error the frame is not there, as far as the disk allows. s.w
// is held, and the lock of the file.
func (s *Store) append(changes []change) error {
	l := s.log
	now := s.now()
	l.frame = startFrame(l.frame, wall(l.epoch, max(1, now)))
	for i := range changes {
		l.frame = appendChange(l.frame, changes[i], l.epoch)
	}
	if len(l.frame) > maxFrame {
		return invalid("the batch takes %d bytes in the log; at most %d are possible", len(l.frame), maxFrame)
	}
	sum := l.scratch.seal(l.frame, l.head.id, l.end, l.sum)
	if _, err := l.file.WriteAt(l.frame, l.end); err != nil {
		// The next one looks at what is there, if this does not help. That it was
		// taken back needs a sync too.
		l.doubt = l.file.Truncate(l.end) != nil
		l.changes++
		l.nudge()
		return fmt.Errorf("%w: %w", ErrNotSaved, err)
	}
	l.end, l.sum = l.end+int64(len(l.frame)), sum
	if cap(l.frame) > 1<<20 {
		l.frame = nil
	}
	l.stamped = max(l.stamped, now)
	if l.changes++; l.changes == l.synced+1 || l.end >= l.compactAt(s) {
		l.nudge()
	}
	return nil
}

// nudge wakes the keeper.
func (l *journal) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// compactAt returns the length from which the log is replaced. s.w is held.
func (l *journal) compactAt(s *Store) int64 {
	least, times := int64(minLog), int64(grow)
	if l.shared.Load() {
		least, times = minLogShared, growShared
	}
	return max(least, times*(s.bytes+perKey*int64(s.keys)), l.compact)
}

// Sync returns when every change that was made before would survive a loss of power.
// After an error it is not known which do; the store tries to save everything in a
// new file, and refuses changes with ErrNotSaved until it has. Data in memory only
// are always synced.
func (s *Store) Sync() error {
	l := s.log
	if l == nil {
		return nil
	}
	s.w.Lock()
	want, closed := l.changes, l.closed
	s.w.Unlock()
	if closed {
		return ErrClosed
	}
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	if err := s.takeBack(); err != nil {
		return err
	}
	s.w.Lock()
	if l.broken != nil {
		s.w.Unlock()
		return s.repair()
	}
	if l.synced >= want && l.named.Load() { // another caller waited for the same
		s.w.Unlock()
		return nil
	}
	for {
		file, end, done := l.file, l.end, l.changes
		s.w.Unlock()
		err := file.Sync()
		if err == nil && (l.shared.Load() || !l.named.Load()) {
			err = l.syncNames() // another process may have made the file
		}
		if err == nil && l.shared.Load() && l.distrusted() {
			err = errSuspect
		}
		s.w.Lock()
		if l.file != file { // catching up has changed it meanwhile: this says nothing
			continue
		}
		if err != nil {
			s.w.Unlock()
			s.giveUp(err)
			return s.repair()
		}
		l.synced = max(l.synced, done)
		s.w.Unlock()
		s.note(file, end)
		return nil
	}
}

// takeBack removes what is in the log of a change that was refused, before it is made
// durable.
func (s *Store) takeBack() error {
	s.w.Lock()
	defer s.w.Unlock()
	if s.log.closed {
		return ErrClosed
	}
	if !s.log.doubt {
		return nil
	}
	if err := s.enter(); err != nil {
		return err
	}
	s.leave()
	return nil
}

// note writes into the log that it was synced up to end. That tells damage from what a
// loss of power has torn.
func (s *Store) note(file disk.File, end int64) {
	l := s.log
	if s.begin() != nil {
		return
	}
	defer s.end()
	if l.file == file {
		before := l.changes
		one := [1]change{{op: opSynced, number: uint64(end)}}
		_ = s.append(one[:])
		l.changes = before // nothing that needs a sync
	}
}

// repair replaces a log that the disk may have forgotten parts of. syncMu is held.
func (s *Store) repair() error {
	l := s.log
	s.w.Lock()
	defer s.w.Unlock()
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if l.broken == nil {
		return nil
	}
	if err := s.rewrite(l, false); err != nil {
		return fmt.Errorf("%w: %w", ErrNotSaved, err)
	}
	return nil
}

// keep syncs the log in time, and replaces it when it is long.
func (s *Store) keep() {
	l := s.log
	for {
		select {
		case <-l.stop:
			return
		case <-l.wake:
		}
		s.w.Lock()
		long, dirty := l.broken == nil && l.end >= l.compactAt(s), l.broken != nil || l.synced < l.changes
		s.w.Unlock()
		var err error
		if long {
			if err = s.Compact(); err != nil && !l.pause(time.Second) {
				return
			}
		} else if dirty && s.opt.SyncInterval > 0 {
			if !l.pause(s.opt.SyncInterval) {
				return
			}
			err = s.Sync()
		}
		s.w.Lock()
		l.last = err
		again := s.opt.SyncInterval > 0 && (l.broken != nil || l.synced < l.changes)
		s.w.Unlock()
		if again {
			l.nudge()
		}
	}
}

// pause waits for a time and reports false when the store is closed meanwhile.
func (l *journal) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-l.stop:
		return false
	case <-t.C:
		return true
	}
}

// Err returns why the last attempt to sync or shorten the log in the background
// failed; nil when it did not.
func (s *Store) Err() error {
	if s.log == nil {
		return nil
	}
	s.w.Lock()
	defer s.w.Unlock()
	if s.log.broken != nil {
		return s.log.broken
	}
	return s.log.last
}

// LogSize returns the length of the log in bytes; 0 for data in memory only.
func (s *Store) LogSize() int64 {
	if s.log == nil {
		return 0
	}
	s.w.Lock()
	defer s.w.Unlock()
	return s.log.end
}

package store

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
)

// Yield gives the lock back, so that another process may write here, and keeps
// the store open for reading; [Store.Acquire] takes it again. Lines may still be
// appended to the logs, for what this process has yet to finish: they are neither
// rotated nor repaired then. Everything else that writes returns ErrReadOnly.
// Yielding twice does nothing.
func (s *Store) Yield() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logMu.Lock()
	defer s.logMu.Unlock()
	if err := s.writable(); err != nil {
		if errors.Is(err, ErrReadOnly) {
			return nil
		}
		return err
	}
	_ = s.writeAll() // else with the next line, or by who recovers
	var errs []error
	for _, log := range slices.Sorted(maps.Keys(s.logs)) {
		errs = append(errs, s.logs[log].close())
	}
	clear(s.logs)
	s.readOnly, s.lent = true, true
	s.shadow = s.ledger.Machine()
	errs = append(errs, s.ledger.Release(), s.lock.Close())
	s.ledger, s.lock = nil, nil
	return errors.Join(errs...)
}

// Leave is Yield for a process that ends: the journal says that it did so by itself,
// and waits for nobody.
func (s *Store) Leave() error {
	s.mu.Lock()
	err, l := s.writable(), s.ledger
	s.mu.Unlock()
	if err == nil {
		err = l.Close() // it asks for settle, which takes the logs
	}
	if errors.Is(err, ErrReadOnly) {
		return nil
	}
	return errors.Join(err, s.Yield())
}

// Acquire makes a store that was opened for reading, or has yielded, the one that
// writes, and reads anew what another process has written meanwhile. The errors
// are those of Open; after one the store is as it was.
func (s *Store) Acquire() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logMu.Lock()
	defer s.logMu.Unlock()
	if err := s.writable(); !errors.Is(err, ErrReadOnly) {
		return err
	}
	was := s.view
	s.view = view{}
	err := s.open()
	if err == nil {
		clear(s.bad)
		return nil
	}
	if s.ledger != nil {
		_ = s.ledger.Release()
		s.ledger = nil
	}
	if s.lock != nil {
		_ = s.lock.Close()
		s.lock = nil
	}
	s.view = was
	return err
}

// appendLent appends a line to a log that another process may write to as well:
// one write at the end, which the system keeps whole. s.logMu is held.
func (s *Store) appendLent(log string, line []byte) error {
	name := logName(log, false)
	f, err := s.fs.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(line)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("log %s: %w", log, err)
	}
	return nil
}

// Problems returns what Open, or the latest Acquire, found damaged and left alone.
func (s *Store) Problems() []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.problems)
}

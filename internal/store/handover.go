package store

import (
	"encoding/json"
	"errors"
	"fmt"
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
	var errs []error
	for _, l := range s.logs {
		errs = append(errs, l.close(s.disk.noSync))
	}
	clear(s.logs)
	s.readOnly, s.lent = true, true
	// An empty lock tells of a clean end. The lock ends with the descriptor.
	errs = append(errs, s.lock.Truncate(0), s.lock.Close())
	s.lock = nil
	return errors.Join(errs...)
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
	was := struct {
		problems     []error
		records      map[int]Record
		last, unread int
		lent         bool
	}{s.problems, s.records, s.last, s.unread, s.lent}
	s.problems, s.records, s.last, s.unread = nil, make(map[int]Record), 0, 0
	s.readOnly, s.lent = false, false
	err := s.open()
	if err == nil {
		clear(s.bad)
		return nil
	}
	if s.lock != nil {
		_ = s.lock.Close()
		s.lock = nil
	}
	s.readOnly, s.lent = true, was.lent
	s.problems, s.records, s.last, s.unread = was.problems, was.records, was.last, was.unread
	return err
}

// appendLent appends a line to a log that another process may write to as well:
// one write at the end, which the system keeps whole. s.logMu is held.
func (s *Store) appendLent(log string, line json.RawMessage) error {
	name := logName(log, false)
	if err := s.disk.regular(name); err != nil {
		return err
	}
	f, err := s.disk.root.OpenFile(name, os.O_WRONLY|os.O_APPEND|nonblock, 0o644)
	if err != nil {
		return failed("write", s.disk.name(name), err)
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

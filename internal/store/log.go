package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/theseus-run/theseus/internal/disk"
)

const (
	maxLog  = 8 << 20 // bytes after which a log is rotated
	maxLine = 1 << 20
)

// A logFile is a log that is open for writing.
type logFile struct {
	file disk.File
	size int64
	torn bool // there may be something behind size
}

func (l *logFile) close() error {
	if l.file == nil {
		return nil
	}
	err := errors.Join(l.file.Sync(), l.file.Close())
	l.file = nil
	return err
}

// Append adds v as one line of JSON to log/NAME.ndjson; the name consists of a-z,
// 0-9 and "-". When the file would exceed 8 MiB it becomes NAME.1.ndjson, in place
// of the one before, and a new one is begun. A line is written at once, so that it
// survives the end of the process, but it is not synced before Close.
//
// When Append fails nothing of the line stays in the log; it is kept in memory, as
// long as there is room, and written before the next one, or by Close.
func (s *Store) Append(log string, v any) error {
	if !isLogName(log) {
		return fmt.Errorf("log %q: a name consists of a-z, 0-9 and '-'", log)
	}
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("log %s: %w", log, err)
	}
	if len(line) >= maxLine {
		return fmt.Errorf("log %s: the entry has %d bytes; the limit is %d", log, len(line), maxLine)
	}
	line = append(line, '\n')
	s.logMu.Lock()
	defer s.logMu.Unlock()
	if err := s.writable(); err != nil && (s.closed || !s.lent) {
		return err
	}
	u := s.unset[log]
	if u == nil {
		u = &unwritten{}
		s.unset[log] = u
	}
	u.add(line)
	return s.writeOut(log, u)
}

// unwritten are lines that could not be appended to a log, in their order.
type unwritten struct {
	lines [][]byte
	size  int // of all, in bytes
}

// maxUnwritten bounds what is kept of them for each log; the oldest are lost first.
const maxUnwritten = 2 * maxLine

func (u *unwritten) add(line []byte) {
	u.lines = append(u.lines, line)
	for u.size += len(line); u.size > maxUnwritten; {
		u.drop()
	}
}

func (u *unwritten) drop() {
	u.size -= len(u.lines[0])
	u.lines = u.lines[1:]
}

// writeOut appends the lines that wait. s.logMu is held.
func (s *Store) writeOut(log string, u *unwritten) error {
	write := s.appendLine
	if s.lent {
		write = s.appendLent
	}
	for len(u.lines) > 0 {
		if err := write(log, u.lines[0]); err != nil {
			return err
		}
		u.drop()
	}
	return nil
}

// writeAll does so for all logs. s.logMu is held.
func (s *Store) writeAll() error {
	var errs []error
	for _, log := range slices.Sorted(maps.Keys(s.unset)) {
		errs = append(errs, s.writeOut(log, s.unset[log]))
	}
	return errors.Join(errs...)
}

// appendLine appends one line as the process that owns the log. s.logMu is held.
func (s *Store) appendLine(log string, line []byte) error {
	l, err := s.openLog(log, int64(len(line)))
	if err != nil {
		return err
	}
	if l.torn {
		if err := l.file.Truncate(l.size); err != nil {
			return err
		}
		l.torn = false
	}
	if _, err = l.file.Write(line); err != nil {
		l.torn = l.file.Truncate(l.size) != nil
		return err
	}
	l.size += int64(len(line))
	return nil
}

// openLog returns the log with room for more bytes. s.logMu is held.
func (s *Store) openLog(log string, more int64) (*logFile, error) {
	l, name := s.logs[log], logName(log, false)
	if l == nil {
		l = &logFile{}
		s.logs[log] = l
	}
	if l.file == nil {
		if err := s.startLog(l, name); err != nil {
			return nil, err
		}
	}
	if l.size == 0 || l.size+more <= maxLog {
		return l, nil
	}
	if err := l.close(); err != nil {
		return nil, err
	}
	if err := s.fs.Rename(name, logName(log, true)); err != nil {
		return nil, err
	}
	return l, s.startLog(l, name)
}

// startLog opens a log for appending and removes a line that a crash has torn.
func (s *Store) startLog(l *logFile, name string) error {
	f, err := s.fs.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	var size int64
	if err == nil {
		size = info.Size()
	}
	if err == nil && size > 0 {
		size, err = endLine(f, size)
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	l.file, l.size, l.torn = f, size, false
	return nil
}

// endLine cuts off what is behind the last line that has an end, and returns the new
// size. If it is longer than a line can be it becomes one.
func endLine(f disk.File, size int64) (int64, error) {
	tail := make([]byte, min(size, maxLine))
	if _, err := f.ReadAt(tail, size-int64(len(tail))); err != nil {
		return size, err
	}
	end := int64(bytes.LastIndexByte(tail, '\n') + 1)
	switch {
	case end == int64(len(tail)):
		return size, nil
	case end == 0 && size > maxLine:
		n, err := f.Write([]byte("\n"))
		return size + int64(n), err
	}
	size += end - int64(len(tail))
	return size, f.Truncate(size)
}

// Settled returns once all that was appended to the logs would survive a loss of
// power.
func (s *Store) Settled() error { return s.settle() }

// settle syncs what was appended to the logs: the journal, which has it too, is
// begun anew.
func (s *Store) settle() error {
	if s.opening.Load() {
		return errOpening
	}
	s.logMu.Lock()
	defer s.logMu.Unlock()
	if err := s.writeAll(); err != nil {
		return err
	}
	if !s.logsSynced { // a process that was killed may have left lines that were not
		if err := s.syncLogs(); err != nil {
			return err
		}
	}
	var dirty bool
	for _, log := range slices.Sorted(maps.Keys(s.logs)) {
		l := s.logs[log]
		if l.file == nil {
			continue
		}
		dirty = true
		if err := l.file.Sync(); err != nil {
			return err
		}
	}
	if !dirty {
		return nil
	}
	return s.fs.SyncDir("log")
}

// syncLogs syncs all logs. s.logMu is held.
func (s *Store) syncLogs() error {
	list, err := s.fs.ReadDir("log")
	if err != nil {
		return err
	}
	for _, e := range list {
		f, err := s.fs.OpenFile("log/"+e.Name(), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	if err := s.fs.SyncDir("log"); err != nil {
		return err
	}
	s.logsSynced = true
	return nil
}

// errOpening is why nothing is settled while the store opens: what the journal tells
// of has not been looked for in the logs yet.
var errOpening = errors.New("the store is being opened")

// Tail calls into with the last n entries of a log, oldest first; n below 1 means
// all that is kept. Lines that are no JSON, such as one torn by a crash, are left
// out. A log that does not exist is empty. An error of into ends the call and is
// returned.
func (s *Store) Tail(log string, n int, into func(json.RawMessage) error) error {
	if !isLogName(log) {
		return fmt.Errorf("log %q: a name consists of a-z, 0-9 and '-'", log)
	}
	newer, older, err := s.tail(log, n)
	if err != nil {
		return err
	}
	for _, line := range append(older, newer...) {
		if err := into(line); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) tail(log string, n int) (newer, older []json.RawMessage, err error) {
	s.logMu.Lock()
	defer s.logMu.Unlock()
	if s.closed {
		return nil, nil, ErrClosed
	}
	if newer, err = s.lastLines(logName(log, false), n); err != nil {
		return nil, nil, err
	}
	if n > 0 {
		if n -= len(newer); n == 0 {
			return newer, nil, nil
		}
	}
	older, err = s.lastLines(logName(log, true), n)
	return newer, older, err
}

// lastLines returns the last n valid lines of a file, or all for n < 1. It reads
// from the end, twice as much each time until that is enough.
func (s *Store) lastLines(name string, n int) ([]json.RawMessage, error) {
	f, err := s.fs.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := min(info.Size(), maxLog+maxLine)
	for want := min(size, 64<<10); ; want = min(size, 2*want) {
		data := make([]byte, want)
		got, err := f.ReadAt(data, info.Size()-want)
		if err != nil && err != io.EOF {
			return nil, err
		}
		lines := parseLines(data[:got], want == info.Size())
		if n > 0 && len(lines) >= n {
			return lines[len(lines)-n:], nil
		}
		if want == size {
			return lines, nil
		}
	}
}

// parseLines returns the lines of data that end in a newline and are JSON. The
// first is left out unless data begins at the start of a line.
func parseLines(data []byte, whole bool) []json.RawMessage {
	if !whole {
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	var out []json.RawMessage
	for {
		line, rest, ok := bytes.Cut(data, []byte("\n"))
		if !ok {
			return out
		}
		// A hole that the disk has left in place of the lines before has no end.
		line = line[bytes.LastIndexByte(line, 0)+1:]
		if len(line) > 0 && json.Valid(line) {
			out = append(out, line)
		}
		data = rest
	}
}

func logName(log string, old bool) string {
	if old {
		return "log/" + log + ".1.ndjson"
	}
	return "log/" + log + ".ndjson"
}

func isLogName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

package kv

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/theseus-run/theseus/internal/disk"
)

// readHeader reads the beginning of a log. The error is errHeader, wraps ErrNewer, or
// is one of the disk.
func (l *journal) readHeader(f disk.File) (info fs.FileInfo, head header, damaged bool, err error) {
	if info, err = f.Stat(); err != nil {
		return nil, header{}, false, err
	}
	first := make([]byte, min(headerSize, info.Size()))
	if _, err := f.ReadAt(first, 0); err != nil {
		return nil, header{}, false, err
	}
	head, damaged, err = decodeHeader(first)
	if errors.Is(err, ErrNewer) {
		err = &disk.Error{Op: "open", Path: l.name("data.log"), Err: err, Hint: "run the newer theseus"}
	}
	return info, head, damaged, err
}

// blank returns an empty store with the clock of s.
func (s *Store) blank() *Store {
	b := New(s.opt)
	b.seed, b.start, b.skew = s.seed, s.start, s.skew
	return b
}

// load makes the store what the file says, which becomes the log. The lock is held,
// and s.w.
func (s *Store) load(l *journal, f disk.File) error {
	info, head, damaged, err := l.readHeader(f)
	if err != nil && !errors.Is(err, errHeader) {
		_ = f.Close()
		return err
	}
	noHeader := err != nil
	if l.file != nil {
		_ = l.file.Close()
	}
	l.use(f, info, head, headerSize, 0)
	if noHeader {
		l.recovery.Damaged = append(l.recovery.Damaged, Damage{Bytes: info.Size()})
		return s.rewrite(l, true)
	}
	if damaged {
		l.recovery.Damaged = append(l.recovery.Damaged, Damage{Bytes: headerSize})
	}
	b := s.blank()
	found, err := b.replay(l, info.Size())
	if err != nil {
		l.info, l.doubt = nil, true // to be read again
		return err
	}
	s.adopt(b)
	l.found()
	return s.settleLog(l, found, damaged)
}

// found notes that a log was read that somebody else has written: it may not have
// been synced, nor its name.
func (l *journal) found() {
	l.changes++
	l.named.Store(false)
}

// preload reads the log before the lock is taken, so that no other process waits
// for that. What is out of order it leaves to load.
func (s *Store) preload(l *journal) {
	f, err := l.fsys.OpenFile(l.name("data.log"), os.O_RDWR, 0)
	if err != nil {
		return
	}
	info, head, damaged, err := l.readHeader(f)
	if err != nil || damaged {
		_ = f.Close()
		return
	}
	l.use(f, info, head, headerSize, 0)
	b := s.blank()
	found, err := b.replay(l, info.Size())
	if err != nil || len(found.damaged) > 0 {
		_ = f.Close()
		l.file, l.info = nil, nil
		return
	}
	s.adopt(b)
	l.found()
	l.preloaded = &found
}

// confirm reports whether data.log is the file that was preloaded and still begins
// with what was read: a frame may have been taken back that failed. If not the file
// is let go. The lock is held.
func (l *journal) confirm() bool {
	found := l.preloaded
	l.preloaded = nil
	if found == nil {
		return false
	}
	info, err := l.fsys.Lstat(l.name("data.log"))
	ok := err == nil && disk.SameFile(info, l.info) && info.Size() >= found.end
	if ok && found.end > headerSize {
		r := &frameReader{file: l.file, id: l.head.id, size: info.Size()}
		_, next, err := r.frame(found.last)
		ok = err == nil && next == found.end && r.sum == found.sum
	}
	if !ok {
		_ = l.file.Close()
		l.file, l.info = nil, nil
	}
	return ok
}

// use makes an open file the log. s.w is held.
func (l *journal) use(f disk.File, info fs.FileInfo, head header, end int64, sum uint32) {
	l.file, l.info, l.head, l.end, l.sum = f, info, head, end, sum
	l.doubt, l.broken, l.compact = false, nil, 0
}

// adopt takes over the data of a store that nobody else has.
func (s *Store) adopt(o *Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew, s.versions, s.parts, s.keys, s.bytes, s.mayGo, s.next = o.skew, o.versions, o.parts, o.keys, o.bytes, o.mayGo, o.next
}

// settleLog puts a log in order after it was read. s.w and the lock are held.
func (s *Store) settleLog(l *journal, found scan, damaged bool) error {
	l.recovery.Damaged = append(l.recovery.Damaged, found.damaged...)
	l.recovery.Cut += found.torn
	if damaged || len(found.damaged) > 0 {
		return s.rewrite(l, true)
	}
	if found.torn == 0 {
		return nil
	}
	// What is cut must not come back under what is written next.
	err := l.file.Truncate(l.end)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		return s.rewrite(l, false)
	}
	return nil
}

// replay applies the frames from l.end up to size.
func (s *Store) replay(l *journal, size int64) (scan, error) {
	r := &frameReader{file: l.file, id: l.head.id, size: size}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := r.read(l.end, l.head.base, l.sum, func(_ int64, payload []byte) error {
		stamp, changes, err := decodePayload(payload, l.epoch)
		if err != nil {
			return err
		}
		s.advance(l, stamp)
		for i := range changes {
			c := &changes[i]
			if c.op == opSet && c.expires < 0 {
				c.op = opDelete
			}
			c.text = bytes.Clone(c.text)
			s.apply(c)
		}
		return nil
	})
	if err == nil {
		l.end, l.sum = found.end, found.sum
	}
	return found, err
}

// advance makes the clock show at least the time of a frame. s.mu is held.
func (s *Store) advance(l *journal, stamp int64) {
	at := time.Duration(stamp - l.epoch)
	l.stamped = max(l.stamped, at)
	if now := s.now(); at > now {
		s.skew += at - now
	}
}

package kv

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"

	"github.com/theseus-run/theseus/internal/disk"
)

// A draft is a log that is being written and has no name yet.
type draft struct {
	l    *journal
	f    disk.File
	head header
	at   int64  // where buf goes
	buf  []byte // what is not yet written
	one  []byte // the frame that is being made

	sum     uint32 // what the next frame names
	scratch scratch
}

func (l *journal) draft() (*draft, error) {
	f, err := l.fsys.OpenFile(l.name(tempLog), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return &draft{l: l, f: f, head: header{id: rand.Uint64()}, at: headerSize}, nil
}

// drop removes a draft that is not wanted.
func (d *draft) drop() {
	_ = d.f.Close()
	_ = d.l.fsys.Remove(d.l.name(tempLog))
}

// flush writes what is not yet written.
func (d *draft) flush() error {
	if len(d.buf) == 0 {
		return nil
	}
	_, err := d.f.WriteAt(d.buf, d.at)
	d.at += int64(len(d.buf))
	d.buf = d.buf[:0]
	return err
}

// add adds a frame, whose header it fills in.
func (d *draft) add(frame []byte) error {
	d.sum = d.scratch.seal(frame, d.head.id, d.at+int64(len(d.buf)), d.sum)
	d.buf = append(d.buf, frame...)
	if len(d.buf) < readAhead {
		return nil
	}
	return d.flush()
}

// fill adds all that a store has. The store must not change meanwhile.
func (d *draft) fill(s *Store) error {
	now := s.now()
	stamp := wall(d.l.epoch, max(1, now))
	d.one = startFrame(d.one, stamp)
	put := func(c change) error {
		d.one = appendChange(d.one, c, d.l.epoch)
		if len(d.one) < perFrame {
			return nil
		}
		err := d.add(d.one)
		d.one = startFrame(d.one, stamp)
		return err
	}
	for name, v := range s.versions {
		if err := put(change{op: opVersion, key: name, number: v}); err != nil {
			return err
		}
	}
	for i := range s.parts {
		for k, e := range s.parts[i].m {
			if e.gone(now) {
				continue
			}
			if err := put(change{op: opSet, key: k, text: e.text, expires: e.expires}); err != nil {
				return err
			}
		}
	}
	return d.add(d.one)
}

// copy adds the frames of another log between two offsets. None of them says how far
// that was synced: whoever copies holds syncMu since the first.
func (d *draft) copy(file disk.File, id uint64, from, to int64) error {
	r := &frameReader{file: file, id: id, size: to}
	for from < to {
		payload, next, err := r.frame(from)
		if err != nil {
			return fmt.Errorf("at %d: %w", from, err)
		}
		from = next
		var empty [frameHeader]byte
		d.one = append(append(d.one[:0], empty[:]...), payload...)
		if err := d.add(d.one); err != nil {
			return err
		}
	}
	return nil
}

// finish makes what was added durable, but for the name.
func (d *draft) finish() error {
	if err := d.flush(); err != nil {
		return err
	}
	d.head.base = d.at
	if _, err := d.f.WriteAt(d.head.encode(), 0); err != nil {
		return err
	}
	return d.f.Sync()
}

// place gives the draft the name data.log, and makes it the log. Only SyncDir makes
// the name durable. The error wraps errUnknown when it may have the name. s.w and
// the lock are held.
func (d *draft) place() error {
	l, name := d.l, d.l.name("data.log")
	mine, err := d.f.Stat()
	if err != nil {
		return err
	}
	if err := l.fsys.Rename(l.name(tempLog), name); err != nil {
		now, e := l.fsys.Lstat(name)
		switch {
		case e == nil && disk.SameFile(mine, now): // done all the same
		case e == nil || errors.Is(e, fs.ErrNotExist):
			return err
		default:
			return fmt.Errorf("%w: %w", errUnknown, err)
		}
	}
	if l.file != nil {
		_ = l.file.Close()
	}
	l.use(d.f, mine, d.head, d.at, d.sum)
	return nil
}

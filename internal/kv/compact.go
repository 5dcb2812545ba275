package kv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/theseus-run/theseus/internal/disk"
)

const (
	// tempLog is the name of a log that is being written. disk.RemoveTemps knows it.
	tempLog = "data.log.tmp-c"

	// perFrame is about how many bytes one frame of a new log has. A flipped bit
	// costs one frame.
	perFrame = 4 << 10

	// smallTail is how much of a log may be left to copy while writers wait.
	smallTail = 64 << 10

	maxAside = 1 << 30
)

// errUnknown is wrapped when it cannot be told which file data.log is.
var errUnknown = errors.New("it is not known which file has the data")

// rewrite puts a new log with all data in place of the old one while everybody
// waits, and keeps the old one aside if it has to. After an error nothing more can
// be appended until a rewrite succeeds. s.w and the lock are held.
func (s *Store) rewrite(l *journal, aside bool) error {
	err := s.rewriteNow(l, aside)
	if l.broken = err; err == nil {
		l.synced = l.changes
	}
	return err
}

func (s *Store) rewriteNow(l *journal, aside bool) error {
	d, err := l.draft()
	if err != nil {
		return err
	}
	if err = d.fill(s); err == nil {
		err = d.finish()
	}
	if err == nil && aside {
		err = l.setAside()
	}
	if err == nil {
		err = d.place()
	}
	if err != nil {
		d.drop()
		return err
	}
	if err := l.syncNames(); err != nil {
		l.distrust()
		return err
	}
	if l.marked && l.fsys.Remove(l.name(mark)) == nil {
		l.marked = false
	}
	return nil
}

// mark is the name of a file that says not to trust the disk to have what it shows:
// a sync failed, and a second one may succeed all the same, even in the next
// process. It is there until the log was replaced.
const mark = "suspect"

// giveUp refuses changes from now on, until the log was replaced.
func (s *Store) giveUp(err error) {
	s.w.Lock()
	defer s.w.Unlock()
	s.log.broken = err
	s.log.distrust()
}

// distrust leaves the mark, if that is possible. s.w is held.
func (l *journal) distrust() {
	l.marked = true
	if f, err := l.fsys.OpenFile(l.name(mark), os.O_WRONLY|os.O_CREATE, 0o600); err == nil {
		_ = f.Close()
	}
}

// distrusted reports whether a process has left the mark.
func (l *journal) distrusted() bool {
	_, err := l.fsys.Lstat(l.name(mark))
	return err == nil
}

// syncNames makes the name of the log durable, and that of the folder, which this
// store may have made, or a process before it. When the latter fails all that can be
// done is to say so: the name of a folder in use cannot be made anew.
func (l *journal) syncNames() error {
	if err := l.fsys.SyncDir(l.dir); err != nil {
		return err
	}
	if !l.named.Load() {
		if err := l.fsys.SyncDir(path.Dir(l.dir)); err != nil {
			return err
		}
		l.named.Store(true)
	}
	if l.told.Load() {
		return nil
	}
	// From now on a data.log that is missing has been there.
	_, err := l.fsys.Lstat(l.name("format"))
	if errors.Is(err, fs.ErrNotExist) {
		err = disk.WriteFileLazy(l.fsys, l.name("format"), fmt.Appendln(nil, format), 0o644)
	}
	l.told.Store(err == nil)
	return nil
}

// setAside gives a damaged log a second name.
func (l *journal) setAside() error {
	name := l.name("data.log")
	mine, err := l.fsys.Lstat(name)
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		other := fmt.Sprintf("data.log.damaged-%d", n)
		l.recovery.Aside = other
		other = l.name(other)
		if now, err := l.fsys.Lstat(other); err == nil {
			if disk.SameFile(mine, now) {
				return nil
			}
			continue
		}
		err := l.fsys.Link(name, other)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		data, err := disk.ReadFile(l.fsys, name, maxAside)
		if err != nil {
			return err
		}
		return disk.ReplaceFile(l.fsys, other, data, 0o600)
	}
}

// Compact replaces the log by one that holds only what there is. The store does so
// itself when the log has grown; others go on meanwhile, unless it is shared. After
// an error the old log goes on, or nothing can be saved until it was repaired: see
// [Store.Sync].
func (s *Store) Compact() error {
	l := s.log
	if l == nil {
		return nil
	}
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	data, file, id, from, err := s.compactFrom()
	if data == nil {
		return err
	}
	d, err := l.draft()
	if err == nil {
		err = d.fill(data)
	}
	for err == nil { // what has come meanwhile, until there is little left
		s.w.Lock()
		to := l.end
		s.w.Unlock()
		if err = d.copy(file, id, from, to); err == nil {
			err = d.finish()
		}
		little := to-from < smallTail
		if from = to; little {
			break
		}
	}
	var done uint64
	if err == nil {
		done, err = s.swap(d, file, id, from)
	} else if d != nil {
		d.drop()
	}
	if err == nil {
		if err = l.syncNames(); err != nil {
			s.giveUp(err)
		} else {
			s.w.Lock()
			l.synced = max(l.synced, done)
			s.w.Unlock()
		}
	}
	return s.compacted(err)
}

// compactFrom returns the data for a new log, and the place in the old one from
// which they do not tell. Data is nil when all was done: nobody else may go on when
// the log is shared.
func (s *Store) compactFrom() (data *Store, file disk.File, id uint64, from int64, err error) {
	l := s.log
	s.w.Lock()
	defer s.w.Unlock()
	if err := s.enter(); err != nil {
		return nil, nil, 0, 0, err
	}
	defer s.leave()
	if l.shared.Load() || l.broken != nil {
		return nil, nil, 0, 0, s.compactLocked()
	}
	return s.fork(), l.file, l.head.id, l.end, nil
}

// compactLocked is Compact while all wait.
func (s *Store) compactLocked() error {
	l := s.log
	file, broken := l.file, l.broken
	err := s.rewriteNow(l, false)
	switch {
	case err == nil:
		l.broken, l.synced = nil, l.changes
		return nil
	case l.file == file && !errors.Is(err, errUnknown): // the old one goes on
		l.broken = broken
		l.compact = l.end + minLogShared
	default:
		l.broken = err
	}
	return fmt.Errorf("compact kv: %w", err)
}

// swap adds the rest of the old log to the draft, and puts it in its place.
func (s *Store) swap(d *draft, file disk.File, id uint64, from int64) (done uint64, err error) {
	l := s.log
	s.w.Lock()
	defer s.w.Unlock()
	if from < l.end {
		if err = d.copy(file, id, from, l.end); err == nil {
			err = d.finish()
		}
	}
	if err == nil {
		err = d.place()
	}
	if err != nil {
		if errors.Is(err, errUnknown) {
			l.broken = err
		}
		d.drop()
	}
	return l.changes, err
}

// compacted puts off the next attempt when one has failed.
func (s *Store) compacted(err error) error {
	if err == nil {
		return nil
	}
	s.w.Lock()
	defer s.w.Unlock()
	s.log.compact = s.log.end + minLog
	return fmt.Errorf("compact kv: %w", err)
}

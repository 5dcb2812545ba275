package kv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/theseus-run/theseus/internal/disk"
)

// A journal is the log of a store and what there is to know about it.
type journal struct {
	fsys   disk.FS
	dir    string
	epoch  int64 // the wall clock at Store.start
	shared atomic.Bool
	told   atomic.Bool   // the file "format" is there
	named  atomic.Bool   // the folder of the log has a durable name, and the log if it was not only found
	wake   chan struct{} // tells the keeper that there is something to do
	stop   chan struct{}
	kept   sync.WaitGroup

	// syncMu is held while the log is synced or replaced; it is taken before
	// Store.w.
	syncMu sync.Mutex

	// Guarded by Store.w.
	lock  disk.File
	stuck bool // the last call waited in vain for the lock

	preloaded *scan // what was read before the lock was taken; nil for nothing
	file      disk.File
	info      fs.FileInfo // tells file from others
	head      header
	end       int64  // where the next frame goes
	doubt     bool   // there may be something behind end
	sum       uint32 // what it names
	frame     []byte
	scratch   scratch
	stamped   time.Duration // the latest time in the log
	seen      time.Duration // the latest time whose passing somebody has seen
	changes   uint64        // how many were appended
	synced    uint64        // how many of these are synced
	compact   int64         // the length at which the log is replaced
	marked    bool          // there may be a mark: see distrust
	broken    error         // why nothing can be appended until the log was replaced
	last      error         // the last failure of the keeper
	closed    bool
	recovery  Recovery
}

// Recovery is what Open, or a later reading of the log, found out of order.
type Recovery struct {
	// Cut is how many bytes at the end were cut off: changes that a loss of power,
	// or a process that ended in the middle, left unfinished.
	Cut int64
	// Damaged are parts in the middle that could not be read. All else was kept,
	// and the file stands aside under the name Aside.
	Damaged []Damage
	Aside   string
	// Missing says that the store existed and its data was gone.
	Missing bool
}

// Recovered returns what was found out of order since Open.
func (s *Store) Recovered() Recovery {
	if s.log == nil {
		return Recovery{}
	}
	s.w.Lock()
	defer s.w.Unlock()
	return s.log.recovery
}

// Saved reports whether the store is on disk.
func (s *Store) Saved() bool { return s.log != nil }

func (l *journal) name(file string) string { return path.Join(l.dir, file) }

// Open opens the store in the folder dir, which it creates; the folder that dir
// lies in must exist. What a crash has left is put in order, and
// [Store.Recovered] tells about it.
//
// The error is, or wraps, ErrLocked when another process has the store, ErrNewer
// when a newer version wrote it; errors of the disk are of type [*disk.Error].
func Open(fsys disk.FS, dir string, opt Options) (*Store, error) {
	if opt.SyncInterval == 0 {
		opt.SyncInterval = time.Second
	}
	if opt.LockWait <= 0 {
		opt.LockWait = 10 * time.Second
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	s := New(opt)
	l := &journal{fsys: fsys, dir: dir, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	l.epoch = max(1, opt.Now().UnixNano())
	s.log = l
	if err := s.open(l); err != nil {
		if l.file != nil {
			_ = l.file.Close()
		}
		if l.lock != nil {
			_ = l.lock.Close()
		}
		return nil, fmt.Errorf("open kv: %w", err)
	}
	l.nudge()
	l.kept.Go(s.keep)
	return s, nil
}

// open takes the lock, reads the data and, for a store that is shared, gives the
// lock back. No other goroutine has the store.
func (s *Store) open(l *journal) error {
	made, err := disk.EnsureDir(l.fsys, l.dir, 0o700)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	l.named.Store(made)
	if l.lock, err = l.fsys.OpenFile(l.name("lock"), os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return err
	}
	l.shared.Store(s.opt.Shared)
	if s.opt.Shared {
		s.preload(l)
	}
	if err := l.acquire(s.opt.LockWait, !s.opt.Shared); err != nil {
		return err
	}
	if err := s.layOut(l); err != nil {
		return err
	}
	if l.distrusted() {
		l.marked = true
		if err := s.rewrite(l, false); err != nil {
			return err
		}
	}
	if s.opt.Shared {
		return l.lock.Unlock()
	}
	l.sign()
	return nil
}

// layOut reads the data, or begins them.
func (s *Store) layOut(l *journal) error {
	if err := disk.RemoveTemps(l.fsys, l.dir); err != nil {
		return err
	}
	if l.confirm() {
		return s.catchUp()
	}
	f, err := l.fsys.OpenFile(l.name("data.log"), os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		_, err := l.fsys.Lstat(l.name("format"))
		l.recovery.Missing = err == nil
		if err := s.rewrite(l, false); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		if err := s.load(l, f); err != nil {
			return err
		}
	}
	return nil
}

// Close syncs the log and gives the store back. What is in memory can still be
// read. It may be called twice.
func (s *Store) Close() error {
	if s.log == nil {
		return nil
	}
	err := s.Sync()
	if errors.Is(err, ErrClosed) {
		return nil
	}
	err = errors.Join(err, s.close())
	s.log.kept.Wait()
	return err
}

// close closes the files. The lock is given back last.
func (s *Store) close() error {
	l := s.log
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	s.w.Lock()
	defer s.w.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	close(l.stop)
	err := l.file.Close()
	if !l.shared.Load() {
		_ = l.lock.Truncate(0) // only the name of its holder
	}
	return errors.Join(err, l.lock.Close())
}

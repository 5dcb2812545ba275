package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
)

// HoldLock takes the lock of f and writes the id of this process into it; f then
// belongs to release. When ok is false f has been closed. It is what an [FS] makes
// its Lock of.
func HoldLock(f File) (release io.Closer, ok bool, err error) {
	if ok, err = f.TryLock(); !ok || err != nil {
		return nil, false, errors.Join(err, f.Close())
	}
	if err = f.Truncate(0); err == nil {
		_, err = f.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
	}
	if err != nil {
		return nil, false, errors.Join(err, f.Close())
	}
	return &held{file: f}, true, nil
}

type held struct {
	file File
	once sync.Once
	err  error
}

// Close gives the lock back. It may be called twice.
func (h *held) Close() error {
	h.once.Do(func() { h.err = errors.Join(h.file.Truncate(0), h.file.Close()) })
	return h.err
}

// Holder returns the id of the process that has a lock, or had it and did not give
// it back itself; 0 when there is none, or it cannot be told.
func Holder(fsys FS, name string) int {
	data, err := ReadFile(fsys, name, 64)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

// A syncless FS never syncs.
type syncless struct{ FS }

type synclessFile struct{ File }

// WithoutSync returns an FS on which Sync and SyncDir do nothing: what is written
// survives the end of the process but not a loss of power. For tests and data
// that can be thrown away.
func WithoutSync(fsys FS) FS { return syncless{fsys} }

func (s syncless) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := s.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return synclessFile{f}, nil
}

func (syncless) SyncDir(string) error { return nil }

func (synclessFile) Sync() error { return nil }

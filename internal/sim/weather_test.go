package sim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/theseus-run/theseus/internal/disk"
	"github.com/theseus-run/theseus/internal/disk/simdisk"
)

// A weather is what is wrong with the disk for a while. Of the numbers, one operation
// in that many goes wrong; 0 means none.
type weather struct {
	errors int           // a change fails, before or after it took place
	reads  int           // opening, reading or listing fails
	syncs  int           // a sync fails, and what it was about may be lost for good
	kills  int           // the process is killed in the middle
	broken error         // every change fails with it
	slow   time.Duration // at most, each change; not of kv, whose goroutine waits for its lock
}

// weathers are drawn from; the first is calm.
var weathers = []weather{
	{},
	{errors: 12},
	{errors: 60},
	{reads: 25},
	{syncs: 4},
	{kills: 40},
	{kills: 150, errors: 100},
	{kills: 100, slow: 3 * time.Second},
	{broken: syscall.EIO},
	{broken: syscall.ENOSPC},
	{broken: syscall.EROFS},
	{errors: 80, reads: 80, syncs: 20, kills: 200},
}

// A faulty is one process's view of the disk, in that weather.
type faulty struct {
	disk.FS
	w    *world
	name string // of the process, for the trace
	dead bool   // it was killed: nothing that it still does has an effect

	misread bool // something could not be read
}

// errDead is what a killed process gets from its disk.
var errDead = &disk.Error{Op: "write", Path: ".", Err: errors.New("the process is dead")}

func (f *faulty) one(in int) bool { return in > 0 && f.w.disk.IntN(in) == 0 }

// kill ends the process as kill -9 does.
func (f *faulty) kill(what string) {
	f.dead = true
	f.w.trace("%s is killed: %s", f.name, what)
}

// change does an operation that changes the disk.
func (f *faulty) change(op, name string, do func() error) error {
	if f.dead {
		return errDead
	}
	wx := f.w.wx
	if wx.slow > 0 && !strings.HasPrefix(name, dataDir) {
		time.Sleep(time.Duration(f.w.disk.Int64N(int64(wx.slow))))
	}
	switch {
	case f.one(2 * wx.kills):
		f.kill("before " + op + " " + name)
		return errDead
	case wx.broken != nil:
		return f.refuse(op, name, wx.broken)
	case f.one(2 * wx.errors):
		return f.refuse(op, name, some(f.w.disk, syscall.EIO, syscall.ENOSPC, syscall.EDQUOT))
	}
	err := do()
	f.w.trace("%s %s %s: %v", f.name, op, name, err)
	switch {
	case err != nil:
		return err
	case f.one(2 * wx.kills):
		f.kill("after " + op + " " + name)
		return errDead
	case f.one(2 * wx.errors):
		return f.refuse(op, name, syscall.EIO)
	}
	return nil
}

func (f *faulty) refuse(op, name string, err error) error {
	f.w.faults++
	f.w.trace("%s %s %s: injected %v", f.name, op, name, err)
	return disk.Failed(op, name, err)
}

// sync lets a sync fail, and what it was about be forgotten. Of some folders it is
// left out, because nothing helps against it: where a name is in use that cannot be
// made anew, of a folder or of a log, and where records are removed, for a removal that
// the disk has forgotten cannot be repeated.
func (f *faulty) sync(name string, folder bool, do func() error) error {
	return f.change("sync", name, func() error {
		if (!folder || !final(name)) && f.one(f.w.wx.syncs) {
			f.w.faults++
			if strings.HasPrefix(name, "log") { // nobody writes a log again for that
				for id := range f.w.attempts {
					f.w.excused[id] = true
				}
			}
			f.w.d.FailSync(1)
			defer f.w.d.FailSync(0)
		}
		return do()
	})
}

func final(name string) bool {
	return slices.Contains([]string{".", "objects", "generations", "log"}, name)
}

// read does an operation that reads.
func (f *faulty) read(op, name string, do func() error) error {
	switch {
	case f.dead:
		return errDead
	case f.one(f.w.wx.reads):
		f.misread = true
		return f.refuse(op, name, syscall.EIO)
	}
	return do()
}

func (f *faulty) OpenFile(name string, flag int, perm fs.FileMode) (file disk.File, err error) {
	open := func() (err error) { file, err = f.FS.OpenFile(name, flag, perm); return err }
	_, missing := f.FS.Lstat(name)
	if flag&os.O_TRUNC != 0 || flag&os.O_CREATE != 0 && missing != nil {
		err = f.change("create", name, open)
	} else {
		err = f.read("open", name, open)
	}
	if err != nil {
		if file != nil {
			_ = file.Close()
		}
		return nil, err
	}
	return &faultyFile{File: file, f: f, name: name}, nil
}

func (f *faulty) Mkdir(name string, perm fs.FileMode) error {
	return f.change("mkdir", name, func() error { return f.FS.Mkdir(name, perm) })
}

func (f *faulty) Rename(from, to string) error {
	return f.change("rename", to, func() error { return f.FS.Rename(from, to) })
}

func (f *faulty) Remove(name string) error {
	return f.change("remove", name, func() error { return f.FS.Remove(name) })
}

func (f *faulty) Link(from, to string) error {
	return f.change("link", to, func() error { return f.FS.Link(from, to) })
}

func (f *faulty) SyncDir(name string) error {
	return f.sync(name, true, func() error { return f.FS.SyncDir(name) })
}

func (f *faulty) ReadDir(name string) (list []fs.DirEntry, err error) {
	err = f.read("list", name, func() (err error) { list, err = f.FS.ReadDir(name); return err })
	return list, err
}

func (f *faulty) Lstat(name string) (info fs.FileInfo, err error) {
	err = f.read("stat", name, func() (err error) { info, err = f.FS.Lstat(name); return err })
	return info, err
}

// Lock takes the lock without a process id in it, whose length would not be the same
// in each run.
func (f *faulty) Lock(name string) (io.Closer, bool, error) {
	file, err := f.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, false, err
	}
	if ok, err := file.TryLock(); !ok || err != nil {
		return nil, false, errors.Join(err, file.Close())
	}
	return file, true, nil
}

// A faultyFile is an open file of a faulty.
type faultyFile struct {
	disk.File
	f    *faulty
	name string
}

// lock reports whether the file only names a process.
func (h *faultyFile) lock() bool { return path.Base(h.name) == "lock" }

func (h *faultyFile) Read(p []byte) (n int, err error) {
	err = h.f.read("read", h.name, func() (err error) { n, err = h.File.Read(p); return err })
	return n, err
}

func (h *faultyFile) ReadAt(p []byte, at int64) (n int, err error) {
	err = h.f.read("read", h.name, func() (err error) { n, err = h.File.ReadAt(p, at); return err })
	return n, err
}

func (h *faultyFile) Write(p []byte) (n int, err error) {
	err = h.f.change(fmt.Sprint("write ", len(p)), h.name, func() (err error) { n, err = h.File.Write(p); return err })
	return n, err
}

func (h *faultyFile) WriteAt(p []byte, at int64) (n int, err error) {
	if h.lock() {
		return len(p), nil
	}
	err = h.f.change(fmt.Sprint("write ", len(p), " at ", at), h.name, func() (err error) { n, err = h.File.WriteAt(p, at); return err })
	return n, err
}

func (h *faultyFile) Truncate(size int64) error {
	if h.lock() {
		return nil
	}
	return h.f.change(fmt.Sprint("truncate ", size), h.name, func() error { return h.File.Truncate(size) })
}

func (h *faultyFile) Sync() error { return h.f.sync(h.name, false, h.File.Sync) }

// Close closes the file of a dead process, too: its locks are free.
func (h *faultyFile) Close() error {
	err := h.File.Close()
	if h.f.dead {
		return errDead
	}
	return err
}

// some draws one of several.
func some[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// process returns a view of the disk for one process.
func (w *world) process() *faulty {
	w.started++
	return &faulty{FS: w.d.Process(), w: w, name: fmt.Sprint("process ", w.started)}
}

// end frees what a process had of the disk.
func (f *faulty) end() {
	f.dead = true
	f.FS.(*simdisk.Process).Kill()
}

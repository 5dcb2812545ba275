package simdisk

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/theseus-run/theseus/internal/disk"
)

// A handle is an open file.
type handle struct {
	p      *Process
	n      *node
	name   string
	flag   int
	pos    int64 // guarded by Disk.mu
	closed atomic.Bool
}

// run does an operation on the open file.
func (h *handle) run(op string, do func(d *Disk) error) error {
	switch {
	case h.p.dead.Load():
		return &disk.Error{Op: op, Path: h.name, Err: errKilled}
	case h.closed.Load():
		return &disk.Error{Op: op, Path: h.name, Err: fs.ErrClosed}
	}
	h.p.d.mu.Lock()
	defer h.p.d.mu.Unlock()
	err := do(h.p.d)
	if err == io.EOF {
		return err
	}
	return disk.Failed(op, h.name, err)
}

var errNegative = errors.New("negative offset")

// readable and writable report whether the flags allow it.
func (h *handle) readable() bool { return h.flag&os.O_WRONLY == 0 }
func (h *handle) writable() bool { return h.flag&(os.O_WRONLY|os.O_RDWR) != 0 }

func (h *handle) Read(p []byte) (n int, err error) {
	err = h.run("read", func(*Disk) (err error) {
		n, err = h.read(p, h.pos)
		if h.pos += int64(n); n > 0 {
			err = nil
		}
		return err
	})
	return n, err
}

func (h *handle) ReadAt(p []byte, at int64) (n int, err error) {
	err = h.run("read", func(*Disk) (err error) { n, err = h.read(p, at); return err })
	return n, err
}

func (h *handle) read(p []byte, at int64) (int, error) {
	switch {
	case at < 0:
		return 0, errNegative
	case len(p) == 0:
		return 0, nil
	case !h.readable():
		return 0, syscall.EBADF
	case at >= int64(len(h.n.data)):
		return 0, io.EOF
	}
	n := copy(p, h.n.data[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *handle) Write(p []byte) (n int, err error) {
	err = h.run("write", func(d *Disk) (err error) {
		if h.flag&os.O_APPEND != 0 {
			h.pos = int64(len(h.n.data))
		}
		n, err = h.write(d, p, h.pos)
		h.pos += int64(n)
		return err
	})
	return n, err
}

func (h *handle) WriteAt(p []byte, at int64) (n int, err error) {
	if h.flag&os.O_APPEND != 0 {
		return 0, &disk.Error{Op: "write", Path: h.name, Err: errors.New("WriteAt of a file that is opened with O_APPEND")}
	}
	err = h.run("write", func(d *Disk) (err error) { n, err = h.write(d, p, at); return err })
	return n, err
}

func (h *handle) write(d *Disk, p []byte, at int64) (int, error) {
	switch {
	case at < 0:
		return 0, errNegative
	case len(p) == 0 && h.flag&os.O_APPEND == 0 && !h.writable():
		return 0, nil
	case !h.writable():
		return 0, syscall.EBADF
	case len(p) == 0:
		return 0, nil
	case at > math.MaxInt32:
		return 0, syscall.EFBIG // it is all in memory
	}
	if err := d.faults.change(false); err != nil {
		return 0, err
	}
	var err error
	grow := at + int64(len(p)) - int64(len(h.n.data))
	if got := d.room(grow); got < grow {
		p, err = p[:max(0, int64(len(p))-(grow-got))], syscall.ENOSPC
	}
	if len(p) > 0 {
		h.n.do(op{at: at, data: bytes.Clone(p)})
	}
	return len(p), err
}

func (h *handle) Truncate(size int64) error {
	return h.run("truncate", func(d *Disk) error {
		switch {
		case size < 0 || !h.writable():
			return errInvalid
		case size > math.MaxInt32:
			return syscall.EFBIG
		}
		if err := d.faults.change(false); err != nil {
			return err
		}
		if size == int64(len(h.n.data)) {
			return nil
		}
		if grow := size - int64(len(h.n.data)); d.room(grow) < grow {
			return syscall.ENOSPC
		}
		h.n.do(op{at: size, trunc: true})
		return nil
	})
}

func (h *handle) Sync() error {
	return h.run("sync", func(d *Disk) error {
		if d.faults.syncFails() {
			h.n.lose()
			return syscall.EIO
		}
		h.n.sync()
		if d.model == Ordered {
			d.commit(func(e entry) bool { return e.to == h.n || e.was == h.n })
		}
		return nil
	})
}

func (h *handle) Stat() (i fs.FileInfo, err error) {
	err = h.run("stat", func(*Disk) error { i = describe(h.n, h.name); return nil })
	return i, err
}

func (h *handle) TryLock() (ok bool, err error) {
	err = h.run("lock", func(*Disk) error {
		if ok = h.n.holder == nil || h.n.holder == h; ok {
			h.n.holder = h
		}
		return nil
	})
	return ok, err
}

func (h *handle) Unlock() error {
	return h.run("lock", func(*Disk) error { h.unlock(); return nil })
}

func (h *handle) unlock() {
	if h.n.holder == h {
		h.n.holder = nil
	}
}

func (h *handle) Close() error {
	return h.run("write", func(*Disk) error {
		h.closed.Store(true)
		h.unlock()
		return nil
	})
}

// An info describes a node at one moment.
type info struct {
	n    *node
	name string
	size int64
}

func describe(n *node, name string) info { return info{n: n, name: name, size: int64(len(n.data))} }

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return i.n.mode }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.n.mode.IsDir() }
func (i info) Sys() any           { return nil }

// SameFile reports whether the other is of the same file: see [disk.SameFile].
func (i info) SameFile(other fs.FileInfo) bool {
	o, ok := other.(info)
	return ok && o.n == i.n
}

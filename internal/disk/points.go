package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"
)

// A Kind is an operation that changes a disk.
type Kind string

// The kinds of operations that [Points] tells of.
const (
	Create   Kind = "create"   // a file by OpenFile; also one that O_TRUNC empties
	Write    Kind = "write"    // Write and WriteAt
	Truncate Kind = "truncate" //
	Sync     Kind = "sync"     // of a file
	SyncDir  Kind = "syncdir"  //
	Rename   Kind = "rename"   // named by where it goes
	Remove   Kind = "remove"   //
	Link     Kind = "link"     // named by the new name
	Mkdir    Kind = "mkdir"    //
)

// A Phase says on which side of an operation a hook runs.
type Phase string

// The two sides of an operation. An error returned before it makes it fail
// without effect; one returned after it makes it fail although it took place.
const (
	Before Phase = "before"
	After  Phase = "after"
)

// An Op is one operation that changes a disk.
type Op struct {
	Index int // from 1, in the order of their beginning; the same before and after
	Kind  Kind
	Name  string // as it was opened, for what is done to an open file
	Phase Phase
}

// Pointed is an FS whose operations a hook sees. See [Points].
type Pointed struct {
	fsys  FS
	hook  func(Op) error
	ops   atomic.Int64
	syncs atomic.Int64
	dead  atomic.Bool
}

// errDead is what the disk of a killed process answers to what it still does while
// it unwinds. It has no effect.
var errDead = &Error{Op: "write", Path: ".", Err: errors.New("the process is dead")}

// Points returns an FS on fsys that calls hook before and after each operation that
// changes the disk. The hook may return an error, which makes the operation fail
// (see [Phase]), or call [Pointed.Kill]. A nil hook only counts. The writing of a
// process id by Lock is not an operation in this sense.
func Points(fsys FS, hook func(Op) error) *Pointed {
	if hook == nil {
		hook = func(Op) error { return nil }
	}
	return &Pointed{fsys: fsys, hook: hook}
}

// Ops returns how many operations began so far.
func (p *Pointed) Ops() int { return int(p.ops.Load()) }

// Syncs returns how many files and folders were synced so far.
func (p *Pointed) Syncs() int { return int(p.syncs.Load()) }

// killed is the value of the panic of Kill.
type killed struct{ by *Pointed }

// Kill ends the process as kill -9 would, as far as the disk can tell: it panics,
// for [Pointed.Survive] to catch, and whatever still runs, such as deferred
// functions, changes nothing any more. To be called by the hook.
func (p *Pointed) Kill() {
	p.dead.Store(true)
	panic(killed{p})
}

// Survive runs do, the life of a process, and reports whether it was killed.
func (p *Pointed) Survive(do func()) (dead bool) {
	defer func() {
		if v := recover(); v != nil {
			if k, ok := v.(killed); !ok || k.by != p {
				panic(v)
			}
			dead = true
		}
	}()
	do()
	return p.dead.Load()
}

// step runs one operation between two calls of the hook.
func (p *Pointed) step(kind Kind, name string, do func() error) error {
	if p.dead.Load() {
		return errDead
	}
	op := Op{Index: int(p.ops.Add(1)), Kind: kind, Name: name, Phase: Before}
	if kind == Sync || kind == SyncDir {
		p.syncs.Add(1)
	}
	if err := p.hook(op); err != nil {
		return Failed(string(kind), name, err)
	}
	if err := do(); err != nil {
		return err
	}
	op.Phase = After
	return Failed(string(kind), name, p.hook(op))
}

// OpenFile implements [FS].
func (p *Pointed) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if p.dead.Load() {
		return nil, errDead
	}
	changes := false
	if flag&(os.O_CREATE|os.O_TRUNC) != 0 {
		info, err := p.fsys.Lstat(name)
		changes = flag&os.O_CREATE != 0 && errors.Is(err, fs.ErrNotExist) ||
			flag&os.O_TRUNC != 0 && err == nil && info.Size() > 0
	}
	var f File
	do := func() (err error) {
		f, err = p.fsys.OpenFile(name, flag, perm)
		return err
	}
	if !changes {
		if err := do(); err != nil {
			return nil, err
		}
	} else if err := p.step(Create, name, do); err != nil {
		if f != nil {
			_ = f.Close()
		}
		return nil, err
	}
	return &pointedFile{File: f, p: p, name: name}, nil
}

// Mkdir implements [FS].
func (p *Pointed) Mkdir(name string, perm fs.FileMode) error {
	return p.step(Mkdir, name, func() error { return p.fsys.Mkdir(name, perm) })
}

// Rename implements [FS].
func (p *Pointed) Rename(from, to string) error {
	return p.step(Rename, to, func() error { return p.fsys.Rename(from, to) })
}

// Remove implements [FS].
func (p *Pointed) Remove(name string) error {
	return p.step(Remove, name, func() error { return p.fsys.Remove(name) })
}

// Link implements [FS].
func (p *Pointed) Link(from, to string) error {
	return p.step(Link, to, func() error { return p.fsys.Link(from, to) })
}

// SyncDir implements [FS].
func (p *Pointed) SyncDir(name string) error {
	return p.step(SyncDir, name, func() error { return p.fsys.SyncDir(name) })
}

// ReadDir implements [FS].
func (p *Pointed) ReadDir(name string) ([]fs.DirEntry, error) { return p.fsys.ReadDir(name) }

// Lstat implements [FS].
func (p *Pointed) Lstat(name string) (fs.FileInfo, error) { return p.fsys.Lstat(name) }

// Lock implements [FS].
func (p *Pointed) Lock(name string) (io.Closer, bool, error) {
	if p.dead.Load() {
		return nil, false, errDead
	}
	release, ok, err := p.fsys.Lock(name)
	if !ok || err != nil {
		return nil, false, err
	}
	return &pointedLock{p, release}, true, nil
}

type pointedLock struct {
	p       *Pointed
	release io.Closer
}

// Close gives the lock back, unless the process is dead: then whoever killed it
// does that.
func (l *pointedLock) Close() error {
	if l.p.dead.Load() {
		return errDead
	}
	return l.release.Close()
}

type pointedFile struct {
	File
	p    *Pointed
	name string
}

func (f *pointedFile) Write(b []byte) (n int, err error) {
	err = f.p.step(Write, f.name, func() (err error) { n, err = f.File.Write(b); return err })
	return n, err
}

func (f *pointedFile) WriteAt(b []byte, at int64) (n int, err error) {
	err = f.p.step(Write, f.name, func() (err error) { n, err = f.File.WriteAt(b, at); return err })
	return n, err
}

func (f *pointedFile) Truncate(size int64) error {
	return f.p.step(Truncate, f.name, func() error { return f.File.Truncate(size) })
}

func (f *pointedFile) Sync() error { return f.p.step(Sync, f.name, f.File.Sync) }

// ErrInjected is an input/output error for hooks to return.
var ErrInjected error = syscall.EIO

package simdisk

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/theseus-run/theseus/internal/disk"
)

// A Process is one program's view of a [Disk]: a [disk.FS].
type Process struct {
	d    *Disk
	dead atomic.Bool
}

var _ disk.FS = (*Process)(nil)

var errKilled = errors.New("the process was killed")

// Kill ends the process: its files are closed and its locks are free, and what it
// wrote stays. Whatever of it still runs gets errors.
func (p *Process) Kill() {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	p.dead.Store(true)
	seen := map[*node]bool{}
	var walk func(*node)
	walk = func(n *node) {
		if seen[n] {
			return
		}
		seen[n] = true
		if n.holder != nil && n.holder.p == p {
			n.holder = nil
		}
		for _, m := range n.names {
			walk(m)
		}
	}
	walk(p.d.root)
}

// run does an operation of the process.
func (p *Process) run(op, name string, do func(d *Disk) error) error {
	if !fs.ValidPath(name) {
		return &disk.Error{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	if p.dead.Load() {
		return &disk.Error{Op: op, Path: name, Err: errKilled}
	}
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	return disk.Failed(op, name, do(p.d))
}

// find returns the node of a name. d.mu is held.
func (d *Disk) find(name string) (*node, error) {
	n := d.root
	if name == "." {
		return n, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if !n.mode.IsDir() {
			return nil, errNotDir
		}
		if n = n.names[part]; n == nil {
			return nil, errNoEntry
		}
	}
	return n, nil
}

// place returns the folder of a name and the last part of it.
func (d *Disk) place(name string) (dir *node, base string, err error) {
	if name == "." {
		return nil, "", errInvalid
	}
	dir, err = d.find(path.Dir(name))
	if err == nil && !dir.mode.IsDir() {
		err = errNotDir
	}
	return dir, path.Base(name), err
}

// OpenFile implements [disk.FS].
func (p *Process) OpenFile(name string, flag int, perm fs.FileMode) (f disk.File, err error) {
	err = p.run("open", name, func(d *Disk) error {
		n, err := d.open(name, flag, perm)
		if err == nil {
			f = &handle{p: p, n: n, name: name, flag: flag}
		}
		return err
	})
	return f, err
}

func (d *Disk) open(name string, flag int, perm fs.FileMode) (*node, error) {
	n, err := d.find(name)
	switch {
	case err == nil && flag&os.O_EXCL != 0 && flag&os.O_CREATE != 0:
		return nil, errExists
	case err == nil:
		if err := disk.Plain(name, info{n: n, name: name}); err != nil {
			return nil, err
		}
		if d.faults.denied {
			return nil, syscall.EACCES
		}
		if flag&(os.O_WRONLY|os.O_RDWR) != 0 {
			if err := d.faults.change(false); err != nil {
				return nil, err
			}
		}
		if flag&os.O_TRUNC != 0 && len(n.data) > 0 {
			n.do(op{trunc: true})
		}
		return n, nil
	case !errors.Is(err, errNoEntry) || flag&os.O_CREATE == 0:
		return nil, err
	}
	dir, base, err := d.place(name)
	if err != nil {
		return nil, err
	}
	if err := d.faults.change(true); err != nil {
		return nil, err
	}
	if d.room(1) < 1 {
		return nil, syscall.ENOSPC
	}
	n = d.node(perm.Perm())
	d.change(entry{dir: dir, name: base, to: n})
	return n, nil
}

// room returns how much of more bytes there is room for.
func (d *Disk) room(more int64) int64 {
	if d.faults.space < 0 || more <= 0 {
		return more
	}
	return max(0, min(more, d.faults.space-d.used()))
}

// Mkdir implements [disk.FS].
func (p *Process) Mkdir(name string, perm fs.FileMode) error {
	return p.run("mkdir", name, func(d *Disk) error {
		if _, err := d.find(name); err == nil {
			return errExists
		}
		dir, base, err := d.place(name)
		if err == nil {
			err = d.faults.change(true)
		}
		if err == nil && d.room(1) < 1 {
			err = syscall.ENOSPC
		}
		if err == nil {
			d.change(entry{dir: dir, name: base, to: d.node(fs.ModeDir | perm.Perm())})
		}
		return err
	})
}

// Rename implements [disk.FS].
func (p *Process) Rename(from, to string) error {
	if !fs.ValidPath(to) {
		return &disk.Error{Op: "rename", Path: to, Err: fs.ErrInvalid}
	}
	return p.run("rename", from, func(d *Disk) error {
		fromDir, fromBase, err := d.place(from)
		if err != nil {
			return err
		}
		toDir, toBase, err := d.place(to)
		if err != nil {
			return err
		}
		n, old := fromDir.names[fromBase], toDir.names[toBase]
		switch {
		case n == nil:
			return errNoEntry
		case old != nil && old.mode.IsDir():
			return errExists
		case n == old:
			return nil
		case n.mode.IsDir() && strings.HasPrefix(to, from+"/"):
			return errInvalid
		case old != nil && n.mode.IsDir():
			return errNotDir
		}
		if err := d.faults.change(true); err != nil {
			return err
		}
		d.change(entry{dir: toDir, name: toBase, to: n}, entry{dir: fromDir, name: fromBase})
		return nil
	})
}

// Remove implements [disk.FS].
func (p *Process) Remove(name string) error {
	return p.run("remove", name, func(d *Disk) error {
		dir, base, err := d.place(name)
		if err != nil {
			return err
		}
		n := dir.names[base]
		switch {
		case n == nil:
			return errNoEntry
		case len(n.names) > 0:
			return errNotEmpty
		}
		if err := d.faults.change(true); err != nil {
			return err
		}
		d.change(entry{dir: dir, name: base})
		return nil
	})
}

// Link implements [disk.FS].
func (p *Process) Link(from, to string) error {
	if !fs.ValidPath(to) {
		return &disk.Error{Op: "link", Path: to, Err: fs.ErrInvalid}
	}
	return p.run("link", from, func(d *Disk) error {
		n, err := d.find(from)
		if err == nil {
			err = disk.Plain(from, info{n: n})
		}
		if err != nil {
			return err
		}
		dir, base, err := d.place(to)
		if err != nil {
			return err
		}
		if dir.names[base] != nil {
			return errExists
		}
		if err := d.faults.change(true); err != nil {
			return err
		}
		d.change(entry{dir: dir, name: base, to: n})
		return nil
	})
}

// ReadDir implements [disk.FS].
func (p *Process) ReadDir(name string) (list []fs.DirEntry, err error) {
	err = p.run("list", name, func(d *Disk) error {
		n, err := d.find(name)
		if err == nil && !n.mode.IsDir() {
			err = errNotDir
		}
		if err == nil && d.faults.denied {
			err = syscall.EACCES
		}
		if err != nil {
			return err
		}
		for _, k := range slices.Sorted(maps.Keys(n.names)) {
			list = append(list, fs.FileInfoToDirEntry(describe(n.names[k], k)))
		}
		return nil
	})
	return list, err
}

// Lstat implements [disk.FS].
func (p *Process) Lstat(name string) (i fs.FileInfo, err error) {
	err = p.run("stat", name, func(d *Disk) error {
		n, err := d.find(name)
		if err == nil {
			i = describe(n, path.Base(name))
		}
		return err
	})
	return i, err
}

// SyncDir implements [disk.FS].
func (p *Process) SyncDir(name string) error {
	return p.run("sync", name, func(d *Disk) error {
		n, err := d.find(name)
		if err == nil && !n.mode.IsDir() {
			err = errNotDir
		}
		if err != nil {
			return err
		}
		if d.faults.syncFails() {
			d.loseNames(n)
			return syscall.EIO
		}
		d.syncNames(n)
		return nil
	})
}

// Lock implements [disk.FS].
func (p *Process) Lock(name string) (io.Closer, bool, error) {
	f, err := p.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, false, err
	}
	return disk.HoldLock(f)
}

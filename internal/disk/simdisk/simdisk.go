// Package simdisk is a disk in memory that forgets what was not synced, for tests
// of programs that write through package disk.
//
// Start with [New]; a [Process] of the disk is the [disk.FS] to run the program
// on. At any moment [Disk.Crash] and [Disk.States] give the disks that may be found
// after a loss of power, and [Process.Kill] ends one program while what it wrote
// stays, as kill -9 does. Faults are set on the disk: no space, an fsync that
// fails, read-only, no permission, flipped bits.
//
// What a loss of power leaves:
//
//   - A file has what its last successful Sync saw. Of each change since, all or
//     nothing is there, or a part that ends at a byte, a 512 or a 4096 byte
//     boundary, or the new length with zeros in place of the data; a later change
//     may be there without an earlier one.
//   - A name is as the last SyncDir of its folder saw it, or as any change since
//     made it. [Strict] takes every name for itself, so that of a rename both, one
//     or none of the names may be there; to sync a file does nothing for its name.
//     [Ordered] is like ext4 in its default mode: changes of names take effect in
//     the order they were made, whole, and a Sync of a file also keeps all changes
//     of names up to the last that is about this file.
//   - A Sync that fails marks the changes as written all the same: a second Sync
//     succeeds, and they may be lost or not for ever after.
//
// Everything is deterministic and safe for concurrent use.
package simdisk

import (
	"io/fs"
	"maps"
	"sync"
	"syscall"
)

// A Model says what is durable when. See the package comment.
type Model string

// The models.
const (
	Strict  Model = "strict"
	Ordered Model = "ordered"
)

// A Disk is the hardware. It has no limit of space at first.
type Disk struct {
	model Model

	mu      sync.Mutex
	root    *node
	nodes   uint64
	pending []*rename // changes of names that a crash may undo, oldest first
	faults  faults
}

// A node is a file or a folder. Guarded by Disk.mu.
type node struct {
	id   uint64
	mode fs.FileMode

	// of a file
	data   []byte // as programs see it
	base   []byte // durable, before ops
	ops    []op   // what happened to base, oldest first
	holder *handle

	// of a folder
	names   map[string]*node // as programs see it
	durable map[string]*node
}

// A rename is one change of names: one entry, or two for a rename.
type rename struct{ entries []entry }

// An entry is what a name became: a node, or nil for none.
type entry struct {
	dir  *node
	name string
	to   *node
	was  *node // what the name stood for before
	lost bool  // its sync failed
}

// New returns an empty disk.
func New(model Model) *Disk {
	d := &Disk{model: model, faults: faults{space: -1}}
	d.root = d.node(fs.ModeDir | 0o755)
	return d
}

// Model returns the model of the disk.
func (d *Disk) Model() Model { return d.model }

// Process returns a program's view of the disk. Each has its own locks and open
// files.
func (d *Disk) Process() *Process { return &Process{d: d} }

func (d *Disk) node(mode fs.FileMode) *node {
	d.nodes++
	n := &node{id: d.nodes, mode: mode}
	if mode.IsDir() {
		n.names, n.durable = map[string]*node{}, map[string]*node{}
	}
	return n
}

// change makes names stand for other nodes, as programs see it. d.mu is held.
func (d *Disk) change(entries ...entry) {
	for i, e := range entries {
		entries[i].was = e.dir.names[e.name]
		if e.to == nil {
			delete(e.dir.names, e.name)
		} else {
			e.dir.names[e.name] = e.to
		}
	}
	d.pending = append(d.pending, &rename{entries})
}

// keep makes the entry durable.
func (e entry) keep() {
	if e.to == nil {
		delete(e.dir.durable, e.name)
	} else {
		e.dir.durable[e.name] = e.to
	}
}

// syncNames makes the names of a folder durable. d.mu is held.
func (d *Disk) syncNames(dir *node) {
	if d.model == Ordered {
		d.commit(func(e entry) bool { return e.dir == dir })
		return
	}
	// Of each name the last change that is not lost counts; what was lost after it
	// stays in doubt.
	last := map[string]int{}
	for i, r := range d.pending {
		for _, e := range r.entries {
			if e.dir == dir && !e.lost {
				last[e.name] = i
			}
		}
	}
	left := d.pending[:0]
	for i, r := range d.pending {
		doubt := r.entries[:0]
		for _, e := range r.entries {
			at, synced := last[e.name]
			switch {
			case e.dir != dir || !synced || i > at:
				doubt = append(doubt, e)
			case i == at:
				e.keep()
			}
		}
		if r.entries = doubt; len(doubt) > 0 {
			left = append(left, r)
		}
	}
	d.pending = left
}

// loseNames is what a failed sync of a folder does.
func (d *Disk) loseNames(dir *node) {
	for _, r := range d.pending {
		for i := range r.entries {
			if r.entries[i].dir == dir && d.model == Strict {
				r.entries[i].lost = true
			}
		}
	}
}

// commit makes all changes durable up to the last that has such an entry: the
// journal of the ordered model.
func (d *Disk) commit(of func(entry) bool) {
	upTo := 0
	for i, r := range d.pending {
		for _, e := range r.entries {
			if of(e) {
				upTo = i + 1
			}
		}
	}
	for _, r := range d.pending[:upTo] {
		for _, e := range r.entries {
			e.keep()
		}
	}
	d.pending = append([]*rename(nil), d.pending[upTo:]...)
}

// used returns the bytes of all files that have a name.
func (d *Disk) used() int64 {
	seen := map[*node]bool{}
	var total int64
	var walk func(*node)
	walk = func(n *node) {
		if seen[n] {
			return
		}
		seen[n] = true
		total += int64(len(n.data))
		for m := range maps.Values(n.names) {
			walk(m)
		}
	}
	walk(d.root)
	return total
}

// same errors as the real thing.
const (
	errNoEntry  = syscall.ENOENT
	errExists   = syscall.EEXIST
	errNotDir   = syscall.ENOTDIR
	errNotEmpty = syscall.ENOTEMPTY
	errInvalid  = syscall.EINVAL
)

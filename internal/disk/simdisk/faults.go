package simdisk

import (
	"fmt"
	"io/fs"
	"syscall"
)

// faults are what is wrong with a disk. Guarded by Disk.mu.
type faults struct {
	space    int64 // bytes that files may have in all; -1 for no limit
	failSync int   // the sync that fails, counting down; 0 for none
	readOnly bool
	denied   bool
}

// SetSpace limits what all files together may hold, in bytes. A write beyond it is
// done as far as there is room, and fails with ENOSPC, as does making a file on a
// disk that is full. A negative number is no limit.
func (d *Disk) SetSpace(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.space = max(bytes, -1)
}

// FailSync makes the nth sync from now on fail with EIO, files and folders counted
// together; 0 takes that back. Later ones succeed.
func (d *Disk) FailSync(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.failSync = n
}

// SetReadOnly makes every change fail with EROFS, those of open files too.
func (d *Disk) SetReadOnly(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.readOnly = on
}

// SetDenied makes opening files and changing names fail with EACCES. What is open
// can still be written to.
func (d *Disk) SetDenied(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults.denied = on
}

// Flip changes one bit of a file at rest.
func (d *Disk) Flip(name string, bit int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.find(name)
	if err != nil {
		return err
	}
	if n.mode.IsDir() || bit < 0 || bit >= 8*int64(len(n.data)) {
		return fmt.Errorf("flip bit %d of %s: %w", bit, name, fs.ErrInvalid)
	}
	flip := func(data []byte) {
		if bit/8 < int64(len(data)) {
			data[bit/8] ^= 1 << (bit % 8)
		}
	}
	flip(n.data)
	flip(n.base)
	for i := range n.ops {
		if o := n.ops[i]; o.at <= bit/8 && bit/8 < o.at+int64(len(o.data)) {
			o.data[bit/8-o.at] ^= 1 << (bit % 8)
		}
	}
	return nil
}

// syncFails counts a sync and reports whether it is to fail.
func (f *faults) syncFails() bool {
	if f.failSync == 0 {
		return false
	}
	f.failSync--
	return f.failSync == 0
}

// change returns why nothing may be changed; names says that it is about names.
func (f *faults) change(names bool) error {
	switch {
	case f.readOnly:
		return syscall.EROFS
	case f.denied && names:
		return syscall.EACCES
	}
	return nil
}

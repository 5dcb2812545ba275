package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
)

type linkError = os.LinkError

// A disk writes files so that each is either there as a whole or not at all. It
// never leaves the folder of the store, whatever links lie in it.
type disk struct {
	dir    string
	root   *os.Root
	noSync bool
	fault  func(op, name string) error
	temps  atomic.Int64
	syncs  atomic.Int64 // fsync calls so far
}

// A blob is a file to be written. Temp and file are set while it is.
type blob struct {
	name string
	data []byte
	perm fs.FileMode

	temp string
	file *os.File
}

// step runs one operation that writes, unless a test makes it fail.
func (d *disk) step(op, name string, do func() error) error {
	if d.fault != nil {
		if err := d.fault(op, name); err != nil {
			return failed(op, d.name(name), err)
		}
	}
	return failed(op, d.name(name), do())
}

// replace writes one file in place of what is there:
// create tmp/N, write, fsync, rename, fsync of the folder.
func (d *disk) replace(name string, data []byte, perm fs.FileMode) error {
	if err := d.regular(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b := []*blob{{name: name, data: data, perm: perm}}
	if err := d.place(b); err != nil {
		return err
	}
	return d.syncDirs([]string{path.Dir(name)})
}

// batch bounds how many files are open at a time.
const batch = 64

// place writes blobs up to and including the rename; the folders are not yet
// synced. When it fails, those of the batch that were renamed stay.
func (d *disk) place(blobs []*blob) error {
	for part := range slices.Chunk(blobs, batch) {
		if err := d.placeBatch(part); err != nil {
			return err
		}
	}
	return nil
}

// placeBatch writes all files before it syncs the first: the file system can
// then commit them together.
func (d *disk) placeBatch(blobs []*blob) (err error) {
	defer func() {
		for _, b := range blobs {
			if b.file != nil {
				b.file.Close()
				b.file = nil
			}
			if b.temp != "" && err != nil {
				d.root.Remove(b.temp)
			}
		}
	}()
	for _, b := range blobs {
		temp := fmt.Sprintf("tmp/%d", d.temps.Add(1))
		err := d.step("write", b.name, func() (err error) {
			b.file, err = d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, b.perm)
			if err != nil {
				return err
			}
			b.temp = temp
			_, err = b.file.Write(b.data)
			return err
		})
		if err != nil {
			return err
		}
	}
	err = each(blobs, func(b *blob) error {
		return d.step("sync", b.name, func() error { return d.sync(b.file) })
	})
	if err != nil {
		return err
	}
	for _, b := range blobs {
		f := b.file
		b.file = nil
		if err := failed("write", d.name(b.name), f.Close()); err != nil {
			return err
		}
		err := d.step("rename", b.name, func() error {
			return patiently(func() error { return d.root.Rename(b.temp, b.name) })
		})
		if err != nil {
			return err
		}
		b.temp = ""
	}
	return nil
}

// syncDirs makes renames and removals in dirs survive a loss of power.
func (d *disk) syncDirs(dirs []string) error {
	if !canSyncDir || d.noSync {
		return nil
	}
	return each(dirs, func(dir string) error {
		return d.step("syncdir", dir, func() error {
			f, err := d.root.Open(dir)
			if err != nil {
				return err
			}
			defer f.Close()
			err = d.sync(f)
			if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
				return nil // this file system has no such thing
			}
			return err
		})
	})
}

func (d *disk) sync(f *os.File) error {
	if d.noSync {
		return nil
	}
	d.syncs.Add(1)
	return f.Sync()
}

// each runs do for all items, up to eight at a time, and returns the first
// error. None runs once it has returned.
func each[T any](items []T, do func(T) error) error {
	if len(items) == 1 {
		return do(items[0])
	}
	errs := make([]error, len(items))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(8, len(items)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(items)); i = next.Add(1) - 1 {
				errs[i] = do(items[i])
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// mkdir creates a folder unless it is there, and reports whether it did.
func (d *disk) mkdir(name string) (bool, error) {
	info, err := d.root.Lstat(name)
	switch {
	case err == nil && info.IsDir():
		return false, nil
	case err == nil:
		return false, &Error{Op: "open", Path: d.name(name), Err: errNotFolder, Hint: "remove it"}
	case !errors.Is(err, fs.ErrNotExist):
		return false, failed("open", d.name(name), err)
	}
	return true, d.step("write", name, func() error { return d.root.Mkdir(name, 0o700) })
}

// remove deletes a file; it is no error when there is none.
func (d *disk) remove(name string) error {
	return d.step("remove", name, func() error {
		err := patiently(func() error { return d.root.Remove(name) })
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// regular returns an error when name is missing or no plain file.
func (d *disk) regular(name string) error {
	info, err := d.root.Lstat(name)
	if err != nil {
		return failed("read", d.name(name), err)
	}
	return d.plain(name, info)
}

func (d *disk) plain(name string, info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	what := "not a regular file"
	switch {
	case info.IsDir():
		what = "a folder, not a file"
	case info.Mode()&fs.ModeSymlink != 0:
		what = "a symbolic link, not a file"
	}
	return &Error{Op: "read", Path: d.name(name), Err: errors.New(what), Hint: "remove it"}
}

// read returns the content of a plain file of at most limit bytes.
func (d *disk) read(name string, limit int64) ([]byte, error) {
	if err := d.regular(name); err != nil {
		return nil, err
	}
	var f *os.File
	err := patiently(func() (err error) {
		f, err = d.root.OpenFile(name, os.O_RDONLY|nonblock, 0)
		return err
	})
	if err != nil {
		return nil, failed("read", d.name(name), err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, failed("read", d.name(name), err)
	}
	if err := d.plain(name, info); err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, &Error{Op: "read", Path: d.name(name), Err: fmt.Errorf("has %d bytes, more than the %d that it may have", info.Size(), limit), Hint: "remove it"}
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, failed("read", d.name(name), err)
	}
	return data, nil
}

// list returns the entries of a folder, sorted by name.
func (d *disk) list(dir string) ([]fs.DirEntry, error) {
	f, err := d.root.Open(dir)
	if err != nil {
		return nil, failed("read", d.name(dir), err)
	}
	defer f.Close()
	list, err := f.ReadDir(-1)
	if err != nil {
		return nil, failed("read", d.name(dir), err)
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int {
		switch {
		case a.Name() < b.Name():
			return -1
		case a.Name() > b.Name():
			return 1
		}
		return 0
	})
	return list, nil
}

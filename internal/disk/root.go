package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A Root is a folder of the real file system. Links in it are followed where they
// name folders, but never out of it.
type Root struct {
	dir  string
	root *os.Root
}

// Open opens the folder dir, which must exist. Close it when nothing of it is in
// use any more.
func Open(dir string) (*Root, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, Failed("open", dir, err)
	}
	if !info.IsDir() {
		return nil, &Error{Op: "open", Path: dir, Err: errNotFolder, Hint: "remove it"}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, Failed("open", dir, err)
	}
	return &Root{dir: dir, root: root}, nil
}

// Dir returns the folder as it was given to Open.
func (r *Root) Dir() string { return r.dir }

// Close lets go of the folder. Open files stay open. It may be called twice.
func (r *Root) Close() error { return r.root.Close() }

// path returns the place of a name for messages.
func (r *Root) path(name string) string { return filepath.Join(r.dir, filepath.FromSlash(name)) }

// OpenFile implements [FS].
func (r *Root) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	op := "open"
	if flag&os.O_CREATE != 0 {
		op = "create"
	}
	if err := valid(op, name); err != nil {
		return nil, err
	}
	before, err := r.root.Lstat(name)
	switch {
	case err == nil && flag&os.O_EXCL == 0:
		if err := Plain(r.path(name), before); err != nil {
			return nil, err
		}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, Failed(op, r.path(name), err)
	}
	var f *os.File
	err = patiently(func() (err error) {
		// Nothing is emptied before it is known what it is.
		f, err = r.root.OpenFile(name, flag&^os.O_TRUNC|nonblock, perm)
		return err
	})
	if err != nil {
		return nil, Failed(op, r.path(name), err)
	}
	file := &rootFile{File: f, path: r.path(name)}
	if err = file.same(r.root, name); err == nil && flag&os.O_TRUNC != 0 {
		err = f.Truncate(0)
	}
	if err != nil {
		f.Close()
		return nil, Failed(op, r.path(name), err)
	}
	return file, nil
}

// same returns an error unless the open file is a plain one and the one that the
// name stands for, not one that a link leads to.
func (f *rootFile) same(root *os.Root, name string) error {
	info, err := f.File.Stat()
	if err != nil {
		return err
	}
	if err := Plain(f.path, info); err != nil {
		return err
	}
	now, err := root.Lstat(name)
	if err != nil {
		return err
	}
	if !os.SameFile(info, now) {
		return &Error{Op: "open", Path: f.path, Err: errors.New("was replaced while it was opened"), Hint: "try again"}
	}
	return nil
}

// Mkdir implements [FS].
func (r *Root) Mkdir(name string, perm fs.FileMode) error {
	if err := valid("mkdir", name); err != nil {
		return err
	}
	return Failed("mkdir", r.path(name), r.root.Mkdir(name, perm))
}

// Rename implements [FS].
func (r *Root) Rename(from, to string) error {
	if err := errors.Join(valid("rename", from), valid("rename", to)); err != nil {
		return err
	}
	return Failed("rename", r.path(from), patiently(func() error { return r.root.Rename(from, to) }))
}

// Remove implements [FS].
func (r *Root) Remove(name string) error {
	if err := valid("remove", name); err != nil {
		return err
	}
	return Failed("remove", r.path(name), patiently(func() error { return r.root.Remove(name) }))
}

// Link implements [FS].
func (r *Root) Link(from, to string) error {
	if err := errors.Join(valid("link", from), valid("link", to)); err != nil {
		return err
	}
	info, err := r.root.Lstat(from)
	if err == nil {
		err = Plain(r.path(from), info)
	}
	if err == nil {
		err = r.root.Link(from, to)
	}
	if noLinks(err) {
		err = fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
	}
	return Failed("link", r.path(to), err)
}

// ReadDir implements [FS].
func (r *Root) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := valid("list", name); err != nil {
		return nil, err
	}
	f, err := r.folder(name)
	if err != nil {
		return nil, Failed("list", r.path(name), err)
	}
	defer f.Close()
	list, err := f.ReadDir(-1)
	if err != nil {
		return nil, Failed("list", r.path(name), err)
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, nil
}

// Lstat implements [FS].
func (r *Root) Lstat(name string) (fs.FileInfo, error) {
	if err := valid("stat", name); err != nil {
		return nil, err
	}
	info, err := r.root.Lstat(name)
	return info, Failed("stat", r.path(name), err)
}

// SyncDir implements [FS].
func (r *Root) SyncDir(name string) error {
	if err := valid("sync", name); err != nil {
		return err
	}
	if !canSyncDir {
		return nil
	}
	f, err := r.folder(name)
	if err != nil {
		return Failed("sync", r.path(name), err)
	}
	defer f.Close()
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil // this file system has no such thing
	}
	return Failed("sync", r.path(name), err)
}

// folder opens a folder, and nothing else: a pipe would wait for its other end.
func (r *Root) folder(name string) (*os.File, error) {
	f, err := r.root.OpenFile(name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.IsDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Lock implements [FS].
func (r *Root) Lock(name string) (io.Closer, bool, error) {
	f, err := r.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, false, err
	}
	return HoldLock(f)
}

// A rootFile makes errors of an [os.File] into ours.
type rootFile struct {
	*os.File
	path string
}

// done turns an error of f into ours. io.EOF stays as it is.
func (f *rootFile) done(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return Failed(op, f.path, err)
}

func (f *rootFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	return n, f.done("read", err)
}

func (f *rootFile) ReadAt(p []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(p, at)
	return n, f.done("read", err)
}

func (f *rootFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.done("write", err)
}

func (f *rootFile) WriteAt(p []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(p, at)
	return n, f.done("write", err)
}

func (f *rootFile) Truncate(size int64) error { return f.done("truncate", f.File.Truncate(size)) }

func (f *rootFile) Sync() error { return f.done("sync", f.File.Sync()) }

func (f *rootFile) Stat() (fs.FileInfo, error) {
	info, err := f.File.Stat()
	return info, f.done("stat", err)
}

func (f *rootFile) TryLock() (ok bool, err error) {
	err = f.control(func(fd uintptr) (err error) { ok, err = tryLock(fd); return err })
	return ok, f.done("lock", err)
}

func (f *rootFile) Unlock() error { return f.done("lock", f.control(unlock)) }

func (f *rootFile) Close() error { return f.done("write", f.File.Close()) }

// control runs do on the descriptor, which stays open meanwhile.
func (f *rootFile) control(do func(fd uintptr) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	if e := raw.Control(func(fd uintptr) { err = do(fd) }); e != nil {
		return e
	}
	return err
}

// Package disk is the file system as a program sees it that must not lose
// anything: a small interface, [FS], so that a test can put a disk below it that
// forgets what was not synced (package simdisk), fails, or stops the world at a
// chosen operation ([Points]).
//
// Start with [Open], which gives one folder of the real file system. Programs
// write through [ReplaceFile] and its neighbours, and otherwise keep to one rule:
// what must survive a loss of power is durable only after [File.Sync] of the file
// and, when a name was made, changed or removed, [FS.SyncDir] of its folder.
//
// Names are relative, with slashes, and never leave the folder: no "..", no
// leading slash, "." for the folder itself (see [io/fs.ValidPath]). Errors are of
// type [*Error]. Everything is safe for concurrent use, except one [File]'s Read
// and Write with themselves: they share a position.
package disk

import (
	"io"
	"io/fs"
	"os"
)

// An FS is a folder and what is below it.
type FS interface {
	// OpenFile opens a plain file; the flags are those of package os. It refuses
	// folders, symbolic links and devices, and does not wait for the other end
	// of a pipe.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Mkdir makes one folder. The error wraps fs.ErrExist when the name is taken.
	Mkdir(name string, perm fs.FileMode) error
	// Rename gives a file or folder another name, in one step, in place of a file
	// that has it. A folder that has it is in the way: the error wraps fs.ErrExist.
	Rename(from, to string) error
	// Remove removes a file or an empty folder.
	Remove(name string) error
	// Link gives the file from the second name to, which must be free. The error
	// wraps errors.ErrUnsupported where the file system has no such thing.
	Link(from, to string) error
	// ReadDir returns the entries of a folder, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Lstat describes a name without following a link that it is.
	Lstat(name string) (fs.FileInfo, error)
	// SyncDir makes names durable that were made, changed or removed in a folder.
	// It does nothing where the system cannot.
	SyncDir(name string) error
	// Lock makes the caller the only holder of the file name, which it creates
	// when missing and which then holds the id of this process in decimal (see
	// [Holder]). Ok is false when somebody else has it. Closing release gives it
	// back and empties the file; the end of the process gives it back too.
	Lock(name string) (release io.Closer, ok bool, err error)
}

// A File is an open plain file.
type File interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.WriterAt
	// Truncate sets the length in bytes; new ones are zero.
	Truncate(size int64) error
	// Sync returns once the content would survive a loss of power. After an
	// error the content must be written to another file: the system may have
	// forgotten it, and a second Sync may succeed all the same.
	Sync() error
	Stat() (fs.FileInfo, error)
	// TryLock takes the lock of the file for this File, and reports whether it
	// did: one File at a time has it, in all processes. Unlock, Close and the
	// end of the process give it back. It keeps nobody from reading or writing.
	TryLock() (bool, error)
	Unlock() error
	Close() error
}

// SameFile reports whether two descriptions from one FS are of the same file,
// whatever its name.
func SameFile(a, b fs.FileInfo) bool {
	if s, ok := a.(interface{ SameFile(fs.FileInfo) bool }); ok {
		return s.SameFile(b)
	}
	return os.SameFile(a, b)
}

// Plain returns nil for a plain file, and otherwise an error that says what it is.
func Plain(path string, info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	err := errNotFile
	switch mode := info.Mode(); {
	case mode.IsDir():
		err = errFolder
	case mode&fs.ModeSymlink != 0:
		err = errLink
	case mode&fs.ModeNamedPipe != 0:
		err = errPipe
	}
	return &Error{Op: "open", Path: path, Err: err, Hint: "remove it"}
}

// valid returns an error for a name that leaves the folder or is not clean.
func valid(op, name string) error {
	if fs.ValidPath(name) {
		return nil
	}
	return &Error{Op: op, Path: name, Err: fs.ErrInvalid, Hint: "use a relative name with slashes and without .."}
}

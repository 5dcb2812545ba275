package pidfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
)

// perm lets everybody read the file, as tools of other users do, less the umask.
const perm = 0o644

// ErrNotRegular is wrapped by errors about a path that is a directory, a symbolic
// link or anything else but a regular file. It has not been touched.
var ErrNotRegular = errors.New("not a regular file")

// Write makes the file at path hold pid, 1 or more, in place of what it held. On
// error it is as it was, and so is its directory, with two exceptions: an error
// of [*SyncError] says that the file holds pid now, but may hold the old number,
// or be missing, after a power failure; and a process killed in the middle leaves
// its temporary file, a few bytes named .NAME-*.tmp, which nothing reads.
//
// Errors wrap the cause: [fs.ErrNotExist] for a missing directory, which is not
// created, [fs.ErrPermission], ENOSPC, [ErrNotRegular]. A link that appears at path
// just after the check is replaced, not followed.
func Write(path string, pid int) error {
	return (&writer{}).write(path, pid)
}

// Try finds out whether [Write] could replace the file at path now, by writing one
// beside it and deleting that. Nothing waits for the disk: a file system that
// promises room reserves it, and one of another machine flushes at close. Errors
// are those of Write. A process killed in the middle leaves the same file as there.
func Try(path string) error {
	return (&writer{}).try(path)
}

// A SyncError reports that the directory could not be flushed to disk after the
// file had been replaced.
type SyncError struct {
	Path string // of the file
	Err  error
}

func (e *SyncError) Error() string {
	return fmt.Sprintf("write pid file %s: it is in place, but may be lost in a power failure: %v", e.Path, e.Err)
}

func (e *SyncError) Unwrap() error { return e.Err }

// A writer carries what tests change.
type writer struct {
	// fault, if set, runs before each step, and after it with done set. Its
	// error stands for that of the step.
	fault func(op string, done bool) error
}

// step runs one operation, unless a test makes it fail.
func (w *writer) step(op string, do func() error) error {
	if w.fault == nil {
		return do()
	}
	if err := w.fault(op, false); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return w.fault(op, true)
}

// write replaces the file. The system calls, in order:
//
//	lstat   path              refuse what is not a regular file
//	open    .NAME-N.tmp       O_WRONLY|O_CREAT|O_EXCL, in the same directory
//	write   number, line feed
//	fsync   file              the bytes, before a name leads to them
//	close   file
//	rename  .NAME-N.tmp, path
//	fsync   directory         the name
//
// Whatever fails up to the rename unlinks the temporary file.
func (w *writer) write(path string, pid int) error {
	fail := func(err error) error { return fmt.Errorf("write pid file %s: %w", path, err) }
	text, err := format(pid)
	if err != nil {
		return fail(err)
	}
	if err := checkTarget(path); err != nil {
		return fail(err)
	}
	temp, err := w.writeTemp(path, text, true)
	if err != nil {
		return fail(err)
	}
	if err := w.step("rename", func() error { return os.Rename(temp, path) }); err != nil {
		// Where the rename has happened after all, there is nothing to remove.
		if gone := os.Remove(temp); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		return fail(err)
	}
	if err := w.step("syncdir", func() error { return syncDir(filepath.Dir(path)) }); err != nil {
		return &SyncError{Path: path, Err: err}
	}
	return nil
}

// try does what write does up to the sync, and undoes it.
func (w *writer) try(path string) error {
	fail := func(err error) error { return fmt.Errorf("write pid file %s: %w", path, err) }
	if err := checkTarget(path); err != nil {
		return fail(err)
	}
	text, err := format(math.MaxInt32) // the longest
	if err != nil {
		return fail(err)
	}
	temp, err := w.writeTemp(path, text, false)
	if err == nil {
		err = w.step("remove", func() error { return os.Remove(temp) })
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

// checkTarget refuses a path that cannot or should not be replaced.
func checkTarget(path string) error {
	if path == "" {
		return fmt.Errorf("no path: %w", fs.ErrInvalid)
	}
	if os.IsPathSeparator(path[len(path)-1]) {
		return fmt.Errorf("name a file, not a directory: %w", ErrNotRegular)
	}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // or its directory is missing, which open reports
	}
	if err != nil {
		return err
	}
	return checkRegular(info)
}

func checkRegular(info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return fmt.Errorf("%w but a directory: name a file in it", ErrNotRegular)
	case mode&fs.ModeSymlink != 0:
		return fmt.Errorf("%w but a symbolic link: use the path that it leads to", ErrNotRegular)
	default:
		return fmt.Errorf("%w but %s: use another path", ErrNotRegular, mode.Type())
	}
}

// writeTemp makes the temporary file, on the disk if sync is set, and returns its
// path, or leaves none.
func (w *writer) writeTemp(path, text string, sync bool) (temp string, err error) {
	var f *os.File
	err = w.step("create", func() error {
		f, err = createTemp(path)
		return err
	})
	if f == nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err == nil {
		err = w.step("write", func() error {
			_, err := f.WriteString(text)
			return err
		})
	}
	if err == nil && sync {
		err = w.step("sync", f.Sync)
	}
	if closed := w.step("close", f.Close); err == nil {
		err = closed
	}
	// After an injected failure the file may still be open; twice does no harm.
	f.Close()
	return f.Name(), err
}

// maxTempName is how much of the file's name its temporary one repeats, so that it
// is not too long where the name itself is not.
const maxTempName = 128

// createTemp opens a new file next to path. It is [os.CreateTemp] but for the
// permissions, which follow the umask.
func createTemp(path string) (*os.File, error) {
	dir, name := filepath.Split(path)
	name = name[:min(len(name), maxTempName)]
	for try := 0; ; try++ {
		temp := dir + "." + name + "-" + strconv.FormatUint(rand.Uint64(), 36) + ".tmp"
		f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
		if err == nil || !errors.Is(err, fs.ErrExist) || try == 100 {
			return f, err
		}
	}
}

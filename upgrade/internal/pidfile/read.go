package pidfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Read returns the number that the file at path holds. Errors wrap
// [fs.ErrNotExist], [ErrMalformed] or [ErrNotRegular], for which it does not wait on a
// pipe or follow a link, or the system's cause. That a process of this number
// runs, or is the service, is another question.
func Read(path string) (int, error) {
	b, err := readRegular(path)
	if err != nil {
		return 0, fmt.Errorf("read pid file %s: %w", path, err)
	}
	pid, err := parse(b)
	if err != nil {
		return 0, fmt.Errorf("read pid file %s: %w", path, err)
	}
	return pid, nil
}

// readRegular reads as much of a regular file as shows what it is.
func readRegular(path string) ([]byte, error) {
	before, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if err := checkRegular(before); err != nil {
		return nil, err
	}
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxLength+1))
}

// openRegular checks again what it has opened: the path may lead to another file
// by now.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = checkRegular(info)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Remove deletes the file at path if it names pid, and reports whether it did. A
// file that is gone, or names another process, as it does once a successor has
// taken over, is left alone without an error. Anything else that [Read] fails
// on is an error, and left alone too.
//
// There is no system call that compares and deletes. If a successor replaces the
// file between the two, its file is deleted: so call Remove only in a process
// that has no successor, or whose successor has been told to end.
func Remove(path string, pid int) (bool, error) {
	named, err := Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("remove: %w", err)
	}
	if named != pid {
		return false, nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("remove pid file: %w", err)
	}
	return true, nil
}

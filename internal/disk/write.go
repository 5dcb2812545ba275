package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// tempMark stands in the names of files that are being written.
const tempMark = ".tmp-"

// ReplaceFile puts a file in place of what is there, so that after a crash at any
// moment the name has the old content or the new one, whole: it creates
// NAME.tmp-N beside it, writes, syncs, renames, and syncs the folder. Once it
// returns nil the new content survives a loss of power.
//
// After an error the old content is there, unless the error wraps [ErrUncertain]:
// then it is the new one.
func ReplaceFile(fsys FS, name string, data []byte, perm fs.FileMode) error {
	if err := put(fsys, name, data, perm, true); err != nil {
		return err
	}
	if err := fsys.SyncDir(path.Dir(name)); err != nil {
		return fmt.Errorf("%w: %w", ErrUncertain, err)
	}
	return nil
}

// PlaceFile is ReplaceFile without the sync of the folder: a loss of power leaves the
// old content or the new one, until [FS.SyncDir] has returned.
func PlaceFile(fsys FS, name string, data []byte, perm fs.FileMode) error {
	return put(fsys, name, data, perm, true)
}

// WriteFileLazy is ReplaceFile without any sync: programs see the old content or
// the new one, but a loss of power may leave anything, an empty file included.
func WriteFileLazy(fsys FS, name string, data []byte, perm fs.FileMode) error {
	return put(fsys, name, data, perm, false)
}

// put writes a temporary file and renames it.
func put(fsys FS, name string, data []byte, perm fs.FileMode, sync bool) error {
	if err := plainOrNone(fsys, name); err != nil {
		return err
	}
	temp, f, err := createTemp(fsys, name, perm)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && sync {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = fsys.Rename(temp, name)
	}
	if err != nil {
		_ = fsys.Remove(temp)
	}
	return err
}

// createTemp creates the first free NAME.tmp-N. A name that a crash has left is
// passed over until RemoveTemps takes it away.
func createTemp(fsys FS, name string, perm fs.FileMode) (string, File, error) {
	for n := 0; ; n++ {
		temp := fmt.Sprint(name, tempMark, n)
		f, err := fsys.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
		if err == nil || n >= 10_000 || !errors.Is(err, fs.ErrExist) {
			return temp, f, err
		}
	}
}

// RemoveTemps removes what a crash during [ReplaceFile] or [WriteFileLazy] has left
// in a folder. Nobody may be writing there at the time.
func RemoveTemps(fsys FS, dir string) error {
	list, err := fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		if !e.Type().IsRegular() || !strings.Contains(e.Name(), tempMark) {
			continue
		}
		if err := fsys.Remove(path.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// plainOrNone returns an error when a name stands for something else than a file.
func plainOrNone(fsys FS, name string) error {
	info, err := fsys.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return Plain(name, info)
}

// ReadFile returns the content of a plain file of at most limit bytes. The error
// wraps [ErrTooLarge] when it has more, and fs.ErrNotExist when there is none.
func ReadFile(fsys FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, &Error{Op: "read", Path: name, Err: fmt.Errorf("%w: %d bytes of at most %d", ErrTooLarge, info.Size(), limit), Hint: "remove it"}
	}
	data := make([]byte, info.Size())
	if n, err := io.ReadFull(f, data); err != nil {
		return nil, Failed("read", name, fmt.Errorf("got %d of %d bytes: %w", n, len(data), err))
	}
	return data, nil
}

// EnsureDir makes a folder unless it is there, so that it survives a loss of
// power, and reports whether it did. The folder that it lies in must exist. When
// that cannot be synced the new one is removed again. One that is there already may
// be left by a process that was killed before the sync: that is not done anew.
func EnsureDir(fsys FS, name string, perm fs.FileMode) (bool, error) {
	info, err := fsys.Lstat(name)
	switch {
	case err == nil && info.IsDir():
		return false, nil
	case err == nil:
		return false, &Error{Op: "open", Path: name, Err: errNotFolder, Hint: "remove it"}
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	if err := fsys.Mkdir(name, perm); err != nil {
		return false, err
	}
	if err := fsys.SyncDir(path.Dir(name)); err != nil {
		_ = fsys.Remove(name)
		return false, err
	}
	return true, nil
}

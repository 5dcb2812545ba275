package disk

import (
	"io/fs"
	"path"
	"slices"
	"sync"
	"sync/atomic"
)

// A NewFile is a file to be written by [PlaceFiles].
type NewFile struct {
	Name string
	Data []byte
	Perm fs.FileMode
}

const (
	together = 64 // files that are open at a time
	parallel = 8  // syncs at a time
)

// PlaceFiles does what [ReplaceFile] does for many files, in less time: all are
// written before the first is synced, so that the file system can commit them
// together, and each folder is synced once. After an error some may be in place and
// others not; none is in place in part. On a [Root] several syncs run at a time; on
// anything else all happens in order, one step after the other.
func PlaceFiles(fsys FS, files []NewFile) error {
	for part := range slices.Chunk(files, together) {
		if err := placeSome(fsys, part); err != nil {
			return err
		}
	}
	var dirs []string
	for _, f := range files {
		if dir := path.Dir(f.Name); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return each(fsys, dirs, fsys.SyncDir)
}

// A draft is a file that has no name of its own yet.
type draft struct {
	to, temp string
	file     File // nil once closed
}

func placeSome(fsys FS, files []NewFile) (err error) {
	drafts := make([]*draft, 0, len(files))
	defer func() {
		if err == nil {
			return
		}
		for _, d := range drafts {
			if d.file != nil {
				_ = d.file.Close()
			}
			if d.temp != "" {
				_ = fsys.Remove(d.temp)
			}
		}
	}()
	for _, f := range files {
		if err := plainOrNone(fsys, f.Name); err != nil {
			return err
		}
		temp, file, err := createTemp(fsys, f.Name, f.Perm)
		if err != nil {
			return err
		}
		drafts = append(drafts, &draft{to: f.Name, temp: temp, file: file})
		if _, err := file.Write(f.Data); err != nil {
			return err
		}
	}
	if err := each(fsys, drafts, func(d *draft) error { return d.file.Sync() }); err != nil {
		return err
	}
	for _, d := range drafts {
		f := d.file
		d.file = nil
		if err := f.Close(); err != nil {
			return err
		}
		if err := fsys.Rename(d.temp, d.to); err != nil {
			return err
		}
		d.temp = ""
	}
	return nil
}

// each runs do for all items and returns the first error. None runs once it has
// returned.
func each[T any](fsys FS, items []T, do func(T) error) error {
	if _, real := fsys.(*Root); !real || len(items) < 2 {
		for _, item := range items {
			if err := do(item); err != nil {
				return err
			}
		}
		return nil
	}
	errs := make([]error, len(items))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(parallel, len(items)) {
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

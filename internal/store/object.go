package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"

	"github.com/theseus-run/theseus/internal/tree"
)

// saveObjects writes the content that is missing, and returns what it has tried
// to write.
func (s *Store) saveObjects(files []*tree.File) ([]*blob, error) {
	var blobs []*blob
	dirs := make(map[string]bool)
	seen := make(map[string]bool, len(files))
	for _, f := range files {
		if seen[f.Digest] {
			continue
		}
		seen[f.Digest] = true
		if !isDigest(f.Digest) {
			return nil, fmt.Errorf("%s: %q is not a sha256 digest", f.Path, f.Digest)
		}
		name := objectName(f.Digest)
		if s.doubtful {
			dirs[path.Dir(name)] = true
		}
		switch info, err := s.disk.root.Lstat(name); {
		case err == nil && !info.Mode().IsRegular():
			return nil, s.disk.plain(name, info)
		case err == nil && info.Size() == int64(len(f.Data)) && !s.bad[f.Digest]:
			continue
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return nil, failed("read", s.disk.name(name), err)
		}
		if tree.Sum(f.Data) != f.Digest {
			return nil, fmt.Errorf("%s: the content does not have the digest %.12s", f.Path, f.Digest)
		}
		blobs = append(blobs, &blob{name: name, data: f.Data, perm: 0o444})
		dirs[path.Dir(name)] = true
		made, err := s.disk.mkdir(path.Dir(name))
		if err != nil {
			return nil, err
		}
		if made || s.doubtful {
			dirs["objects"] = true
		}
	}
	if err := s.disk.place(blobs); err != nil {
		return blobs, err
	}
	if err := s.disk.syncDirs(slices.Sorted(maps.Keys(dirs))); err != nil {
		return blobs, err
	}
	s.doubtful = false
	for _, b := range blobs {
		delete(s.bad, path.Base(path.Dir(b.name))+path.Base(b.name))
	}
	return blobs, nil
}

// object returns the content of e, or why it cannot be had.
func (s *Store) object(e Entry) (data []byte, reason string) {
	data, err := s.disk.read(objectName(e.Digest), e.Size)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, "the file is missing"
	case err != nil:
		if se := (*Error)(nil); errors.As(err, &se) {
			err = se.Err
		}
		return nil, err.Error()
	case tree.Sum(data) != e.Digest:
		return nil, "the content does not have the digest in its name"
	}
	return data, ""
}

// Prune removes the oldest records until keep are left, and the objects that no
// record needs any more. The current generation and those protected are never
// removed; they count. A keep below 1 means 1. While there are records that
// cannot be read no object is removed: one of them may need it.
func (s *Store) Prune(keep int, protect ...int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	current, err := s.Current()
	if err != nil {
		return err
	}
	left := len(s.records)
	var gone bool
	for _, n := range slices.Sorted(maps.Keys(s.records)) {
		if left <= max(keep, 1) {
			break
		}
		if n == current || slices.Contains(protect, n) {
			continue
		}
		if err := s.disk.remove(recordName(n)); err != nil {
			return err
		}
		delete(s.records, n)
		left--
		gone = true
	}
	if !gone || s.unread > 0 {
		return nil
	}
	// The records must be gone for good before what they name is.
	if err := s.disk.syncDirs([]string{"generations"}); err != nil {
		return err
	}
	return s.sweep()
}

// sweep removes the objects that no record names.
func (s *Store) sweep() error {
	needed := make(map[string]bool)
	for _, r := range s.records {
		for _, e := range r.Files {
			needed[e.Digest] = true
		}
	}
	dirs, err := s.disk.list("objects")
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if !dir.IsDir() || len(dir.Name()) != 2 {
			continue
		}
		objects, err := s.disk.list("objects/" + dir.Name())
		if err != nil {
			return err
		}
		for _, o := range objects {
			digest := dir.Name() + o.Name()
			if !isDigest(digest) || needed[digest] {
				continue
			}
			if err := s.disk.remove(objectName(digest)); err != nil {
				return err
			}
			delete(s.bad, digest)
		}
	}
	return nil
}

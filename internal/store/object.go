package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/theseus-run/theseus/internal/disk"
	"github.com/theseus-run/theseus/internal/tree"
	"github.com/theseus-run/theseus/update"
)

// A commit carries content in the journal, in files of at most inlineFile bytes, and
// inlineLimit bytes together. What is beyond that is written and synced before.
const (
	inlineFile  = 64 << 10
	inlineLimit = 512 << 10
)

// newObjects returns the content that the store lacks: what goes with the commit, and
// what is to be synced first. s.mu is held.
func (s *Store) newObjects(files []*tree.File) (inline, large []update.File, err error) {
	room := inlineLimit
	seen := make(map[string]bool, len(files))
	for _, f := range files {
		if seen[f.Digest] {
			continue
		}
		seen[f.Digest] = true
		if !isDigest(f.Digest) {
			return nil, nil, fmt.Errorf("%s: %q is not a sha256 digest", f.Path, f.Digest)
		}
		name := objectName(f.Digest)
		switch info, err := s.fs.Lstat(name); {
		case err == nil && !info.Mode().IsRegular():
			return nil, nil, disk.Plain(s.name(name), info)
		case err == nil && s.refs[f.Digest] > 0 && info.Size() == int64(len(f.Data)) && !s.bad[f.Digest]:
			continue // a commit has brought it
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return nil, nil, err
		}
		if tree.Sum(f.Data) != f.Digest {
			return nil, nil, fmt.Errorf("%s: the content does not have the digest %.12s", f.Path, f.Digest)
		}
		file := update.File{Name: name, Data: f.Data, Perm: 0o444}
		if len(f.Data) > min(room, inlineFile) {
			large = append(large, file)
			continue
		}
		room -= len(f.Data)
		inline = append(inline, file)
	}
	return inline, large, nil
}

// place writes and syncs content that is too large for the journal.
func (s *Store) place(large []update.File) error {
	for _, f := range large {
		if err := s.mkdir(f.Name[:len("objects/ab")]); err != nil {
			return err
		}
		if err := disk.ReplaceFile(s.fs, f.Name, f.Data, fs.FileMode(f.Perm)); err != nil {
			return err
		}
	}
	return nil
}

// read returns the content of a file of the store.
func (s *Store) read(name string, limit int64) ([]byte, error) {
	if f, ok := s.overlay[name]; ok && int64(len(f.Data)) <= limit {
		return f.Data, nil
	}
	return disk.ReadFile(s.fs, name, limit)
}

// object returns the content of e, or why it cannot be had.
func (s *Store) object(e Entry) (data []byte, reason string) {
	data, err := s.read(objectName(e.Digest), e.Size)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, "the file is missing"
	case err != nil:
		if se := (*Error)(nil); errors.As(err, &se) {
			err = se.Err
		}
		return nil, err.Error()
	case int64(len(data)) != e.Size || tree.Sum(data) != e.Digest:
		return nil, "the content does not have the digest in its name"
	}
	return data, ""
}

// Retain says how many generations are kept from the next commit on, below 1 means
// 1, and until it is called all; and which of them in any case. What serves, is
// permanent, or the anchor is kept too; all count.
func (s *Store) Retain(keep int, protect ...int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep, s.protect = max(keep, 1), slices.Clone(protect)
}

// garbage returns the records beyond those to be kept, and the objects that no
// record needs any more; also what a commit before should have removed and, since it
// failed, has not.
func (s *Store) garbage(m *update.Machine) []string {
	if s.opening.Load() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	needed := append(needed(m), s.protect...)
	for _, name := range slices.Sorted(maps.Keys(s.owed)) {
		if s.paid(name, s.owed[name]) {
			delete(s.owed, name)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(s.records)) {
		if len(s.records) <= s.keep {
			break
		}
		if slices.Contains(needed, n) {
			continue
		}
		s.owe(s.discard(n))
	}
	for name := range s.owed {
		s.owed[name] = true
	}
	return slices.Sorted(maps.Keys(s.owed))
}

// owe notes files that the next commit is to remove.
func (s *Store) owe(names []string) {
	if s.owed == nil {
		s.owed = make(map[string]bool)
	}
	for _, name := range names {
		s.owed[name] = false
	}
}

// paid reports whether a file that is to be removed is needed again, or gone since a
// commit was told to remove it; before, the journal may still bring it.
func (s *Store) paid(name string, told bool) bool {
	if digest := strings.ReplaceAll(strings.TrimPrefix(name, "objects/"), "/", ""); s.refs[digest] > 0 {
		return true
	}
	_, err := s.fs.Lstat(name)
	return told && errors.Is(err, fs.ErrNotExist)
}

// dropUnfinished removes the latest generations if they lack a file: a commit that was
// cut off has left them, and nobody has seen them.
func (s *Store) dropUnfinished() {
	needed := needed(s.ledger.Machine())
	numbers := slices.Sorted(maps.Keys(s.records))
	for _, n := range slices.Backward(numbers) {
		missing := func(e Entry) bool {
			_, err := s.fs.Lstat(objectName(e.Digest))
			return errors.Is(err, fs.ErrNotExist)
		}
		if slices.Contains(needed, n) || !slices.ContainsFunc(s.records[n].Files, missing) || s.fs.Remove(recordName(n)) != nil {
			return
		}
		s.ledger.Forget([]string{recordName(n)})
		s.forget(n)
	}
}

// sweep removes the objects that no record names, which a crash has left. What
// cannot be removed is in nobody's way.
func (s *Store) sweep() {
	if s.unread > 0 {
		return
	}
	for _, name := range s.orphans() {
		_ = s.fs.Remove(name)
	}
}

// orphans returns the objects that no record names, and files that were not
// finished.
func (s *Store) orphans() (names []string) {
	dirs, err := s.fs.ReadDir("objects")
	if err != nil {
		return nil
	}
	for _, dir := range dirs {
		if !dir.IsDir() || len(dir.Name()) != 2 {
			continue
		}
		objects, err := s.fs.ReadDir("objects/" + dir.Name())
		if err != nil {
			continue
		}
		for _, o := range objects {
			digest := dir.Name() + o.Name()
			if len(digest) >= 64 && isDigest(digest[:64]) && s.refs[digest] == 0 {
				names = append(names, "objects/"+dir.Name()+"/"+o.Name())
			}
		}
	}
	return names
}

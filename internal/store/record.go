package store

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/theseus-run/theseus/internal/tree"
)

// A Record describes one generation. In generations/ it stands as JSON with the
// names given here and "format", the version of the record.
type Record struct {
	Number  int       `json:"number"` // from 1; never used twice
	Digest  string    `json:"digest"` // of the tree
	Created time.Time `json:"created"`
	Update  string    `json:"update,omitempty"` // id of the update that made it
	Trigger string    `json:"trigger,omitempty"`
	Message string    `json:"message,omitempty"`
	Units   int       `json:"units"`
	Carried int       `json:"carried"` // units carried over from the generation before
	Tests   int       `json:"tests"`
	Files   []Entry   `json:"files"` // sorted by path; must not be changed
}

// An Entry is one file of a generation.
type Entry struct {
	Path   string `json:"path"`
	Digest string `json:"digest"` // sha256, 64 hex digits; names the object
	Size   int64  `json:"size"`
}

type recordFile struct {
	Format int `json:"format"`
	Record
}

const (
	maxRecord = 32 << 20
	maxObject = 1 << 30
)

// Next returns the number for the next generation. It is higher than any that is
// or was kept under the current history.
func (s *Store) Next() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last + 1
}

// List returns the records that can be read, sorted by number.
func (s *Store) List() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.records), func(a, b Record) int { return a.Number - b.Number })
}

// Record returns the record of generation n; the error wraps [ErrNotFound] when
// there is none.
func (s *Store) Record(n int) (Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record(n)
}

func (s *Store) record(n int) (Record, error) {
	if r, ok := s.records[n]; ok {
		return r, nil
	}
	return Record{}, fmt.Errorf("generation %d: %w", n, ErrNotFound)
}

// Save writes the files of t that the store lacks, then the record, and returns
// when both would survive a loss of power. Digest and Files are filled in from t,
// Created when it is zero. The generation is not made current.
//
// When Save fails nothing is kept of it: neither record nor half a file.
func (s *Store) Save(r Record, t *tree.Tree) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	if _, taken := s.records[r.Number]; taken || r.Number < 1 {
		return fmt.Errorf("save generation %d: the number is taken or below 1; the next is %d", r.Number, s.last+1)
	}
	if err := s.disk.regular(recordName(r.Number)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("save generation %d: %s is there already; the next is %d", r.Number, s.disk.name(recordName(r.Number)), s.last+1)
	}
	if r.Digest != "" && r.Digest != t.Digest() {
		return fmt.Errorf("save generation %d: the record is about the tree %.12s, not %.12s", r.Number, r.Digest, t.Digest())
	}
	files := t.Files()
	r.Digest, r.Files = t.Digest(), make([]Entry, len(files))
	for i, f := range files {
		r.Files[i] = Entry{Path: f.Path, Digest: f.Digest, Size: int64(len(f.Data))}
	}
	if r.Created.IsZero() {
		r.Created = time.Now()
	}
	r.Created = r.Created.Round(0).UTC()
	if err := s.save(r, files); err != nil {
		return fmt.Errorf("save generation %d: %w", r.Number, err)
	}
	s.records[r.Number] = r
	s.last = max(s.last, r.Number)
	return nil
}

func (s *Store) save(r Record, files []*tree.File) error {
	text, err := json.MarshalIndent(recordFile{Format: format, Record: r}, "", " ")
	if err != nil {
		return err
	}
	blobs, err := s.saveObjects(files)
	if err == nil {
		if err = s.disk.replace(recordName(r.Number), append(text, '\n'), 0o444); err == nil {
			return nil
		}
		s.disk.root.Remove(recordName(r.Number)) // renamed, but its folder not synced
	}
	for _, b := range blobs {
		s.disk.root.Remove(b.name)
	}
	return err
}

// Load returns generation n with all its files. Every file is checked against its
// digest: a [*CorruptError] says which one is damaged or missing. The error wraps
// [ErrNotFound] when there is no such generation.
func (s *Store) Load(n int) (Record, *tree.Tree, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return Record{}, nil, ErrClosed
	}
	r, err := s.record(n)
	if err != nil {
		return Record{}, nil, err
	}
	files := make([]*tree.File, len(r.Files))
	for i, e := range r.Files {
		data, reason := s.object(e)
		if reason != "" {
			s.bad[e.Digest] = true
			return Record{}, nil, &CorruptError{Generation: n, Path: e.Path, Object: s.disk.name(objectName(e.Digest)), Reason: reason}
		}
		files[i] = &tree.File{Path: e.Path, Digest: e.Digest, Data: data}
	}
	damaged := &CorruptError{Generation: n, Object: s.disk.name(recordName(n))}
	t, err := tree.New(files)
	if err != nil {
		damaged.Reason = err.Error()
		return Record{}, nil, damaged
	}
	if t.Digest() != r.Digest {
		damaged.Reason = fmt.Sprintf("its files make up the tree %.12s, not %.12s", t.Digest(), r.Digest)
		return Record{}, nil, damaged
	}
	return r, t, nil
}

// readRecord reads and checks the record of generation n.
func (s *Store) readRecord(n int) (Record, error) {
	data, err := s.disk.read(recordName(n), maxRecord)
	if err != nil {
		return Record{}, err
	}
	r, err := parseRecord(data)
	if err == nil && r.Number != n {
		err = fmt.Errorf("the record is damaged: it is about generation %d", r.Number)
	}
	if err != nil {
		return Record{}, &Error{Op: "read", Path: s.disk.name(recordName(n)), Err: err, Hint: "the generation cannot be used; remove the file"}
	}
	return r, nil
}

func parseRecord(data []byte) (Record, error) {
	var version struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return Record{}, fmt.Errorf("the record is damaged: %w", err)
	}
	if version.Format > format {
		return Record{}, fmt.Errorf("%w: it has format %d, this theseus reads up to %d", ErrNewer, version.Format, format)
	}
	var r recordFile
	if err := json.Unmarshal(data, &r); err != nil {
		return Record{}, fmt.Errorf("the record is damaged: %w", err)
	}
	if version.Format < 1 || r.Number < 1 || !isDigest(r.Digest) {
		return Record{}, errors.New("the record is damaged: format, number or digest is missing")
	}
	for _, e := range r.Files {
		if !isDigest(e.Digest) || e.Size < 0 || e.Size > maxObject {
			return Record{}, fmt.Errorf("the record is damaged: no valid digest and size of %q", e.Path)
		}
	}
	return r.Record, nil
}

// isDigest reports whether s can name an object; it goes into a path.
func isDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && hex.EncodeToString(b) == s
}

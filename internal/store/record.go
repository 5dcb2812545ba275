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

	"github.com/theseus-run/theseus/internal/executable"
	"github.com/theseus-run/theseus/internal/tree"
	"github.com/theseus-run/theseus/update"
)

// A Record describes one generation. In generations/ it stands as JSON with the
// names given here and "format", the version of the record.
type Record struct {
	Number  int       `json:"number"` // from 1; never used twice
	Digest  string    `json:"digest"` // of the tree
	Created time.Time `json:"created"`
	Update  string    `json:"update,omitempty"` // id of the update that made it
	Trigger string    `json:"trigger,omitempty"`
	Who     string    `json:"who,omitempty"` // on whose behalf
	Message string    `json:"message,omitempty"`
	Units   int       `json:"units"`
	Carried int       `json:"carried"` // units carried over from the generation before
	Tests   int       `json:"tests"`
	Counter int64     `json:"counter,omitempty"` // the rollback counter that it states
	Files   []Entry   `json:"files"`             // sorted by path; must not be changed

	// Program made it; nil if that is not known.
	Program *executable.Fingerprint `json:"program,omitempty"`
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
	recordFormat = 1

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

// Save prepares generation r.Number of the files of t: it writes what is too large
// for the journal, and returns the rest, which is to go with the commit that makes
// the generation live. Digest and Files are filled in from t, Created when it is
// zero. A generation that does not become live is to be dropped by [Store.Drop].
//
// When Save fails nothing is kept of it.
func (s *Store) Save(r Record, t *tree.Tree) ([]update.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(); err != nil {
		return nil, err
	}
	if _, taken := s.records[r.Number]; taken || r.Number < 1 {
		return nil, fmt.Errorf("save generation %d: the number is taken or below 1; the next is %d", r.Number, s.last+1)
	}
	if _, err := s.fs.Lstat(recordName(r.Number)); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("save generation %d: %s is there already; the next is %d", r.Number, s.name(recordName(r.Number)), s.last+1)
	}
	if r.Digest != "" && r.Digest != t.Digest() {
		return nil, fmt.Errorf("save generation %d: the record is about the tree %.12s, not %.12s", r.Number, r.Digest, t.Digest())
	}
	files := t.Files()
	r.Digest, r.Files = t.Digest(), make([]Entry, len(files))
	for i, f := range files {
		r.Files[i] = Entry{Path: f.Path, Digest: f.Digest, Size: int64(len(f.Data))}
	}
	if r.Created.IsZero() {
		r.Created = s.now()
	}
	r.Created = r.Created.Round(0).UTC()
	out, err := s.save(r, files)
	if err != nil {
		return nil, fmt.Errorf("save generation %d: %w", r.Number, err)
	}
	for _, f := range files {
		delete(s.bad, f.Digest)
	}
	s.add(r)
	return out, nil
}

func (s *Store) save(r Record, files []*tree.File) ([]update.File, error) {
	text, err := json.MarshalIndent(recordFile{Format: recordFormat, Record: r}, "", " ")
	if err != nil {
		return nil, err
	}
	inline, large, err := s.newObjects(files)
	if err != nil {
		return nil, err
	}
	record := update.File{Name: recordName(r.Number), Data: append(text, '\n'), Perm: 0o444}
	if err := s.place(large); err != nil {
		for _, f := range large {
			_ = s.fs.Remove(f.Name)
		}
		return nil, err
	}
	return append(inline, record), nil
}

// Drop takes back a generation that was saved and has not become live.
func (s *Store) Drop(n int) {
	s.mu.Lock()
	err, l := s.writable(), s.ledger
	s.mu.Unlock()
	if err != nil {
		return
	}
	s.mu.Lock()
	names := s.discard(n)
	s.mu.Unlock() // the ledger's lock comes before
	brought := l.Forget(names)
	s.mu.Lock()
	defer s.mu.Unlock()
	// A commit failed: the journal may have it all the same, and write it again. Or a
	// record that is still to be removed has such an object.
	later := brought || len(s.owed) > 0
	if later {
		s.owe(names)
	}
	// The record must not come back without its objects, as a loss of power may have it.
	if s.fs.Remove(names[0]) == nil && s.fs.SyncDir("generations") != nil || later {
		return
	}
	for _, name := range names[1:] {
		_ = s.fs.Remove(name)
	}
}

// discard takes a record away, and returns the files that nothing needs any more.
// While there are records that cannot be read no object is among them: one may need it.
func (s *Store) discard(n int) (names []string) {
	unused := s.forget(n)
	names = append(names, recordName(n))
	if s.unread > 0 {
		return names
	}
	for _, digest := range unused {
		delete(s.bad, digest)
		names = append(names, objectName(digest))
	}
	return names
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
			return Record{}, nil, &CorruptError{Generation: n, Path: e.Path, Object: s.name(objectName(e.Digest)), Reason: reason}
		}
		files[i] = &tree.File{Path: e.Path, Digest: e.Digest, Data: data}
	}
	damaged := &CorruptError{Generation: n, Object: s.name(recordName(n))}
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
	data, err := s.read(recordName(n), maxRecord)
	if err != nil {
		return Record{}, err
	}
	r, err := parseRecord(data)
	if err == nil && r.Number != n {
		err = fmt.Errorf("the record is damaged: it is about generation %d", r.Number)
	}
	if err != nil {
		return Record{}, &Error{Op: "read", Path: s.name(recordName(n)), Err: err, Hint: "the generation cannot be used; remove the file"}
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
	if version.Format > recordFormat {
		return Record{}, fmt.Errorf("%w: it has format %d, this theseus reads up to %d", ErrNewer, version.Format, recordFormat)
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

package kv

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"time"
)

// A line is the form of a key in an export: one JSON object.
type line struct {
	Key     string  `json:"k"`
	Text    *string `json:"v,omitempty"` // the value's JSON text; absent for a key that is gone
	Expires int64   `json:"x,omitempty"` // by the wall clock, in nanoseconds since 1970; 0 for never
}

// Export writes all keys with their values and times to live, for Import in
// another process. What is written is the content at one moment; to others the
// store stays open meanwhile. It returns that content, to compare with later.
func (s *Store) Export(w io.Writer) (*Store, error) {
	f := s.Fork()
	return f, f.write(w, nil)
}

// ExportChanges writes what has changed since base, a result of Export or Fork.
// It takes time for what was written to, not for what the store holds.
func (s *Store) ExportChanges(w io.Writer, base *Store) error { return s.Fork().write(w, base) }

// write writes the content of a fork that nobody else has, without what is the
// same in base.
func (s *Store) write(w io.Writer, base *Store) error {
	buf := bufio.NewWriterSize(w, 64<<10)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	now, wall := s.now(), time.Now()
	for i := range s.parts {
		var old map[string]entry
		if base != nil {
			if old = base.parts[i].m; oneMap(old, s.parts[i].m) {
				continue
			}
		}
		for k, e := range s.parts[i].m {
			if was, ok := old[k]; e.gone(now) || ok && was.expires == e.expires && bytes.Equal(was.text, e.text) {
				continue
			}
			text := string(e.text)
			l := line{Key: k, Text: &text}
			if e.expires != 0 {
				l.Expires = wall.Add(e.expires - now).UnixNano()
			}
			if err := enc.Encode(l); err != nil {
				return err
			}
		}
		for k := range old {
			if e, ok := s.parts[i].m[k]; ok && !e.gone(now) {
				continue
			}
			if err := enc.Encode(line{Key: k}); err != nil {
				return err
			}
		}
	}
	return buf.Flush()
}

// oneMap reports whether two maps are one.
func oneMap(a, b map[string]entry) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// Import applies what Export or ExportChanges wrote. Keys whose time has passed
// meanwhile are left out. An error, which is one of Set's or about the form, means
// that nothing has changed.
func (s *Store) Import(r io.Reader) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.fork()
	dec := json.NewDecoder(r)
	for n := 1; ; n++ {
		var l line
		switch err := dec.Decode(&l); {
		case errors.Is(err, io.EOF):
			s.parts, s.keys, s.bytes, s.mayGo, s.next = next.parts, next.keys, next.bytes, next.mayGo, next.next
			return nil
		case err != nil:
			return fmt.Errorf("import kv, entry %d: %w", n, err)
		}
		if err := next.importLine(l); err != nil {
			return fmt.Errorf("import kv, entry %d: %w", n, err)
		}
	}
}

func (s *Store) importLine(l line) error {
	if l.Text == nil {
		s.remove(l.Key)
		return nil
	}
	text := []byte(*l.Text)
	if err := s.check(l.Key, text); err != nil {
		return err
	}
	var expires time.Duration
	if l.Expires != 0 {
		left := time.Until(time.Unix(0, l.Expires))
		if left <= 0 {
			s.remove(l.Key)
			return nil
		}
		now := s.now()
		expires = now + min(left, math.MaxInt64-now)
	}
	return s.put(l.Key, text, expires)
}

package kv

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	var b Batch
	dec := json.NewDecoder(r)
	for n := 1; ; n++ {
		var l line
		err := dec.Decode(&l)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = b.line(s, l)
		}
		if err != nil {
			return fmt.Errorf("import kv, entry %d: %w", n, err)
		}
	}
	if err := s.Apply(&b); err != nil {
		return fmt.Errorf("import kv: %w", err)
	}
	return nil
}

// line adds a line of an export.
func (b *Batch) line(s *Store, l line) error {
	if l.Text == nil {
		b.Delete(l.Key)
		return nil
	}
	text := []byte(*l.Text)
	if err := s.check(l.Key, text); err != nil {
		return err
	}
	if l.Expires == 0 {
		b.Set(l.Key, text, 0)
		return nil
	}
	b.setUntil(l.Key, text, time.Now().Add(time.Until(time.Unix(0, l.Expires))))
	return nil
}

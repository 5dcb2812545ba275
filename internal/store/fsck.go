package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/theseus-run/theseus/update"
)

// A Finding is something that [Store.Check] found.
type Finding struct {
	Path   string `json:"path"`             // the file
	What   string `json:"what"`             // what is wrong with it
	Needed bool   `json:"needed"`           // what serves, is permanent or the anchor needs it
	Repair string `json:"repair,omitempty"` // what [Store.Repair], or a person, can do about it
}

// A Health is what Check found.
type Health struct {
	OK          bool           `json:"ok"` // no findings
	State       string         `json:"state"`
	Live        update.Version `json:"live"`
	Permanent   update.Version `json:"permanent"`
	Anchor      update.Version `json:"anchor"`
	Generations int            `json:"generations"`
	Objects     int            `json:"objects"`
	Bytes       int64          `json:"bytes"` // of all objects that are named
	Orphans     int            `json:"orphans"`
	Findings    []Finding      `json:"findings"`
}

// Check looks at everything the store should have. Full also reads every object and
// compares it with its digest; otherwise their sizes are looked at. What it finds
// damaged is written anew when a generation with that content is saved.
func (s *Store) Check(full bool) Health {
	m := s.Machine()
	slot := m.Slot(AppSlot)
	s.mu.Lock()
	defer s.mu.Unlock()
	h := Health{State: m.State(), Live: slot.Live, Permanent: slot.Permanent, Anchor: slot.Anchor, Generations: len(s.records),
		Objects: len(s.refs), Orphans: len(s.orphans()), Findings: []Finding{}}
	for _, p := range s.problems {
		f := Finding{Path: s.dir, What: p.Error(), Repair: "theseus fsck --repair"}
		if e, ok := p.(*Error); ok {
			f.Path, f.What = e.Path, e.Err.Error()
		}
		h.Findings = append(h.Findings, f)
	}
	needed := needed(m)
	seen := make(map[string]bool)
	for _, n := range slices.Sorted(maps.Keys(s.records)) {
		for _, e := range s.records[n].Files {
			if seen[e.Digest] {
				continue
			}
			seen[e.Digest] = true
			h.Bytes += e.Size
			if why := s.verify(e, full); why != "" {
				s.bad[e.Digest] = true // Save is to write it anew
				f := Finding{Path: s.name(objectName(e.Digest)), What: fmt.Sprintf("generation %d: %s: %s", n, e.Path, why), Needed: slices.Contains(needed, n)}
				f.Repair = "theseus fsck --repair drops the generation"
				if f.Needed {
					f.Repair = "apply the same files again, which writes it anew"
				}
				h.Findings = append(h.Findings, f)
			}
		}
	}
	h.OK = len(h.Findings) == 0
	return h
}

// Verify reads generation n whole, beside what else goes on, and returns what is
// damaged of it. A tree that is saved afterwards writes anew what it shares with that.
func (s *Store) Verify(n int) []error {
	r, err := s.Record(n)
	if err != nil {
		return []error{err}
	}
	var damaged []error
	for _, e := range r.Files {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return []error{ErrClosed}
		}
		_, reason := s.object(e)
		if reason != "" {
			s.bad[e.Digest] = true
			damaged = append(damaged, &CorruptError{Generation: n, Path: e.Path, Object: s.name(objectName(e.Digest)), Reason: reason})
		}
		s.mu.Unlock()
	}
	return damaged
}

// verify says what is wrong with an object; empty for nothing.
func (s *Store) verify(e Entry, full bool) string {
	if full {
		_, why := s.object(e)
		return why
	}
	if _, ok := s.overlay[objectName(e.Digest)]; ok {
		return ""
	}
	info, err := s.fs.Lstat(objectName(e.Digest))
	switch {
	case err != nil:
		return "the file is missing"
	case !info.Mode().IsRegular() || info.Size() != e.Size:
		return fmt.Sprintf("it has %d bytes, not %d", info.Size(), e.Size)
	}
	return ""
}

// Repair drops generations that cannot be loaded and that nothing needs, records
// that cannot be read, and what no record names. What is left is what Check finds
// then.
func (s *Store) Repair() error {
	needed := needed(s.Machine())
	s.mu.Lock()
	err, l := s.writable(), s.ledger
	var damaged []int
	var names []string
	for _, n := range slices.Sorted(maps.Keys(s.records)) {
		if !slices.Contains(needed, n) && slices.ContainsFunc(s.records[n].Files, func(e Entry) bool { return s.verify(e, true) != "" }) {
			damaged, names = append(damaged, n), append(names, recordName(n))
		}
	}
	s.mu.Unlock() // the ledger's lock comes before
	if err != nil {
		return err
	}
	if l.Forget(names) { // it would write them again
		if err := l.Renew(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range damaged {
		if err := s.fs.Remove(recordName(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		s.forget(n)
	}
	if err := s.dropUnreadable(needed); err != nil {
		return err
	}
	s.sweep()
	s.problems = nil
	s.checkPointers()
	return s.fs.SyncDir("generations")
}

// dropUnreadable removes records that cannot be read.
func (s *Store) dropUnreadable(needed []int) error {
	files, err := s.recordFiles()
	if err != nil {
		return err
	}
	s.unread = 0
	for _, file := range files {
		n, ok := recordNumber(file)
		if _, known := s.records[n]; known || !ok {
			continue
		}
		if slices.Contains(needed, n) {
			s.unread++ // its objects may still be of use to somebody
			continue
		}
		if err := s.fs.Remove("generations/" + file); err != nil {
			return err
		}
	}
	return nil
}

package kv

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"time"
	"unicode/utf8"
)

// A Batch is several changes to be made together by [Store.Apply]: all or none,
// for every other caller and after every crash. The zero value is empty. It is not
// safe for concurrent use.
type Batch struct {
	items  []item
	expect map[string]uint64
}

// An item is a change whose time is not yet known.
type item struct {
	change
	ttl   time.Duration
	until time.Time // in place of ttl, unless zero
	keep  bool      // in place of both: the time that the key has
}

// Set adds what [Store.Set] does. The value must not be changed any more.
func (b *Batch) Set(key string, value []byte, ttl time.Duration) {
	b.items = append(b.items, item{change: change{op: opSet, key: key, text: value}, ttl: ttl})
}

func (b *Batch) setUntil(key string, value []byte, until time.Time) {
	b.items = append(b.items, item{change: change{op: opSet, key: key, text: value}, until: until})
}

// Replace adds that a key gets another value and keeps its time to live. A key that
// is not there any more stays so.
func (b *Batch) Replace(key string, value []byte) {
	b.items = append(b.items, item{change: change{op: opSet, key: key, text: value}, keep: true})
}

// Delete adds the removal of a key, which need not be there.
func (b *Batch) Delete(key string) {
	b.items = append(b.items, item{change: change{op: opDelete, key: key}})
}

// SetVersion adds that the schema called name has this version from then on; 0
// forgets it.
func (b *Batch) SetVersion(name string, version uint64) {
	b.items = append(b.items, item{change: change{op: opVersion, key: name, number: version}})
}

// Expect makes Apply fail with ErrConflict unless the schema called name has this
// version at that moment.
func (b *Batch) Expect(name string, version uint64) {
	if b.expect == nil {
		b.expect = make(map[string]uint64)
	}
	b.expect[name] = version
}

// Len returns how many changes the batch has.
func (b *Batch) Len() int { return len(b.items) }

// Keys returns the keys that the batch sets or deletes, in its order.
func (b *Batch) Keys() []string {
	var keys []string
	for _, it := range b.items {
		if it.op != opVersion {
			keys = append(keys, it.key)
		}
	}
	return keys
}

// Limits of the versions of schemas.
const (
	maxName     = 128   // bytes
	maxVersions = 1_000 // names
)

// Version returns the version of the schema called name; 0 when none was set.
func (s *Store) Version(name string) uint64 { return s.Versions()[name] }

// Versions returns the versions of all schemas by name.
func (s *Store) Versions() map[string]uint64 {
	_ = s.fresh()
	s.mu.RLock()
	defer s.mu.RUnlock()
	return maps.Clone(s.versions)
}

// Apply makes all changes of the batch, in their order, or none: after an error
// nothing has changed. The errors are those of Set, and ErrConflict. The limits
// count for the outcome, not for the steps to it.
func (s *Store) Apply(b *Batch) error {
	for i := range b.items {
		if err := s.checkItem(&b.items[i]); err != nil {
			return err
		}
	}
	if err := s.begin(); err != nil {
		return err
	}
	defer s.end()
	for name, want := range b.expect {
		if got := s.versions[name]; got != want {
			return fmt.Errorf("schema %q has version %d, not %d: %w", show(name), got, want, ErrConflict)
		}
	}
	changes := s.settle(b.items)
	if err := s.roomFor(changes); err != nil {
		s.expire()
		if err = s.roomFor(changes); err != nil {
			return err
		}
	}
	if len(changes) == 0 {
		return nil
	}
	return s.commit(changes)
}

func (s *Store) checkItem(it *item) error {
	switch {
	case it.op == opVersion && (it.key == "" || len(it.key) > maxName || !utf8.ValidString(it.key)):
		return invalid("the name of a schema has 1 to %d bytes of UTF-8, not %q", maxName, show(it.key))
	case it.op == opVersion:
		return nil
	case it.op == opDelete:
		return s.check(it.key, nil)
	case it.ttl < 0:
		return invalid("the time to live of key %q is negative: %v", show(it.key), it.ttl)
	}
	return s.check(it.key, it.text)
}

// settle makes changes of the items. s.w is held.
func (s *Store) settle(items []item) []change {
	changes := make([]change, 0, len(items))
	for _, it := range items {
		c := it.change
		switch {
		case it.keep:
			if e, ok := s.find(c.key); !ok || isNull(c.text) {
				c = change{op: opDelete, key: c.key}
			} else {
				c.text, c.expires = bytes.Clone(c.text), e.expires
			}
		case c.op == opSet:
			ttl := it.ttl
			if !it.until.IsZero() {
				ttl = time.Until(it.until)
			}
			if isNull(c.text) || !it.until.IsZero() && ttl <= 0 {
				c = change{op: opDelete, key: c.key}
			} else {
				c.text, c.expires = bytes.Clone(c.text), s.until(ttl)
			}
		}
		changes = append(changes, c)
	}
	return changes
}

// roomFor reports, as an error, whether there is none for what the changes come to.
// s.w is held.
func (s *Store) roomFor(changes []change) error {
	const none = -1
	sizes := make(map[string]int, len(changes)) // of what is there at the end
	names := maps.Clone(s.versions)
	var key string // the last that is added
	for _, c := range changes {
		switch c.op {
		case opSet:
			sizes[c.key] = len(c.key) + len(c.text)
			key = c.key
		case opDelete:
			sizes[c.key] = none
		case opVersion:
			if names == nil {
				names = make(map[string]uint64)
			}
			names[c.key] = c.number
		}
	}
	keys, size := s.keys, s.bytes
	for k, n := range sizes {
		if e, ok := s.part(k).m[k]; ok {
			keys--
			size -= int64(len(k) + len(e.text))
		}
		if n != none {
			keys++
			size += int64(n)
		}
	}
	switch {
	case key == "": // only what makes room
	case keys > s.opt.MaxKeys:
		return &LimitError{Limit: "keys", Key: key, Size: int64(keys), Max: int64(s.opt.MaxKeys)}
	case size > s.opt.MaxTotal:
		return &LimitError{Limit: "total", Key: key, Size: size, Max: s.opt.MaxTotal}
	}
	if len(names) > maxVersions && len(names) > len(s.versions) {
		return invalid("there are %d schemas with a version; at most %d can be", len(names), maxVersions)
	}
	return nil
}

// Diff returns what makes base, a store or an earlier [Store.Fork] of one, the same
// as next: for a migration that was tried on a fork. It takes time for what was
// written to, not for what the stores hold.
func Diff(base, next *Store) *Batch {
	base, next = base.Fork(), next.Fork()
	b := &Batch{}
	now := time.Now()
	for i := range next.parts {
		old := base.parts[i].m
		if oneMap(old, next.parts[i].m) {
			continue
		}
		if base.seed != next.seed {
			old = nil // cut differently; see below
		}
		for k, e := range next.parts[i].m {
			if e.gone(next.now()) {
				continue
			}
			if was, ok := old[k]; ok && was.expires == e.expires && bytes.Equal(was.text, e.text) {
				continue
			}
			if e.expires == 0 {
				b.Set(k, e.text, 0)
			} else {
				b.setUntil(k, e.text, now.Add(e.expires-next.now()))
			}
		}
	}
	for i := range base.parts {
		if oneMap(base.parts[i].m, next.parts[i].m) {
			continue
		}
		for k := range base.parts[i].m {
			if _, ok := next.find(k); !ok {
				b.Delete(k)
			}
		}
	}
	for name, v := range next.versions {
		if base.versions[name] != v {
			b.SetVersion(name, v)
		}
	}
	for name := range base.versions {
		if _, ok := next.versions[name]; !ok {
			b.SetVersion(name, 0)
		}
	}
	return b
}

// oneMap reports whether two maps are one.
func oneMap(a, b map[string]entry) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

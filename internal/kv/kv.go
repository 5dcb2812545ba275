// Package kv is the data that the scripts of an app share: JSON texts by key,
// in memory, with limits and times to live. It outlives generations.
//
// Start with [New]. All methods are safe for concurrent use and each is atomic.
//
// The value null is absence: storing null deletes the key, and a key that is
// not there has the value null. Values are kept as the text they came as.
//
// A key whose time has passed is gone for every method at once. Its memory is
// given back a little with each write and, before a write is refused for want
// of room, as a whole; there is no goroutine.
package kv

import (
	"bytes"
	"encoding/json"
	"hash/maphash"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Options configures a [Store]. A zero field takes its default.
type Options struct {
	MaxValue int64 // bytes of one value; zero means 64 KiB
	MaxTotal int64 // bytes of all keys and values; zero means 64 MiB
	MaxKeys  int   // zero means 100,000
}

// maxKey is the longest key, in bytes.
const maxKey = 512

const (
	// shards is how many parts a store is cut into. A part that a fork shares is
	// copied when it is written to.
	shards = 256

	// sweepPerWrite is how many keys each write looks at for their time.
	sweepPerWrite = 8
)

// A Store holds the data. Make one with [New].
type Store struct {
	opt   Options
	seed  maphash.Seed
	start time.Time // times in entries count from here, by the monotonic clock

	mu    sync.RWMutex
	parts [shards]part
	keys  int
	bytes int64
	mayGo time.Duration // no key expires before; 0 when none does at all
	next  int           // the part that the next write sweeps
}

// part is a map that may be shared with forks.
type part struct {
	m      map[string]entry
	shared bool // the map is another store's too: copy before writing
}

// entry is a value. Its text is never changed in place.
type entry struct {
	text    []byte
	expires time.Duration // since Store.start; 0 for never
}

// New returns an empty store.
func New(opt Options) *Store {
	if opt.MaxValue <= 0 {
		opt.MaxValue = 64 << 10
	}
	if opt.MaxTotal <= 0 {
		opt.MaxTotal = 64 << 20
	}
	if opt.MaxKeys <= 0 {
		opt.MaxKeys = 100_000
	}
	return &Store{opt: opt, seed: maphash.MakeSeed(), start: time.Now()}
}

// Fork returns a store with the same content and limits. What one of them
// changes the other does not see. It takes microseconds whatever the size: the
// parts are copied as they are written to.
func (s *Store) Fork() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fork()
}

// fork is Fork with s.mu held.
func (s *Store) fork() *Store {
	f := &Store{opt: s.opt, seed: s.seed, start: s.start, keys: s.keys, bytes: s.bytes, mayGo: s.mayGo}
	for i := range s.parts {
		s.parts[i].shared = true
		f.parts[i] = s.parts[i]
	}
	return f
}

// Get returns a copy of the key's value, and whether it is there.
func (s *Store) Get(key string) ([]byte, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, ok := s.find(key)
	return bytes.Clone(e.text), ok
}

// Set stores a JSON text. It is gone after ttl; zero keeps it for good, whatever
// it was before. The error is a *LimitError or wraps ErrInvalid.
func (s *Store) Set(key string, value []byte, ttl time.Duration) error {
	if err := s.check(key, value); err != nil {
		return err
	}
	if ttl < 0 {
		return invalid("the time to live of key %q is negative: %v", show(key), ttl)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var expires time.Duration
	if ttl > 0 {
		now := s.now()
		expires = now + min(ttl, math.MaxInt64-now)
	}
	return s.put(key, value, expires)
}

// Delete removes the key and reports whether it was there.
func (s *Store) Delete(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.find(key)
	s.remove(key)
	s.sweep(sweepPerWrite)
	return ok
}

// maxExact is the largest whole number up to which float64 has no gaps.
const maxExact = 1 << 53

// Incr adds by to the number under key and returns the sum. A key that is not
// there counts as 0; one that is keeps its time to live. The error wraps
// ErrNotNumber when the value is something else or the sum cannot be held
// exactly, or is one of those of Set.
func (s *Store) Incr(key string, by float64) (float64, error) {
	if err := s.check(key, nil); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, _ := s.find(key)
	var n float64
	if e.text != nil {
		if err := json.Unmarshal(e.text, &n); err != nil {
			return 0, notNumber("key %q holds %s", show(key), show(string(e.text)))
		}
	}
	sum := n + by
	switch {
	case sum == 0:
		sum = 0 // without a sign
	case math.IsNaN(sum) || math.IsInf(sum, 0):
		return 0, notNumber("%v plus %v under key %q is not a finite number", n, by, show(key))
	case sum == math.Trunc(sum) && math.Abs(sum) > maxExact:
		return 0, notNumber("%v plus %v under key %q exceeds 2^53: it would not be exact", n, by, show(key))
	}
	text, err := json.Marshal(sum)
	if err != nil {
		return 0, notNumber("%v: %v", sum, err)
	}
	return sum, s.put(key, text, e.expires)
}

// CAS stores the JSON text new when the key's value equals old, and reports
// whether it did. Values are compared as JSON: the order of members, white
// space and the way a number is written (1, 1.0, 10e-1) make no difference. As
// null is absence, an old null creates and a new null deletes; nil means null.
// The time to live is kept. The errors are those of Set.
func (s *Store) CAS(key string, old, new []byte) (bool, error) {
	if err := s.check(key, new); err != nil {
		return false, err
	}
	if err := checkText("the old value", key, old); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.find(key)
	if ok == isNull(old) || ok && !equal(e.text, old) {
		return false, nil
	}
	if err := s.put(key, new, e.expires); err != nil {
		return false, err
	}
	return true, nil
}

// Keys returns the keys that begin with prefix, sorted.
func (s *Store) Keys(prefix string) []string {
	s.mu.RLock()
	now := s.now()
	keys := []string{}
	for i := range s.parts {
		for k, e := range s.parts[i].m {
			if strings.HasPrefix(k, prefix) && !e.gone(now) {
				keys = append(keys, k)
			}
		}
	}
	s.mu.RUnlock()
	slices.Sort(keys)
	return keys
}

// Stats says how full a store is. Keys whose time has passed count until their
// memory is given back.
type Stats struct {
	Keys  int
	Bytes int64
}

// Stats returns how full the store is.
func (s *Store) Stats() Stats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return Stats{Keys: s.keys, Bytes: s.bytes}
}

// now returns the time since the store was made.
func (s *Store) now() time.Duration { return time.Since(s.start) }

// gone reports whether the entry's time has passed.
func (e entry) gone(now time.Duration) bool { return e.expires != 0 && now >= e.expires }

func (s *Store) part(key string) *part { return &s.parts[maphash.String(s.seed, key)%shards] }

// find returns the entry of a key that is there. s.mu is held.
func (s *Store) find(key string) (entry, bool) {
	e, ok := s.part(key).m[key]
	if ok && e.expires != 0 && e.gone(s.now()) {
		return entry{}, false
	}
	return e, ok
}

// put stores a checked value, null being a deletion. s.mu is held.
func (s *Store) put(key string, text []byte, expires time.Duration) error {
	s.sweep(sweepPerWrite)
	if isNull(text) {
		s.remove(key)
		return nil
	}
	if err := s.room(key, text); err != nil {
		s.expire()
		if err = s.room(key, text); err != nil {
			return err
		}
	}
	s.remove(key)
	p := s.own(s.part(key))
	if p.m == nil {
		p.m = make(map[string]entry)
	}
	p.m[key] = entry{text: bytes.Clone(text), expires: expires}
	s.keys++
	s.bytes += int64(len(key) + len(text))
	if expires != 0 && (s.mayGo == 0 || expires < s.mayGo) {
		s.mayGo = expires
	}
	return nil
}

// room reports, as an error, whether there is none for the value. s.mu is held.
func (s *Store) room(key string, text []byte) error {
	keys, size := s.keys+1, s.bytes+int64(len(key)+len(text))
	if e, ok := s.part(key).m[key]; ok {
		keys--
		size -= int64(len(key) + len(e.text))
	}
	switch {
	case keys > s.opt.MaxKeys:
		return &LimitError{Limit: "keys", Key: key, Size: int64(keys), Max: int64(s.opt.MaxKeys)}
	case size > s.opt.MaxTotal:
		return &LimitError{Limit: "total", Key: key, Size: size, Max: s.opt.MaxTotal}
	}
	return nil
}

// remove takes a key out, if it is there. s.mu is held.
func (s *Store) remove(key string) {
	p := s.part(key)
	e, ok := p.m[key]
	if !ok {
		return
	}
	delete(s.own(p).m, key)
	s.keys--
	s.bytes -= int64(len(key) + len(e.text))
}

// own makes a part writable. s.mu is held.
func (s *Store) own(p *part) *part {
	if p.shared {
		p.m, p.shared = maps.Clone(p.m), false
	}
	return p
}

// sweep looks at up to n keys of the next part and removes those whose time has
// passed. s.mu is held.
func (s *Store) sweep(n int) {
	now := s.now()
	if s.mayGo == 0 || now < s.mayGo {
		return
	}
	p := &s.parts[s.next]
	s.next = (s.next + 1) % shards
	for k, e := range p.m { // begins at a random key
		if n--; n < 0 {
			return
		}
		if e.gone(now) {
			s.remove(k)
		}
	}
}

// expire removes every key whose time has passed. s.mu is held.
func (s *Store) expire() {
	now := s.now()
	if s.mayGo == 0 || now < s.mayGo {
		return
	}
	s.mayGo = 0
	for i := range s.parts {
		for k, e := range s.parts[i].m {
			switch {
			case e.gone(now):
				s.remove(k)
			case e.expires != 0 && (s.mayGo == 0 || e.expires < s.mayGo):
				s.mayGo = e.expires
			}
		}
	}
}

// check reports what is wrong with a key and a value.
func (s *Store) check(key string, value []byte) error {
	switch {
	case key == "":
		return invalid("the key is empty")
	case len(key) > maxKey:
		return &LimitError{Limit: "key", Key: key, Size: int64(len(key)), Max: maxKey}
	case !utf8.ValidString(key):
		return invalid("the key %s is not UTF-8", strconv.QuoteToASCII(show(key)))
	case int64(len(value)) > s.opt.MaxValue:
		return &LimitError{Limit: "value", Key: key, Size: int64(len(value)), Max: s.opt.MaxValue}
	}
	return checkText("the value", key, value)
}

// checkText reports whether text is not JSON. Nil is fine.
func checkText(what, key string, text []byte) error {
	if text != nil && (!json.Valid(text) || !utf8.Valid(text)) {
		return invalid("%s for key %q is not JSON: %s", what, show(key), strconv.QuoteToASCII(show(string(text))))
	}
	return nil
}

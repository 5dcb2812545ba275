package kv

import (
	"bytes"
	"encoding/json"
	"hash/maphash"
	"maps"
	"strconv"
	"time"
	"unicode/utf8"
)

// now returns the time since the store was made. s.mu or s.w is held.
func (s *Store) now() time.Duration { return time.Since(s.start) + s.skew }

// gone reports whether the entry's time has passed.
func (e entry) gone(now time.Duration) bool { return e.expires != 0 && now >= e.expires }

func (s *Store) part(key string) *part { return &s.parts[maphash.String(s.seed, key)%shards] }

// find returns the entry of a key that is there. s.w is held.
func (s *Store) find(key string) (entry, bool) {
	e, ok := s.part(key).m[key]
	if ok && e.expires != 0 && e.gone(s.now()) {
		if s.log != nil {
			s.log.seen = max(s.log.seen, e.expires)
		}
		return entry{}, false
	}
	return e, ok
}

// put stores a checked value, null being a deletion. s.w is held.
func (s *Store) put(key string, text []byte, expires time.Duration) error {
	if isNull(text) {
		one := [1]change{{op: opDelete, key: key}}
		return s.commit(one[:])
	}
	if err := s.room(key, text); err != nil {
		s.expire()
		if err = s.room(key, text); err != nil {
			return err
		}
	}
	one := [1]change{{op: opSet, key: key, text: bytes.Clone(text), expires: expires}}
	return s.commit(one[:])
}

// commit makes changes that are known to be possible, on disk first. Their texts
// belong to the store from now on. s.w is held.
func (s *Store) commit(changes []change) error {
	if s.log != nil {
		if err := s.append(changes); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(sweepPerWrite)
	for i := range changes {
		s.apply(&changes[i])
	}
	return nil
}

// apply makes one change in memory. s.w and s.mu are held.
func (s *Store) apply(c *change) {
	switch c.op {
	case opSet:
		s.insert(c.key, entry{text: c.text, expires: c.expires})
	case opDelete:
		s.remove(c.key)
	case opVersion:
		if c.number == 0 {
			delete(s.versions, c.key)
			return
		}
		if s.versions == nil {
			s.versions = make(map[string]uint64)
		}
		s.versions[c.key] = c.number
	}
}

// insert stores an entry. s.w and s.mu are held.
func (s *Store) insert(key string, e entry) {
	s.remove(key)
	p := s.own(s.part(key))
	if p.m == nil {
		p.m = make(map[string]entry)
	}
	p.m[key] = e
	s.keys++
	s.bytes += int64(len(key) + len(e.text))
	if e.expires != 0 && (s.mayGo == 0 || e.expires < s.mayGo) {
		s.mayGo = e.expires
	}
}

// room reports, as an error, whether there is none for the value. s.w is held.
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

// remove takes a key out, if it is there. s.w and s.mu are held.
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

// own makes a part writable. s.w and s.mu are held.
func (s *Store) own(p *part) *part {
	if p.shared {
		p.m, p.shared = maps.Clone(p.m), false
	}
	return p
}

// sweep looks at up to n keys of the next part and removes those whose time has
// passed. s.w and s.mu are held.
func (s *Store) sweep(n int) {
	now := s.now()
	if s.log != nil {
		now = min(now, s.log.stamped) // what the log does not prove to be gone stays
	}
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

// expire removes every key whose time has passed. s.w is held.
func (s *Store) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.mayGo == 0 || now < s.mayGo {
		return
	}
	if s.log != nil {
		s.log.seen = max(s.log.seen, now)
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

// Package kv is the data that the scripts of an app share: JSON texts by key,
// in memory, with limits and times to live. It outlives generations.
//
// Start with [New], or with [Open] for data that also outlives the process. All
// methods are safe for concurrent use and each is atomic.
//
// The value null is absence: storing null deletes the key, and a key that is
// not there has the value null. Values are kept as the text they came as.
//
// A key whose time has passed is gone for every method at once. Its memory is
// given back a little with each write and, before a write is refused for want
// of room, as a whole.
//
// # On disk
//
// A store that [Open] returns keeps all data in memory and appends each change to
// a log; when the log has grown it is replaced by one that holds only what there
// is. The folder has
//
//	data.log            the data; its form stands in frame.go
//	data.log.damaged-N  a data.log in which something could not be read
//	lock                held by the process that writes; names its id
//	format              "1": the version of this layout
//	suspect             a sync failed; the log is replaced before anything is trusted
//
// What has returned without an error survives the end of the process, however it
// ends. It survives a loss of power once [Store.Sync] has returned, or after
// Options.SyncInterval; of what is younger a part may be lost, always the latest
// changes, and each batch as a whole. What is damaged is found by its checksum, left
// out, reported by [Store.Recovered] and kept aside.
//
// Times to live are kept by the wall clock. A store's clock never runs backwards:
// it goes on from the latest time that stands in the log when the system's clock
// is behind that, so that a key that was seen to be gone stays gone and none lives
// longer than it was given while the app runs.
//
// Two processes can have one store: see [Store.Share].
package kv

import (
	"bytes"
	"encoding/json"
	"hash/maphash"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options configures a [Store]. A zero field takes its default.
type Options struct {
	MaxValue int64 // bytes of one value; zero means 64 KiB
	MaxTotal int64 // bytes of all keys and values; zero means 64 MiB
	MaxKeys  int   // zero means 100,000

	// The following is for Open.

	// SyncInterval is how long after a change the log is synced at the latest.
	// Zero means 1 second; negative leaves it to Sync and Close.
	SyncInterval time.Duration

	// Shared opens a store that another process may have: see [Store.Share].
	Shared bool

	// LockWait is how long to wait for another process before ErrLocked. Zero
	// means 10 seconds.
	LockWait time.Duration

	// Now returns the time by the wall clock; it is asked once, by Open. Nil
	// means time.Now.
	Now func() time.Time
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

// A Store holds the data. Make one with [New] or [Open].
type Store struct {
	opt   Options
	seed  maphash.Seed
	start time.Time // times in entries count from here, by the monotonic clock
	log   *journal  // nil for data in memory only

	// w is held by whoever writes, also to the log; mu in addition for the moment
	// in which the fields below change. So readers do not wait for the disk.
	w        sync.Mutex
	mu       sync.RWMutex
	skew     time.Duration // what the clock of the log is ahead of ours
	versions map[string]uint64
	parts    [shards]part
	keys     int
	bytes    int64
	mayGo    time.Duration // no key expires before; 0 when none does at all
	next     int           // the part that the next write sweeps
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
//
// The fork is in memory only. Of a store that is shared and cannot be reached, it
// has what this process knows.
func (s *Store) Fork() *Store {
	_ = s.fresh()
	s.w.Lock()
	defer s.w.Unlock()
	return s.fork()
}

// fork is Fork with s.w held.
func (s *Store) fork() *Store {
	f := &Store{opt: s.opt, seed: s.seed, start: s.start, skew: s.skew, versions: maps.Clone(s.versions), keys: s.keys, bytes: s.bytes, mayGo: s.mayGo}
	for i := range s.parts {
		s.parts[i].shared = true
		f.parts[i] = s.parts[i]
	}
	return f
}

// Get returns a copy of the key's value, and whether it is there. Of a store that
// is shared and cannot be reached it returns what this process knows; [Store.Lookup]
// tells.
func (s *Store) Get(key string) ([]byte, bool) {
	text, ok, _ := s.Lookup(key)
	return text, ok
}

// Lookup is Get with the error that there can be when the store is shared:
// ErrLocked, ErrClosed or one of the disk.
func (s *Store) Lookup(key string) (text []byte, ok bool, err error) {
	if s.log != nil && s.log.shared.Load() {
		err = s.fresh()
	}
	s.mu.RLock()
	e, there := s.part(key).m[key]
	if there && (e.expires == 0 || !e.gone(s.now())) {
		text, ok = bytes.Clone(e.text), true
	}
	s.mu.RUnlock()
	if there && !ok && s.log != nil {
		s.witness(e.expires)
	}
	return text, ok, err
}

// Set stores a JSON text. It is gone after ttl; zero keeps it for good, whatever
// it was before. The error is a *LimitError or wraps ErrInvalid; of a store on disk
// also ErrNotSaved, ErrLocked or ErrClosed.
func (s *Store) Set(key string, value []byte, ttl time.Duration) error {
	if err := s.check(key, value); err != nil {
		return err
	}
	if ttl < 0 {
		return invalid("the time to live of key %q is negative: %v", show(key), ttl)
	}
	if err := s.begin(); err != nil {
		return err
	}
	defer s.end()
	return s.put(key, value, s.until(ttl))
}

// until returns the time of an entry that is to live for ttl; 0 for good.
func (s *Store) until(ttl time.Duration) time.Duration {
	if ttl <= 0 {
		return 0
	}
	now := s.now()
	return now + min(ttl, math.MaxInt64-now)
}

// Delete removes the key and reports whether it was there. [Store.Remove] also says
// whether the disk went along.
func (s *Store) Delete(key string) bool {
	ok, _ := s.Remove(key)
	return ok
}

// Remove removes the key and reports whether it was there. An error, of a store on
// disk, means that it was not removed.
func (s *Store) Remove(key string) (bool, error) {
	if err := s.begin(); err != nil {
		return false, err
	}
	defer s.end()
	if _, ok := s.find(key); !ok {
		s.drop(key) // what has expired
		return false, nil
	}
	one := [1]change{{op: opDelete, key: key}}
	err := s.commit(one[:])
	return err == nil, err
}

// drop takes a key out of memory that is not there, and sweeps.
func (s *Store) drop(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.log == nil { // on disk it is kept until a time is written
		s.remove(key)
		s.sweep(sweepPerWrite)
	}
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
	if err := s.begin(); err != nil {
		return 0, err
	}
	defer s.end()
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
	if err := s.put(key, text, e.expires); err != nil {
		return 0, err
	}
	return sum, nil
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
	if err := s.begin(); err != nil {
		return false, err
	}
	defer s.end()
	e, ok := s.find(key)
	if ok == isNull(old) || ok && !equal(e.text, old) {
		return false, nil
	}
	if err := s.put(key, new, e.expires); err != nil {
		return false, err
	}
	return true, nil
}

// Keys returns the keys that begin with prefix, sorted. Of a store that is shared
// and cannot be reached it returns what this process knows; [Store.List] tells.
func (s *Store) Keys(prefix string) []string {
	keys, _ := s.List(prefix)
	return keys
}

// List is Keys with the error that there can be when the store is shared.
func (s *Store) List(prefix string) ([]string, error) {
	err := s.fresh()
	s.mu.RLock()
	now := s.now()
	keys := []string{}
	var gone time.Duration // the latest time that has passed
	for i := range s.parts {
		for k, e := range s.parts[i].m {
			switch {
			case !strings.HasPrefix(k, prefix):
			case e.gone(now):
				gone = max(gone, e.expires)
			default:
				keys = append(keys, k)
			}
		}
	}
	s.mu.RUnlock()
	if gone != 0 && s.log != nil {
		s.witness(gone)
	}
	slices.Sort(keys)
	return keys, err
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

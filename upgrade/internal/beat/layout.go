package beat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync/atomic"
)

const (
	// Size is how many bytes the memory has.
	Size = 4096

	magic   = 0x5448455345424541
	version = 1
)

// Offsets in words of eight bytes.
const (
	wordMagic   = 0
	wordVersion = 1
	wordSlots   = 8
	slotWords   = 8 // the slots lie in cache lines of their own

	slotSequence = 0
	slotTime     = 1
	slotStatus   = 2

	usedWords = wordSlots + 2*slotWords
)

// Errors that callers tell apart.
var (
	// ErrFormat is wrapped by errors about memory that is not laid out as this
	// package does it: another version, another file, or one that may shrink under
	// its reader. Make new memory with [Create].
	ErrFormat = errors.New("not heartbeat memory of this version")

	// ErrNone is returned as long as there has been no beat.
	ErrNone = errors.New("no heartbeat yet")

	// ErrCorrupt is returned when neither slot holds a whole beat though there has
	// been one. A writer that goes on mends it with its next beats.
	ErrCorrupt = errors.New("heartbeat memory is corrupt")
)

// Status is how the writer says that it fares. Zero is healthy, the meaning of
// anything else is the application's.
type Status uint32

// Healthy is the status of a process that does its work.
const Healthy Status = 0

// A Beat is one heartbeat.
type Beat struct {
	// Sequence counts beats, from 1 on.
	Sequence uint64

	// Time is when it was written, in nanoseconds of CLOCK_MONOTONIC, which all
	// processes of a machine share unless they live in time namespaces; see [Now].
	Time int64

	Status Status
}

// cells is the part of the memory that is used. All access is atomic.
type cells [usedWords]uint64

func (c *cells) load(i int) uint64     { return atomic.LoadUint64(&c[i]) }
func (c *cells) store(i int, v uint64) { atomic.StoreUint64(&c[i], v) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum covers the header, too, so that a beat of another version is none.
func checksum(b Beat) uint32 {
	var buf [32]byte
	binary.LittleEndian.PutUint64(buf[0:], magic)
	binary.LittleEndian.PutUint32(buf[8:], version)
	binary.LittleEndian.PutUint64(buf[12:], b.Sequence)
	binary.LittleEndian.PutUint64(buf[20:], uint64(b.Time))
	binary.LittleEndian.PutUint32(buf[28:], uint32(b.Status))
	return crc32.Checksum(buf[:], castagnoli)
}

// format writes the header into fresh memory.
func (c *cells) format() {
	c.store(wordVersion, version)
	c.store(wordMagic, magic)
}

// check reads the header.
func (c *cells) check() error {
	if m := c.load(wordMagic); m != magic {
		return fmt.Errorf("magic %#x: %w", m, ErrFormat)
	}
	if v := c.load(wordVersion); v != version {
		return fmt.Errorf("version %d, want %d: %w", uint32(v), version, ErrFormat)
	}
	return nil
}

// slotOf is where the slot of a sequence begins.
func slotOf(sequence uint64) int { return wordSlots + slotWords*int(sequence&1) }

// slot reads one slot; ok is false if it holds no whole beat.
func (c *cells) slot(at int) (b Beat, ok bool) {
	b.Sequence = c.load(at + slotSequence)
	b.Time = int64(c.load(at + slotTime))
	last := c.load(at + slotStatus)
	b.Status = Status(uint32(last))
	ok = b.Sequence != 0 && c.load(at+slotSequence) == b.Sequence &&
		slotOf(b.Sequence) == at && uint32(last>>32) == checksum(b)
	return b, ok
}

// fresh tells whether no beat has been completed, though the first one may have
// been begun.
func (c *cells) fresh() bool {
	first, second := slotOf(1), slotOf(2)
	return c.load(first+slotSequence) == 0 && c.load(second+slotSequence) == 0 &&
		c.load(second+slotTime) == 0 && c.load(second+slotStatus) == 0
}

// put writes a beat over the one before the last. Fault, if not nil, is called
// between the stores.
func (c *cells) put(b Beat, fault func(step int)) {
	at := slotOf(b.Sequence)
	words := [...]struct {
		word  int
		value uint64
	}{
		{slotSequence, 0},
		{slotTime, uint64(b.Time)},
		{slotStatus, uint64(b.Status) | uint64(checksum(b))<<32},
		{slotSequence, b.Sequence},
	}
	for i, w := range words {
		if fault != nil {
			fault(i)
		}
		c.store(at+w.word, w.value)
	}
}

// retries is how often newest looks again at memory that is being written to. A
// writer would have to beat between any two of them to be in the way of all.
const retries = 64

// newest returns the last whole beat.
func (c *cells) newest() (Beat, error) {
	var best Beat
	for range retries {
		even, evenOK := c.slot(slotOf(0))
		odd, oddOK := c.slot(slotOf(1))
		if evenOK && even.Sequence > best.Sequence {
			best = even
		}
		if oddOK && odd.Sequence > best.Sequence {
			best = odd
		}
		// Two neighbours are a consistent picture; else one is being written, or
		// is torn or blank for good.
		if evenOK && oddOK && (even.Sequence-odd.Sequence == 1 || odd.Sequence-even.Sequence == 1) {
			return best, nil
		}
	}
	switch {
	case best.Sequence != 0:
		return best, nil
	case c.fresh():
		return Beat{}, ErrNone
	}
	return Beat{}, ErrCorrupt
}

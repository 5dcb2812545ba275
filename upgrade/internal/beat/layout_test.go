package beat

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"sync"
	"testing"
)

// filled is memory after n beats, with times and statuses made from the sequence.
func filled(n uint64) *cells {
	c := new(cells)
	c.format()
	for i := range n {
		c.put(made(i+1), nil)
	}
	return c
}

func made(sequence uint64) Beat {
	return Beat{Sequence: sequence, Time: int64(sequence * 1e9), Status: Status(sequence * 2654435761)}
}

// The words of version 1 are fixed for ever.
func TestLayout(t *testing.T) {
	t.Parallel()
	c := new(cells)
	c.format()
	c.put(Beat{Sequence: 1, Time: 2, Status: 3}, nil)
	c.put(Beat{Sequence: 2, Time: -1, Status: 0xffffffff}, nil)
	sum := func(b Beat) uint64 {
		buf := binary.LittleEndian.AppendUint64(nil, 0x5448455345424541)
		buf = binary.LittleEndian.AppendUint32(buf, 1)
		buf = binary.LittleEndian.AppendUint64(buf, b.Sequence)
		buf = binary.LittleEndian.AppendUint64(buf, uint64(b.Time))
		buf = binary.LittleEndian.AppendUint32(buf, uint32(b.Status))
		return uint64(crc32.Checksum(buf, crc32.MakeTable(crc32.Castagnoli))) << 32
	}
	want := cells{
		0: 0x5448455345424541, 1: 1,
		8: 2, 9: 0xffffffffffffffff, 10: 0xffffffff | sum(Beat{2, -1, 0xffffffff}),
		16: 1, 17: 2, 18: 3 | sum(Beat{1, 2, 3}),
	}
	if *c != want {
		t.Errorf("memory is %#x, want %#x", *c, want)
	}
}

func TestNewest(t *testing.T) {
	t.Parallel()
	if b, err := filled(0).newest(); err != ErrNone {
		t.Errorf("fresh memory: newest() = %v, %v, want ErrNone", b, err)
	}
	for n := uint64(1); n < 10; n++ {
		if b, err := filled(n).newest(); b != made(n) || err != nil {
			t.Errorf("after %d beats: newest() = %v, %v", n, b, err)
		}
	}
}

// A writer that stops between any two stores leaves the beat before.
func TestTorn(t *testing.T) {
	t.Parallel()
	for n := range uint64(5) {
		c := filled(n)
		c.put(made(n+1), func(step int) {
			b, err := c.newest()
			if n == 0 && err != ErrNone || n > 0 && (err != nil || b != made(n)) {
				t.Errorf("beat %d, before store %d: newest() = %v, %v, want beat %d", n+1, step, b, err, n)
			}
		})
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	for word, value := range map[int]uint64{wordMagic: magic + 1, wordVersion: 2} {
		c := filled(3)
		c.store(word, value)
		if err := c.check(); !errors.Is(err, ErrFormat) {
			t.Errorf("word %d is %#x: check() = %v, want ErrFormat", word, value, err)
		}
	}
}

// Each single flipped bit is seen: what comes back is a beat that was written.
func TestBitFlips(t *testing.T) {
	t.Parallel()
	for word := wordSlots; word < usedWords; word++ {
		for bit := range 64 {
			c := filled(7)
			c.store(word, c.load(word)^1<<bit)
			if b, err := c.newest(); err != nil || b != made(7) && b != made(6) {
				t.Errorf("bit %d of word %d: newest() = %v, %v, want beat 7 or 6", bit, word, b, err)
			}
			c.put(made(8), nil)
			c.put(made(9), nil)
			if b, err := c.newest(); err != nil || b != made(9) {
				t.Errorf("bit %d of word %d, two beats later: newest() = %v, %v, want beat 9", bit, word, b, err)
			}
		}
	}
}

func TestBothSlotsCorrupt(t *testing.T) {
	t.Parallel()
	c := filled(7)
	c.store(slotOf(0)+slotTime, 5)
	c.store(slotOf(1)+slotStatus, 5)
	if b, err := c.newest(); err != ErrCorrupt {
		t.Errorf("newest() = %v, %v, want ErrCorrupt", b, err)
	}
	// The beat of one slot, whole, in the other.
	for i := range slotWords {
		c.store(slotOf(0)+i, filled(7).load(slotOf(1)+i))
	}
	if b, err := c.newest(); err != ErrCorrupt {
		t.Errorf("beat in the wrong slot: newest() = %v, %v, want ErrCorrupt", b, err)
	}
}

// One goroutine writes as fast as it can: what others read is never a mixture, and
// never older than a beat that was complete before they looked.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	const beats, readers = 5000, 2
	c := filled(1)
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			var last Beat
			for last.Sequence < beats {
				b, err := c.newest()
				if err != nil && err != ErrCorrupt {
					t.Errorf("newest() = %v", err)
					return
				}
				if err == nil && b != made(b.Sequence) {
					t.Errorf("torn beat %v", b)
					return
				}
				if err == nil && b.Sequence > last.Sequence {
					last = b
				}
			}
		})
	}
	for i := uint64(2); i <= beats; i++ {
		c.put(made(i), nil)
	}
	wg.Wait()
}

func FuzzNewest(f *testing.F) {
	f.Add(make([]byte, 48))
	seed := filled(5)
	var b []byte
	for _, at := range []int{slotOf(0), slotOf(1)} {
		for i := range 3 {
			b = binary.LittleEndian.AppendUint64(b, seed[at+i])
		}
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 48 {
			return
		}
		c := filled(0)
		for i := range 6 {
			c.store(slotOf(uint64(i/3))+i%3, binary.LittleEndian.Uint64(b[8*i:]))
		}
		got, err := c.newest()
		if err != nil {
			if got != (Beat{}) || err != ErrNone && err != ErrCorrupt {
				t.Fatalf("newest() = %v, %v", got, err)
			}
			return
		}
		again := filled(0)
		again.put(got, nil)
		at := slotOf(got.Sequence)
		for i := range 3 {
			if c.load(at+i) != again.load(at+i) {
				t.Fatalf("newest() = %v, which is written another way", got)
			}
		}
	})
}

// FuzzBitFlip changes up to three bits anywhere in the slots: a CRC-32C over so few
// bytes sees them all.
func FuzzBitFlip(f *testing.F) {
	f.Add(uint64(7), uint16(0), uint16(0), uint16(0))
	f.Add(uint64(8), uint16(70), uint16(130), uint16(600))
	f.Fuzz(func(t *testing.T, n uint64, first, second, third uint16) {
		n = n%1000 + 2
		c := filled(n)
		for _, bit := range []uint16{first, second, third} {
			bit %= 2 * slotWords * 64
			word := wordSlots + int(bit/64)
			c.store(word, c.load(word)^1<<(bit%64))
		}
		b, err := c.newest()
		if err == nil && b != made(n) && b != made(n-1) || err != nil && err != ErrCorrupt {
			t.Fatalf("newest() = %v, %v, want beat %d or the one before, or ErrCorrupt", b, err, n)
		}
	})
}

package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"time"
)

// The file data.log is a header and frames. Numbers are little endian.
//
// Header: twice the same 32 bytes, the second for when the first is damaged.
//
//	 0  8  "kv.data\n"
//	 8  4  version of the format: 1
//	12  8  id: random, so that a frame of another file is not taken for one of this
//	20  8  base: the file was synced up to here before it got its name
//	28  4  CRC-32C of the 28 bytes before
//
// Frame: one change, or several that are made together.
//
//	 0  4  n, the length of the payload
//	 4  4  the last field of the header of the frame before; 0 for the first
//	 8  4  CRC-32C of the payload
//	12  4  CRC-32C of the id, the offset of the frame, and the fields before
//	16  n  payload
//
// That a frame names the one before keeps it from being taken for the next of one
// that was refused, taken back, and came to light again by a loss of power.
//
// Payload: the time by the wall clock of the store, 8 bytes, nanoseconds since
// 1970; then any number of
//
//	1  key, expiry, value   the key has this value; the expiry is 8 bytes like the time, 0 for never
//	2  key                  the key is gone
//	3  name, number         a version of the schema; 0 for none
//	4  number               the file was synced up to here when this was written
//
// where a key, value or name is its length and its bytes, and lengths and numbers
// are unsigned varints.
const (
	magic       = "kv.data\n"
	format      = 1
	headerPart  = 32
	headerSize  = 2 * headerPart
	frameHeader = 16
	maxFrame    = 1 << 30
)

const (
	opSet     = 1
	opDelete  = 2
	opVersion = 3
	opSynced  = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errHeader  = errors.New("the header is damaged")
	errFrame   = errors.New("no valid frame")
	errPayload = errors.New("a frame has no valid content")
)

// A header says what file it is.
type header struct {
	id   uint64
	base int64
}

func (h header) encode() []byte {
	b := make([]byte, 0, headerSize)
	for range 2 {
		from := len(b)
		b = append(b, magic...)
		b = binary.LittleEndian.AppendUint32(b, format)
		b = binary.LittleEndian.AppendUint64(b, h.id)
		b = binary.LittleEndian.AppendUint64(b, uint64(h.base))
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[from:], castagnoli))
	}
	return b
}

// decodeHeader returns the header and whether one of its copies is damaged. The
// error is errHeader or wraps ErrNewer.
func decodeHeader(b []byte) (h header, damaged bool, err error) {
	found := false
	for from := 0; from < headerSize; from += headerPart {
		if len(b) < from+headerPart {
			damaged = true
			break
		}
		p := b[from : from+headerPart]
		if string(p[:8]) != magic || crc32.Checksum(p[:28], castagnoli) != binary.LittleEndian.Uint32(p[28:]) {
			damaged = true
			continue
		}
		if v := binary.LittleEndian.Uint32(p[8:]); v != format {
			return header{}, false, fmt.Errorf("%w: it has format %d, this theseus reads up to %d", ErrNewer, v, format)
		}
		if !found {
			h.id, h.base = binary.LittleEndian.Uint64(p[12:]), int64(binary.LittleEndian.Uint64(p[20:]))
			found = true
		}
	}
	if !found || h.base < headerSize {
		return header{}, true, errHeader
	}
	return h, damaged, nil
}

// A scratch is where a checksum is computed from: on the stack it would escape.
type scratch [28]byte

// headerSum is the checksum of a frame's header.
func (b *scratch) headerSum(id uint64, at int64, n, prev, sum uint32) uint32 {
	binary.LittleEndian.PutUint64(b[0:], id)
	binary.LittleEndian.PutUint64(b[8:], uint64(at))
	binary.LittleEndian.PutUint32(b[16:], n)
	binary.LittleEndian.PutUint32(b[20:], prev)
	binary.LittleEndian.PutUint32(b[24:], sum)
	return crc32.Checksum(b[:], castagnoli)
}

// seal fills in the header of the frame b, whose payload is in place, for offset at
// and the frame before, and returns what the next one names.
func (s *scratch) seal(b []byte, id uint64, at int64, prev uint32) uint32 {
	payload := b[frameHeader:]
	n, sum := uint32(len(payload)), crc32.Checksum(payload, castagnoli)
	head := s.headerSum(id, at, n, prev, sum)
	binary.LittleEndian.PutUint32(b[0:], n)
	binary.LittleEndian.PutUint32(b[4:], prev)
	binary.LittleEndian.PutUint32(b[8:], sum)
	binary.LittleEndian.PutUint32(b[12:], head)
	return head
}

// startFrame begins a frame in b, which it empties.
func startFrame(b []byte, stamp int64) []byte {
	var empty [frameHeader]byte
	return binary.LittleEndian.AppendUint64(append(b[:0], empty[:]...), uint64(stamp))
}

// A change is a part of a payload.
type change struct {
	op      byte
	key     string // or the name of a version
	text    []byte
	expires time.Duration // since Store.start; 0 for never
	number  uint64
}

// appendChange adds c to a frame. Epoch is the time of Store.start.
func appendChange(b []byte, c change, epoch int64) []byte {
	b = append(b, c.op)
	switch c.op {
	case opSet:
		b = appendText(b, c.key)
		b = binary.LittleEndian.AppendUint64(b, uint64(wall(epoch, c.expires)))
		b = binary.AppendUvarint(b, uint64(len(c.text)))
		b = append(b, c.text...)
	case opDelete:
		b = appendText(b, c.key)
	case opVersion:
		b = appendText(b, c.key)
		b = binary.AppendUvarint(b, c.number)
	case opSynced:
		b = binary.AppendUvarint(b, c.number)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// wall makes the time of an entry one of the wall clock; never and for ever stay.
func wall(epoch int64, expires time.Duration) int64 {
	if expires == 0 {
		return 0
	}
	if int64(expires) > math.MaxInt64-epoch {
		return math.MaxInt64
	}
	return epoch + int64(expires)
}

// since is the opposite of wall. A time before the epoch, when the key was gone
// already, is negative.
func since(epoch, at int64) time.Duration {
	switch {
	case at == 0:
		return 0
	case at == math.MaxInt64:
		return math.MaxInt64
	case at <= epoch:
		return -1
	}
	return time.Duration(at - epoch)
}

// decodePayload returns the time and the changes of a payload; texts are parts of
// it. The error is errPayload or wraps ErrNewer.
func decodePayload(b []byte, epoch int64) (stamp int64, changes []change, err error) {
	if len(b) < 8 {
		return 0, nil, errPayload
	}
	d := decoder{b: b[8:]}
	stamp = int64(binary.LittleEndian.Uint64(b))
	if stamp < 0 {
		return 0, nil, errPayload
	}
	for len(d.b) > 0 {
		c := change{op: d.b[0]}
		d.b = d.b[1:]
		switch c.op {
		case opSet:
			c.key = string(d.text())
			at := d.fixed()
			c.expires = since(epoch, int64(at))
			c.text = d.text()
			d.bad = d.bad || c.key == "" || int64(at) < 0
		case opDelete:
			c.key = string(d.text())
		case opVersion:
			c.key, c.number = string(d.text()), d.number()
		case opSynced:
			c.number = d.number()
		default:
			return 0, nil, fmt.Errorf("%w: it has entries of the kind %d", ErrNewer, c.op)
		}
		if d.bad {
			return 0, nil, errPayload
		}
		changes = append(changes, c)
	}
	return stamp, changes, nil
}

// A decoder takes values off the front of b. After the first that is not there it
// is bad.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) number() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.b, d.bad = nil, true
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) fixed() uint64 {
	if len(d.b) < 8 {
		d.b, d.bad = nil, true
		return 0
	}
	n := binary.LittleEndian.Uint64(d.b)
	d.b = d.b[8:]
	return n
}

func (d *decoder) text() []byte {
	n := d.number()
	if n > uint64(len(d.b)) {
		d.b, d.bad = nil, true
		return nil
	}
	t := d.b[:n]
	d.b = d.b[n:]
	return t
}

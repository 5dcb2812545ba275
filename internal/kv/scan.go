package kv

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// A frameReader reads frames of a file that has size bytes.
type frameReader struct {
	file io.ReaderAt
	id   uint64
	size int64

	buf     []byte // the file from at on
	at      int64
	sum     uint32 // of the header of the latest frame
	prev    uint32 // the one that it names
	scratch scratch
}

const readAhead = 256 << 10

// window returns the n bytes at an offset, which are valid until the next call;
// fewer at the end of the file.
func (r *frameReader) window(off int64, n int) ([]byte, error) {
	n = int(min(int64(n), max(0, r.size-off)))
	if from := off - r.at; from >= 0 && from+int64(n) <= int64(len(r.buf)) {
		return r.buf[from : from+int64(n)], nil
	}
	want := int(min(int64(max(n, readAhead)), r.size-off))
	if cap(r.buf) < want {
		r.buf = make([]byte, want)
	}
	r.buf, r.at = r.buf[:want], off
	got, err := r.file.ReadAt(r.buf, off)
	if err != nil && !errors.Is(err, io.EOF) {
		r.buf = r.buf[:0]
		return nil, err
	}
	r.buf = r.buf[:got]
	return r.buf[:min(n, got)], nil
}

// frame returns the payload of the frame at an offset, valid until the next call,
// and where the next frame begins. The error is errFrame when there is none, or one
// of the disk.
func (r *frameReader) frame(off int64) (payload []byte, next int64, err error) {
	h, err := r.window(off, frameHeader)
	if err != nil {
		return nil, 0, err
	}
	if len(h) < frameHeader {
		return nil, 0, errFrame
	}
	n, sum := binary.LittleEndian.Uint32(h), binary.LittleEndian.Uint32(h[8:])
	r.prev, r.sum = binary.LittleEndian.Uint32(h[4:]), binary.LittleEndian.Uint32(h[12:])
	if n > maxFrame || off+frameHeader+int64(n) > r.size || r.scratch.headerSum(r.id, off, n, r.prev, sum) != r.sum {
		return nil, 0, errFrame
	}
	payload, err = r.window(off+frameHeader, int(n))
	if err != nil {
		return nil, 0, err
	}
	if len(payload) < int(n) || crc32.Checksum(payload, castagnoli) != sum {
		return nil, 0, errFrame
	}
	return payload, off + frameHeader + int64(n), nil
}

// resync returns the offset of the first valid frame after off, or the size.
func (r *frameReader) resync(off int64) (int64, error) {
	for off++; off+frameHeader <= r.size; off++ {
		switch _, _, err := r.frame(off); {
		case err == nil:
			return off, nil
		case !errors.Is(err, errFrame):
			return 0, err
		}
	}
	return r.size, nil
}

// A Damage is a part of a file that cannot be read and was left out.
type Damage struct {
	Offset, Bytes int64
}

// A scan is what became of reading a file.
type scan struct {
	end     int64  // where the last valid frame ends
	last    int64  // where it begins
	sum     uint32 // of its header
	torn    int64  // bytes after it: changes that were not synced and not finished
	damaged []Damage
}

// read calls do for each frame from off on; prev is what the first must name. What
// is not valid is torn when nothing says that it was ever synced: then the file ends
// there. Otherwise it is damaged, and the frames behind it count. Base is how far
// the file is known to be synced.
func (r *frameReader) read(off, base int64, prev uint32, do func(off int64, payload []byte) error) (s scan, err error) {
	s.end, s.sum = off, prev
	gap := false
	for off < r.size {
		payload, next, err := r.frame(off)
		if err == nil && r.prev != s.sum && !gap {
			err = errFrame
		}
		if err == nil {
			err = do(off, payload)
		}
		switch {
		case err == nil:
			s.last, s.sum, gap = off, r.sum, false
			off, s.end = next, next
			continue
		case !errors.Is(err, errFrame) && !errors.Is(err, errPayload):
			return s, err
		}
		if off >= base {
			if base, err = r.synced(off); err != nil {
				return s, err
			}
		}
		if off >= base {
			s.torn = r.size - off
			return s, nil
		}
		if next, err = r.resync(off); err != nil {
			return s, err
		}
		s.damaged = append(s.damaged, Damage{Offset: off, Bytes: next - off})
		off, gap = next, true
	}
	if s.end < base && len(s.damaged) == 0 { // cut short between two frames
		s.damaged = append(s.damaged, Damage{Offset: r.size, Bytes: base - r.size})
	}
	return s, nil
}

// synced returns how far the frames after off say that the file was synced.
func (r *frameReader) synced(off int64) (most int64, err error) {
	for {
		if off, err = r.resync(off); err != nil {
			return 0, err
		}
		for off < r.size {
			payload, next, err := r.frame(off)
			if errors.Is(err, errFrame) {
				break
			}
			if err != nil {
				return 0, err
			}
			if _, changes, err := decodePayload(payload, 0); err == nil {
				for _, c := range changes {
					if c.op == opSynced && c.number <= uint64(off) {
						most = max(most, int64(c.number))
					}
				}
			}
			off = next
		}
		if off >= r.size {
			return most, nil
		}
	}
}

package delta

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// Version is the version of the format that this package writes, and the only
// one that it reads.
const Version = 1

// magic starts every patch: it is no text, and a transfer that changes line
// ends or the eighth bit breaks it.
const magic = "\x89TDELT\r\n"

// headerSize is the size of a header in bytes, its digest included.
const headerSize = 152

// A Header says what a patch turns into what. Its numbers are as trustworthy
// as the patch's own signature.
type Header struct {
	// BaseSize and TargetSize are in bytes.
	BaseSize, TargetSize int64
	// BaseDigest and TargetDigest are SHA-256.
	BaseDigest, TargetDigest [sha256.Size]byte

	control  int64 // bytes of compressed streams behind the header
	literals int64 // bytes of compressed literals behind those
	raw      int64 // the same uncompressed
}

// PatchSize is the size of the whole patch in bytes.
func (h *Header) PatchSize() int64 { return headerSize + h.control + h.literals }

// append writes the header; the digest covers it and the control streams.
func (h *Header) append(b, control []byte) []byte {
	start := len(b)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, Version)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.BaseSize))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.TargetSize))
	b = append(b, h.BaseDigest[:]...)
	b = append(b, h.TargetDigest[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.control))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.literals))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.raw))
	sum := sha256.New()
	sum.Write(b[start:])
	sum.Write(control)
	return sum.Sum(b)
}

// parse reads a header of headerSize bytes.
func (h *Header) parse(b []byte) error {
	if string(b[:8]) != magic {
		return fmt.Errorf("%w: it does not start like a patch", ErrUnsupported)
	}
	if v, flags := binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:]); v != Version || flags != 0 {
		return fmt.Errorf("%w: version %d, flags %#x; this program reads version %d", ErrUnsupported, v, flags, Version)
	}
	for _, f := range []struct {
		at int
		to *int64
	}{{16, &h.BaseSize}, {24, &h.TargetSize}, {96, &h.control}, {104, &h.literals}, {112, &h.raw}} {
		v := binary.LittleEndian.Uint64(b[f.at:])
		if v >= 1<<48 {
			return corrupt("impossible size in the header")
		}
		*f.to = int64(v)
	}
	copy(h.BaseDigest[:], b[32:])
	copy(h.TargetDigest[:], b[64:])
	return nil
}

// ReadHeader reads the header of a patch, which is its first 152 bytes. It
// checks no digest: what it returns tells which base to look for and how much
// room to make, and Apply finds out whether it is true. The error wraps
// [ErrUnsupported] or [ErrCorrupt], or is the reader's.
func ReadHeader(patch io.Reader) (*Header, error) {
	h, _, err := readHeader(patch)
	return h, err
}

func readHeader(patch io.Reader) (*Header, []byte, error) {
	b := make([]byte, headerSize)
	n, err := io.ReadFull(patch, b)
	switch {
	case (err == io.EOF || err == io.ErrUnexpectedEOF) && strings.HasPrefix(magic, string(b[:min(n, len(magic))])):
		return nil, nil, corrupt("header cut short")
	case err == io.ErrUnexpectedEOF:
		return nil, nil, fmt.Errorf("%w: too short", ErrUnsupported)
	case err != nil:
		return nil, nil, fmt.Errorf("read patch: %w", err)
	}
	h := &Header{}
	return h, b, h.parse(b)
}

package stream

import (
	"encoding/binary"
	"fmt"
)

// opcode is what a frame is for (RFC 6455, section 11.8).
type opcode byte

const (
	opContinuation opcode = 0
	opText         opcode = 1
	opBinary       opcode = 2
	opClose        opcode = 8
	opPing         opcode = 9
	opPong         opcode = 10
)

func (op opcode) control() bool { return op&8 != 0 }

func (op opcode) known() bool { return op <= opBinary || (op >= opClose && op <= opPong) }

const (
	maxHeader  = 14  // bytes
	maxControl = 125 // bytes of payload of a control frame
)

// header is the head of a frame (RFC 6455, section 5.2).
type header struct {
	fin    bool
	op     opcode
	masked bool
	key    [4]byte
	length uint64 // of the payload
}

// parseHeader reads the header of a client's frame at the start of b. n is its
// size, or 0 while b does not hold all of it. The error is a *CloseError.
func parseHeader(b []byte) (h header, n int, err error) {
	if len(b) < 2 {
		return header{}, 0, nil
	}
	h = header{fin: b[0]&0x80 != 0, op: opcode(b[0] & 0x0f), masked: true}
	short := b[1] & 0x7f
	switch {
	case b[0]&0x70 != 0:
		return header{}, 0, violation("reserved bits are set")
	case !h.op.known():
		return header{}, 0, violation(fmt.Sprintf("opcode %d is reserved", h.op))
	case b[1]&0x80 == 0:
		return header{}, 0, violation("frame is not masked")
	case h.op.control() && !h.fin:
		return header{}, 0, violation("control frame is fragmented")
	case h.op.control() && short > maxControl:
		return header{}, 0, violation("control frame is too long")
	}
	size := 2 + extended(short)
	if len(b) < size+4 {
		return header{}, 0, nil
	}
	if h.length, err = length(short, b[2:size]); err != nil {
		return header{}, 0, err
	}
	copy(h.key[:], b[size:])
	return h, size + 4, nil
}

// extended is the number of bytes in which the length follows.
func extended(short byte) int {
	switch short {
	case 126:
		return 2
	case 127:
		return 8
	}
	return 0
}

// length decodes the payload's length; only the shortest form is allowed.
func length(short byte, ext []byte) (uint64, error) {
	switch len(ext) {
	case 2:
		n := uint64(binary.BigEndian.Uint16(ext))
		if n < 126 {
			return 0, violation("length is not in its shortest form")
		}
		return n, nil
	case 8:
		n := binary.BigEndian.Uint64(ext)
		if n <= 0xffff || n>>63 != 0 {
			return 0, violation("length is not in its shortest form or too large")
		}
		return n, nil
	}
	return uint64(short), nil
}

// appendHeader writes h.
func appendHeader(dst []byte, h header) []byte {
	first, second := byte(h.op), byte(0)
	if h.fin {
		first |= 0x80
	}
	if h.masked {
		second = 0x80
	}
	switch {
	case h.length <= maxControl:
		dst = append(dst, first, second|byte(h.length))
	case h.length <= 0xffff:
		dst = append(dst, first, second|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(h.length))
	default:
		dst = append(dst, first, second|127)
		dst = binary.BigEndian.AppendUint64(dst, h.length)
	}
	if h.masked {
		dst = append(dst, h.key[:]...)
	}
	return dst
}

// unmask applies key to b in place and returns the key for the bytes that
// follow (RFC 6455, section 5.3).
func unmask(key [4]byte, b []byte) [4]byte {
	k := binary.LittleEndian.Uint32(key[:])
	wide := uint64(k)<<32 | uint64(k)
	i := 0
	for ; i+8 <= len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], binary.LittleEndian.Uint64(b[i:])^wide)
	}
	for ; i < len(b); i++ {
		b[i] ^= key[i&3]
	}
	n := len(b) & 3
	return [4]byte{key[n&3], key[(n+1)&3], key[(n+2)&3], key[(n+3)&3]}
}

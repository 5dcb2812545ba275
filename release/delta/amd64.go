package delta

import "encoding/binary"

// scanX86 finds the relative references in amd64 code: calls and jumps with a
// 4-byte distance, and RIP-relative operands, whose targets are in all. It
// follows the code instruction by instruction (Intel SDM volume 2, chapter 2
// and appendix A); where bytes make none it goes on at the next byte. addr is
// the address of b[0].
func scanX86(b []byte, addr uint64, all space, found func(i int, k kind)) {
	for i := 0; i < len(b); {
		n, at, after := instruction(b[i:])
		if at > 0 {
			t := addr + uint64(i+at+4+after) + uint64(int64(int32(binary.LittleEndian.Uint32(b[i+at:]))))
			if all.has(t) {
				found(i+at, relatives[after])
			}
		}
		i += n
	}
}

// relatives are the kinds of distances that so many bytes of an instruction
// follow.
var relatives = [5]kind{0: rel32, 1: rel32and1, 2: rel32and2, 4: rel32and4}

// What an opcode is followed by.
const (
	opModRM = 1 << iota
	opImm8
	opImm16
	opImm32 // 16 bits with prefix 66
	opRel32
	opGroup3 // an immediate only for TEST
	opMove64 // 64 bits with REX.W
	opOffset // an 8-byte address
	opPrefix
	opBad
)

// oneByte and twoByte are the opcode maps without and with the escape 0f.
var (
	oneByte = oneByteMap()
	twoByte = twoByteMap()
)

// spread sets what follows the opcodes lo to hi.
func spread(t *[256]uint16, lo, hi int, what uint16) {
	for c := lo; c <= hi; c++ {
		t[c] = what
	}
}

func oneByteMap() *[256]uint16 {
	t := new([256]uint16)
	for c := 0; c < 0x40; c += 8 {
		spread(t, c, c+3, opModRM)
		t[c+4], t[c+5], t[c+6], t[c+7] = opImm8, opImm32, opBad, opBad
	}
	for _, c := range []int{0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3} {
		t[c] = opPrefix
	}
	spread(t, 0x40, 0x4f, opPrefix)
	t[0x60], t[0x61], t[0x63] = opBad, opBad, opModRM
	t[0x68], t[0x69], t[0x6a], t[0x6b] = opImm32, opModRM|opImm32, opImm8, opModRM|opImm8
	spread(t, 0x70, 0x7f, opImm8)
	spread(t, 0x80, 0x8f, opModRM)
	t[0x80], t[0x81], t[0x82], t[0x83] = opModRM|opImm8, opModRM|opImm32, opBad, opModRM|opImm8
	t[0x9a] = opBad
	spread(t, 0xa0, 0xa3, opOffset)
	t[0xa8], t[0xa9] = opImm8, opImm32
	spread(t, 0xb0, 0xb7, opImm8)
	spread(t, 0xb8, 0xbf, opImm32|opMove64)
	t[0xc0], t[0xc1], t[0xc2] = opModRM|opImm8, opModRM|opImm8, opImm16
	t[0xc6], t[0xc7], t[0xc8], t[0xca] = opModRM|opImm8, opModRM|opImm32, opImm16|opImm8, opImm16
	t[0xcd], t[0xce] = opImm8, opBad
	spread(t, 0xd0, 0xd3, opModRM)
	spread(t, 0xd4, 0xd6, opBad)
	spread(t, 0xd8, 0xdf, opModRM)
	spread(t, 0xe0, 0xe7, opImm8)
	t[0xe8], t[0xe9], t[0xea], t[0xeb] = opRel32, opRel32, opBad, opImm8
	t[0xf6], t[0xf7] = opModRM|opGroup3|opImm8, opModRM|opGroup3|opImm32
	t[0xfe], t[0xff] = opModRM, opModRM
	return t
}

func twoByteMap() *[256]uint16 {
	t := new([256]uint16)
	spread(t, 0x00, 0xff, opModRM)
	spread(t, 0x04, 0x0c, 0)
	t[0x04], t[0x0a], t[0x0c], t[0x0e] = opBad, opBad, opBad, 0
	spread(t, 0x30, 0x37, 0)
	spread(t, 0x70, 0x73, opModRM|opImm8)
	t[0x77] = 0
	spread(t, 0x80, 0x8f, opRel32)
	spread(t, 0xa0, 0xa2, 0)
	spread(t, 0xa8, 0xaa, 0)
	for _, c := range []int{0xa4, 0xac, 0xba, 0xc2, 0xc4, 0xc5, 0xc6} {
		t[c] = opModRM | opImm8
	}
	spread(t, 0xc8, 0xcf, 0)
	return t
}

// instruction returns the length of the instruction at the start of b, at
// which byte of it a relative distance starts (0 for none) and how many bytes
// follow that. What is no instruction has length 1.
func instruction(b []byte) (n, at, after int) {
	i, wide, short := 0, false, false
	for i < len(b) && i < 14 && oneByte[b[i]]&opPrefix != 0 {
		wide = b[i]&0xf8 == 0x48 // REX.W, if it is the last prefix
		short = short || b[i] == 0x66
		i++
	}
	if i >= len(b) {
		return 1, 0, 0
	}
	i, what := opcode(b, i)
	if what&opBad != 0 || i >= len(b) && what != 0 {
		return 1, 0, 0
	}
	if what&opRel32 != 0 {
		at = i
		i += 4
	}
	if what&opModRM != 0 {
		m := b[i]
		if what&opGroup3 != 0 && m>>3&7 > 1 {
			what &^= opImm8 | opImm32
		}
		i, at = operand(b, i)
	}
	end := i + immediate(what, wide, short)
	if end > len(b) {
		return 1, 0, 0
	}
	if at > 0 {
		after = end - at - 4
	}
	if after > 4 || after == 3 {
		at = 0
	}
	return end, at, after
}

// opcode reads the opcode at b[i] with its escape, VEX or EVEX prefix, and
// returns what follows it and where.
func opcode(b []byte, i int) (int, uint16) {
	c := b[i]
	space, op := 0, i
	switch {
	case c == 0x0f && i+2 < len(b) && (b[i+1] == 0x38 || b[i+1] == 0x3a):
		space, op = int(b[i+1]-0x38)/2+2, i+2
	case c == 0x0f:
		space, op = 1, i+1
	case c == 0xc5:
		space, op = 1, i+2
	case c == 0xc4 && i+1 < len(b):
		space, op = int(b[i+1]&0x1f), i+3
	case c == 0x62 && i+1 < len(b):
		space, op = int(b[i+1]&7), i+4
	}
	if op >= len(b) {
		return op, opBad
	}
	switch space {
	case 0:
		return op + 1, oneByte[b[op]]
	case 1:
		return op + 1, twoByte[b[op]]
	case 3:
		return op + 1, opModRM | opImm8
	}
	return op + 1, opModRM
}

// operand skips a ModRM byte, its SIB byte and displacement, and returns where
// a RIP-relative one is.
func operand(b []byte, i int) (end, at int) {
	mod, rm := b[i]>>6, b[i]&7
	i++
	if mod == 3 {
		return i, 0
	}
	if rm == 4 {
		if i < len(b) && b[i]&7 == 5 && mod == 0 {
			i += 4
		}
		i++
	}
	switch {
	case mod == 0 && rm == 5:
		return i + 4, i
	case mod == 1:
		i++
	case mod == 2:
		i += 4
	}
	return i, 0
}

func immediate(what uint16, wide, short bool) (n int) {
	if what&opImm8 != 0 {
		n++
	}
	if what&opImm16 != 0 {
		n += 2
	}
	if what&opImm32 != 0 {
		switch {
		case what&opMove64 != 0 && wide:
			n += 8
		case short && !wide:
			n += 2
		default:
			n += 4
		}
	}
	if what&opOffset != 0 {
		n += 8
	}
	return n
}

package delta

import "encoding/binary"

// scanARM finds the references in arm64 code: B and BL, and ADRP followed by
// an instruction that adds the low 12 bits of the address to its register.
func scanARM(b []byte, found func(i int, k kind)) {
	for i := 0; i+4 <= len(b); i += 4 {
		w := binary.LittleEndian.Uint32(b[i:])
		switch {
		case w&0x7c000000 == 0x14000000:
			found(i, branch26)
		case w&0x9f000000 == 0x90000000 && i+8 <= len(b):
			if lowScale(binary.LittleEndian.Uint32(b[i+4:]), w&31) >= 0 {
				found(i, pagePair)
				i += 4
			}
		}
	}
}

// lowScale returns by how many bits the 12-bit immediate of w is shifted when
// w adds it to register reg: ADD, or a load or store with unsigned offset.
// Anything else is -1.
func lowScale(w, reg uint32) int {
	if w>>5&31 != reg {
		return -1
	}
	switch {
	case w&0xffc00000 == 0x91000000: // ADD Xd, Xn, #imm
		return 0
	case w&0x3f000000 == 0x39000000: // LDR and STR of general registers
		return int(w >> 30)
	case w&0x3f000000 == 0x3d000000: // of vector registers
		if w>>23&1 != 0 {
			return 4
		}
		return int(w >> 30)
	}
	return -1
}

func pairTarget(b []byte, a uint64) uint64 {
	w, x := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	pages := int64(int32(w>>5&(1<<19-1)<<13))>>11 | int64(w>>29&3)
	low := uint64(x>>10&pageMask) << max(0, lowScale(x, w&31))
	return a&^pageMask + uint64(pages)<<12 + low
}

func rewritePair(b []byte, a, t uint64) {
	w, x := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	pages := (t>>12 - a>>12)
	w = w&^(3<<29|(1<<19-1)<<5) | uint32(pages&3)<<29 | uint32(pages>>2&(1<<19-1))<<5
	low := uint32(t&pageMask) >> max(0, lowScale(x, w&31))
	binary.LittleEndian.PutUint32(b, w)
	binary.LittleEndian.PutUint32(b[4:], x&^(pageMask<<10)|low<<10)
}

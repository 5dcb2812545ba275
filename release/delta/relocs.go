package delta

import (
	"encoding/binary"
	"slices"
)

// maxRelocs bounds the memory for a list of relocations to four times this,
// in bytes.
const maxRelocs = 4 << 20

// relocations predicts the base relocation table of a PE file (PE format,
// section ".reloc"): blocks of a page's address, the block's size, and two
// bytes for each place in the page, their top four bits the type. As places
// move from page to page it is read, moved and written anew. What does not
// fit is left out; what stays free is zero.
func (g *program) relocations(b []byte, s *shifts) {
	if len(b) > maxRelocs {
		return
	}
	places := readRelocs(b)
	for i, p := range places {
		addr := s.to(g.old[atImage]+p>>4) - g.new[atImage]
		places[i] = addr&(1<<32-1)<<4 | p&15
	}
	slices.Sort(places)
	clear(b)
	for len(places) > 0 {
		page := places[0] >> 16
		n := 1
		for n < len(places) && places[n]>>16 == page {
			n++
		}
		size := 8 + 2*(n+n&1)
		if size > len(b) {
			return
		}
		binary.LittleEndian.PutUint32(b, uint32(page<<12))
		binary.LittleEndian.PutUint32(b[4:], uint32(size))
		for i, p := range places[:n] {
			binary.LittleEndian.PutUint16(b[8+2*i:], uint16(p>>4&pageMask|p&15<<12))
		}
		b, places = b[size:], places[n:]
	}
}

// readRelocs lists the places of a table, each sixteen times its offset from
// the image plus its type, up to the first block that makes no sense.
func readRelocs(b []byte) []uint64 {
	places := make([]uint64, 0, len(b)/2)
	for len(b) >= 8 {
		page, size := uint64(binary.LittleEndian.Uint32(b)), int(binary.LittleEndian.Uint32(b[4:]))
		if size < 8 || size > len(b) || page&pageMask != 0 || size%2 != 0 {
			break
		}
		for i := 8; i < size; i += 2 {
			if e := uint64(binary.LittleEndian.Uint16(b[i:])); e>>12 != 0 {
				places = append(places, (page+e&pageMask)<<4|e>>12)
			}
		}
		b = b[size:]
	}
	return places
}

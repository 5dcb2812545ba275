package delta

import "encoding/binary"

// segment says that the bytes of the base file at off are seen by the program
// at addr.
type segment struct{ off, addr, n uint64 }

// scan names what is looked for in a region of the base.
type scan uint8

const (
	scanAMD64    scan = iota // machine code: relative calls, jumps and addresses
	scanARM64                // machine code: branches and page-relative addresses
	scanWords                // aligned 8-byte addresses
	scanTypes                // as scanWords, and Go's type data
	scanOffsets              // 4-byte offsets from a base address
	scanGoFiles              // Go's cutab
	scanGoInline             // Go's inline trees and stack objects, found through the function table
	scanGoFuncs              // Go's _func records
	scanRebase               // Mach-O's list of addresses to relocate
	scanRelocs               // PE's
	scans
)

// region is a stretch of one segment and what to look for in it.
type region struct {
	scan   scan
	origin origin // for scanOffsets
	off    uint64
	n      uint64
}

// origin numbers the addresses that stored offsets count from.
type origin uint8

const (
	atZero    origin = iota // absolute addresses
	atText                  // runtime.text
	atTypes                 // runtime.types
	atRodata                // runtime.rodata
	atFuncs                 // runtime.functab
	atNames                 // runtime.funcnametab
	atUnits                 // runtime.cutab, whose offsets count 4 bytes
	atFiles                 // runtime.filetab
	atPCs                   // runtime.pctab
	atGoFuncs               // go:func.*
	atImage                 // where the file is loaded
	atSegment               // the first of mappedSegments, in the file's order
	origins   = atSegment + mappedSegments
)

// kind is how a reference is written: one of the first kinds, or offset+o for
// four bytes that count from origin o.
type kind uint8

const (
	abs64     kind = iota // 8 bytes: the address
	rel32                 // 4 bytes: distance from their end,
	rel32and1             // or from 1 byte after it,
	rel32and2             // 2
	rel32and4             // or 4
	branch26              // arm64 B and BL
	pagePair              // arm64 ADRP and the next instruction's low bits
	offset                // + origin
	leb       = offset + kind(origins)
)

// mappedSegments is how many segments an offset in LEB128 can count from, and
// maxLEB how many bytes it may have: leb + maxLEB*s + n - 1 is one of n bytes
// that counts from the start of segment s.
const (
	mappedSegments = 4
	maxLEB         = 5
)

const pageMask = 1<<12 - 1

// origin is how many bytes behind its start a relative distance counts from.
func (k kind) origin() uint64 {
	return [...]uint64{rel32: 4, rel32and1: 5, rel32and2: 6, rel32and4: 8}[k]
}

// width is how many bytes a reference takes.
func (k kind) width() int {
	switch {
	case k == abs64 || k == pagePair:
		return 8
	case k >= leb:
		return int(k-leb)%maxLEB + 1
	}
	return 4
}

// program describes a base to the decoder: where it is mapped, where its
// references are, and the origins in the base and in the target.
type program struct {
	segments []segment
	regions  []region
	top      uint64 // past the last address in use, in the file or not
	funcs    uint64 // entries of the function table
	old, new [origins]uint64
}

// address is where offset off of the base is mapped.
func (p *program) address(off uint64) (uint64, bool) { return addressIn(p.segments, off) }

func addressIn(segs []segment, off uint64) (uint64, bool) {
	for _, s := range segs {
		if off-s.off < s.n {
			return s.addr + off - s.off, true
		}
	}
	return 0, false
}

func offsetIn(segs []segment, addr uint64) (uint64, bool) {
	for _, s := range segs {
		if addr-s.addr < s.n {
			return s.off + addr - s.addr, true
		}
	}
	return 0, false
}

// space is an address range [lo, hi).
type space struct{ lo, hi uint64 }

func (s space) has(a uint64) bool { return a-s.lo < s.hi-s.lo }

// target is the address that the reference in b, found at address a, means
// where the origins are at.
func target(b []byte, k kind, a uint64, at *[origins]uint64) uint64 {
	if k >= leb {
		return at[k.segment()] + readLEB(b[:k.width()])
	}
	switch k {
	case abs64:
		return binary.LittleEndian.Uint64(b)
	case rel32, rel32and1, rel32and2, rel32and4:
		return a + k.origin() + uint64(int64(int32(binary.LittleEndian.Uint32(b))))
	case branch26:
		return a + uint64(int64(int32(binary.LittleEndian.Uint32(b)<<6)>>4))
	case pagePair:
		return pairTarget(b, a)
	case offset + kind(atUnits):
		return at[atUnits] + 4*uint64(binary.LittleEndian.Uint32(b))
	}
	return at[k-offset] + uint64(binary.LittleEndian.Uint32(b))
}

// rewrite makes the reference in b, seen at address a, mean t.
func rewrite(b []byte, k kind, a, t uint64, at *[origins]uint64) {
	if k >= leb {
		writeLEB(b[:k.width()], t-at[k.segment()])
		return
	}
	switch k {
	case abs64:
		binary.LittleEndian.PutUint64(b, t)
	case rel32, rel32and1, rel32and2, rel32and4:
		binary.LittleEndian.PutUint32(b, uint32(t-a-k.origin()))
	case branch26:
		w := binary.LittleEndian.Uint32(b)
		binary.LittleEndian.PutUint32(b, w&^(1<<26-1)|uint32((t-a)>>2)&(1<<26-1))
	case pagePair:
		rewritePair(b, a, t)
	case offset + kind(atUnits):
		binary.LittleEndian.PutUint32(b, uint32((t-at[atUnits])/4))
	default:
		binary.LittleEndian.PutUint32(b, uint32(t-at[k-offset]))
	}
}

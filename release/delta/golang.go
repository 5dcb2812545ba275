package delta

import (
	"bytes"
	"encoding/binary"
)

// golang is where the parts of a Go program are, as addresses; pcHeader is
// zero when there is none that is known.
type golang struct {
	pcHeader, names, units, files, pcs, funcs uint64
	nfunc                                     uint64
	end                                       uint64 // of the records
	text, types, rodata, goFuncs              uint64
	findFuncs, minPC, maxPC, last             uint64 // last: end of all of pclntab
	links, linksEnd                           uint64 // runtime.typelink
}

// What the header of Go's table of functions starts with (Go 1.20 and later,
// 8-byte pointers); the third byte from the end is the size of an instruction.
var (
	magicAMD64 = []byte{0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8}
	magicARM64 = []byte{0xf1, 0xff, 0xff, 0xff, 0, 0, 4, 8}
)

// findGo looks for the table of functions and for the module data that points
// to it (runtime/symtab.go). What it does not find or understand stays zero.
func findGo(b []byte, l *layout) (g golang) {
	magic := magicAMD64
	if l.arch == "arm64" {
		magic = magicARM64
	}
	for _, s := range l.sections {
		if s.role == code {
			continue
		}
		d := b[s.off : s.off+s.n]
		for i := 0; ; {
			j := bytes.Index(d[i:], magic)
			if j < 0 {
				break
			}
			if g, ok := readPCHeader(d[i+j:], s.addr+uint64(i+j)); ok && g.findModule(b, l) {
				return g
			}
			i += j + len(magic)
		}
	}
	return golang{}
}

// readPCHeader reads a pcHeader at address addr.
func readPCHeader(d []byte, addr uint64) (g golang, ok bool) {
	if len(d) < 72 || addr%8 != 0 {
		return g, false
	}
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(d[8*i:]) }
	g = golang{pcHeader: addr, nfunc: word(1), names: addr + word(4), units: addr + word(5), files: addr + word(6), pcs: addr + word(7), funcs: addr + word(8)}
	n := uint64(len(d))
	ok = g.nfunc > 0 && g.nfunc < n/recordSize && word(4) >= 64 && word(4) <= word(5) && word(5) <= word(6) && word(6) <= word(7) && word(7) <= word(8) && word(8) < n
	return g, ok
}

// The words of runtime.moduledata, Go 1.20 and later.
const (
	moduleNames     = 1
	moduleUnits     = 4
	moduleFuncs     = 13 // pointer, length, capacity
	moduleFind      = 19
	moduleMinPC     = 20
	moduleMaxPC     = 21
	moduleText      = 22
	moduleTypes     = 37
	moduleRodata    = 39
	moduleGoFuncs   = 40
	moduleEnd       = 41 // Go 1.26 and later
	moduleTypeLinks = 45 // before that one less
	moduleWords     = 51
)

// findModule looks for the module data by its first words.
func (g *golang) findModule(b []byte, l *layout) bool {
	var start [16]byte
	binary.LittleEndian.PutUint64(start[:], g.pcHeader)
	binary.LittleEndian.PutUint64(start[8:], g.names)
	for _, s := range l.sections {
		if s.role == code {
			continue
		}
		d := b[s.off : s.off+s.n]
		for i := 0; ; {
			j := bytes.Index(d[i:], start[:])
			if j < 0 {
				break
			}
			i += j
			if len(d)-i >= 8*moduleWords && g.readModule(d[i:], l) {
				return true
			}
			i += len(start)
		}
	}
	return false
}

func (g *golang) readModule(d []byte, l *layout) bool {
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(d[8*i:]) }
	if word(moduleUnits) != g.units || word(moduleFuncs) != g.funcs {
		return false
	}
	mapped := func(a uint64) bool { _, ok := offsetIn(l.segments, a); return ok }
	g.end = g.funcs + word(moduleFuncs+1)
	g.text, g.types, g.rodata, g.goFuncs = word(moduleText), word(moduleTypes), word(moduleRodata), word(moduleGoFuncs)
	g.findFuncs, g.minPC, g.maxPC = word(moduleFind), word(moduleMinPC), word(moduleMaxPC)
	g.last = g.end
	links := moduleTypeLinks - 1
	if e := word(moduleEnd); e >= g.end && e-g.end < 1<<30 && mapped(e-1) {
		g.last, links = e, moduleTypeLinks
	}
	if a, n := word(links), word(links+1); n > 0 && n < 1<<28 && n == word(links+2) && mapped(a) && mapped(a+4*n-1) {
		g.links, g.linksEnd = a, a+4*n
	}
	return mapped(g.text) && mapped(g.types) && mapped(g.rodata) && mapped(g.goFuncs) && mapped(g.end-1) && g.maxPC > g.minPC && g.end > g.funcs
}

package delta

import "encoding/binary"

// A visit is called for each reference: at is its offset in the base, a its
// address. It may change the reference's bytes, and nothing else.
type visit func(at int, a uint64, k kind)

// walker finds the references of a base. It looks only at bytes that a visit
// has not changed, so that it finds the same whether they are or not.
type walker struct {
	p     *program
	b     []byte
	all   space // from the lowest to past the highest mapped address
	visit visit
}

// walk calls visit for every reference in b, region by region. The regions
// must lie within b.
func (p *program) walk(b []byte, visit visit) {
	w := &walker{p: p, b: b, visit: visit}
	w.all = space{^uint64(0), p.top}
	for _, s := range p.segments {
		w.all.lo = min(w.all.lo, s.addr)
	}
	for _, r := range p.regions {
		w.region(r)
	}
}

func (w *walker) region(r region) {
	addr, ok := w.p.address(r.off)
	if !ok {
		return
	}
	off := int(r.off)
	b := w.b[r.off : r.off+r.n]
	found := func(i int, k kind) { w.visit(off+i, addr+uint64(i), k) }
	switch r.scan {
	case scanAMD64:
		scanX86(b, addr, w.all, found)
	case scanARM64:
		scanARM(b, found)
	case scanWords:
		w.words(b, addr, found)
	case scanTypes:
		w.types(b, addr, found)
	case scanOffsets:
		offsets(b, offset+kind(r.origin), found)
	case scanGoFiles:
		units(b, found)
	case scanGoInline:
		w.goData(r, b, found)
	case scanGoFuncs:
		w.records(b, found)
	case scanRebase:
		rebases(b, found)
	}
}

// words finds the 8-byte addresses at multiples of 8.
func (w *walker) words(b []byte, addr uint64, found func(int, kind)) {
	for i := int(-addr & 7); i+8 <= len(b); i += 8 {
		if w.all.has(binary.LittleEndian.Uint64(b[i:])) {
			found(i, abs64)
		}
	}
}

// offsets finds an offset of kind k in every 4 bytes.
func offsets(b []byte, k kind, found func(int, kind)) {
	for i := 0; i+4 <= len(b); i += 4 {
		found(i, k)
	}
}

// units finds the offsets into the file table, all but those of no file.
func units(b []byte, found func(int, kind)) {
	for i := 0; i+4 <= len(b); i += 4 {
		if binary.LittleEndian.Uint32(b[i:]) != none {
			found(i, offset+kind(atFiles))
		}
	}
}

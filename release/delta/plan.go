package delta

import (
	"crypto/sha256"
	"encoding/binary"
)

// plan is the first stream of a patch: what the decoder is told of the base,
// so that it need not understand file formats, and of the target's derived
// tables. An absent program means that references are not predicted.
type plan struct {
	program *program
	derived derived
}

const (
	maxSegments = 64
	maxRegions  = 256
)

func (p *plan) append(b []byte) []byte {
	uints := func(vs ...uint64) {
		for _, v := range vs {
			b = binary.AppendUvarint(b, v)
		}
	}
	d := &p.derived
	uints(d.table, d.end, d.funcs, d.index, d.span, d.bias, d.hashes, d.limit, d.page)
	if p.program == nil {
		uints(0, 0)
		return b
	}
	g := p.program
	uints(uint64(len(g.segments)), uint64(len(g.regions)))
	for _, s := range g.segments {
		uints(s.off, s.addr, s.n)
	}
	for _, r := range g.regions {
		uints(uint64(r.scan), uint64(r.origin), r.off, r.n)
	}
	uints(g.top, g.funcs)
	uints(g.old[1:]...)
	uints(g.new[1:]...)
	return b
}

// parsePlan reads and checks a plan for a base and a target of these sizes.
func parsePlan(b []byte, base, target uint64) (*plan, error) {
	r := &varints{b: b}
	p := &plan{}
	d := &p.derived
	for _, v := range []*uint64{&d.table, &d.end, &d.funcs, &d.index, &d.span, &d.bias, &d.hashes, &d.limit, &d.page} {
		*v = r.uint()
	}
	if r.err == nil && !d.valid(target) {
		return nil, corrupt("derived tables outside the target")
	}
	segs, regions := r.count(maxSegments), r.count(maxRegions)
	if segs > 0 {
		p.program = parseProgram(r, segs, regions)
	}
	switch {
	case r.err != nil:
		return nil, r.err
	case len(r.b) > 0:
		return nil, corrupt("plan too long")
	case p.program != nil && !p.program.valid(base):
		return nil, corrupt("regions outside the base")
	}
	return p, nil
}

func parseProgram(r *varints, segs, regions int) *program {
	g := &program{}
	for range segs {
		g.segments = append(g.segments, segment{r.uint(), r.uint(), r.uint()})
	}
	for range regions {
		g.regions = append(g.regions, region{scan(r.count(uint64(scans - 1))), origin(r.count(uint64(origins - 1))), r.uint(), r.uint()})
	}
	g.top, g.funcs = r.uint(), r.uint()
	for i := range g.old[1:] {
		g.old[1+i] = r.uint()
	}
	for i := range g.new[1:] {
		g.new[1+i] = r.uint()
	}
	return g
}

// valid reports whether segments and regions lie in a base of size bytes,
// each region in one segment, and none over another.
func (g *program) valid(size uint64) bool {
	inside := func(off, n, limit uint64) bool { return off <= limit && n <= limit-off }
	end := uint64(0)
	for _, s := range g.segments {
		if !inside(s.off, s.n, size) || s.off < end || s.addr >= 1<<62 || s.addr+s.n > g.top {
			return false
		}
		end = s.off + s.n
	}
	total := uint64(0)
	for _, r := range g.regions {
		if !inside(r.off, r.n, size) {
			return false
		}
		// However regions lie, the work of a walk stays linear.
		if total += r.n; total > 2*size {
			return false
		}
	}
	return true
}

// valid reports whether the tables lie in a target of size bytes, apart from
// each other and in an order in which they can be derived.
func (d *derived) valid(size uint64) bool {
	if d.end == 0 {
		if d.span != 0 {
			return false
		}
	} else if d.funcs > size/8 || d.end > size || d.table > size || d.first() > d.end || d.end-d.first() > maxHoisted {
		return false
	}
	if d.span != 0 && (d.span > maxSpan || d.index < d.end || d.index > size || indexSize(d.span) > size-d.index) {
		return false
	}
	if d.limit == 0 {
		return true
	}
	if d.page < 10 || d.page > 20 || d.limit > d.hashes || d.hashes > size {
		return false
	}
	sums := pages(d.limit, d.page) * sha256.Size
	return sums <= size-d.hashes && sums <= maxSums
}

func pages(limit, shift uint64) uint64 { return (limit + 1<<shift - 1) >> shift }

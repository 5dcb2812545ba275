package delta

import (
	"crypto/sha256"
	"hash"
)

// overlay is a derived table at an offset of the target. What the steps of a
// patch make there is only how the true bytes differ from it.
type overlay struct {
	off uint64
	b   []byte
}

// apply combines the table with dst, which starts at offset at of the target.
func (o *overlay) apply(dst []byte, at uint64) {
	lo, hi := max(o.off, at), min(o.off+uint64(len(o.b)), at+uint64(len(dst)))
	for i := lo; i < hi; i++ {
		dst[i-at] ^= o.b[i-o.off]
	}
}

// overlays derives the tables of Go functions from their records. What does
// not work out is left out, in the same way when making and applying.
func (d *derived) overlays(records []byte) []overlay {
	if d.end == 0 {
		return nil
	}
	table := funcTable(records, d.funcs)
	if table == nil {
		return nil
	}
	os := []overlay{{d.table, table}}
	if d.span != 0 {
		if index := funcIndex(table, d.span, d.bias); index != nil {
			os = append(os, overlay{d.index, index})
		}
	}
	return os
}

// pageSums computes the digests of a file's pages as they come.
type pageSums struct {
	shift uint64
	left  uint64 // bytes still to come
	fill  uint64 // bytes in the present page
	h     hash.Hash
	sums  []byte
}

func (p *pageSums) write(b []byte) {
	for p.left > 0 && len(b) > 0 {
		if p.h == nil {
			p.h = sha256.New()
			p.sums = make([]byte, 0, sha256.Size*pages(p.left, p.shift))
		}
		n := min(uint64(len(b)), 1<<p.shift-p.fill, p.left)
		p.h.Write(b[:n])
		b = b[n:]
		p.fill += n
		p.left -= n
		if p.fill == 1<<p.shift || p.left == 0 {
			p.sums = p.h.Sum(p.sums)
			p.h.Reset()
			p.fill = 0
		}
	}
}

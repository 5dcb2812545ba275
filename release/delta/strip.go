package delta

import (
	"bytes"
	"slices"
)

// derivable finds the derived tables of a target. One that turns out to hold
// mostly something else is left alone.
func derivable(b []byte, l *layout) (d derived) {
	g := l.golang
	table, ok1 := offsetIn(l.segments, g.funcs)
	last, ok2 := offsetIn(l.segments, g.end-1)
	if g.pcHeader == 0 || !ok1 || !ok2 || last < table {
		return signature(b, l, d)
	}
	d.table, d.end, d.funcs = table, last+1, g.nfunc
	if !d.valid(uint64(len(b))) {
		return signature(b, l, derived{})
	}
	want := funcTable(b[d.first():d.end], d.funcs)
	if want == nil || !alike(want, b[table:table+8*d.funcs]) {
		return signature(b, l, derived{})
	}
	return signature(b, l, d.withIndex(b, l, want))
}

// withIndex adds the function table's index where it can be derived.
func (d derived) withIndex(b []byte, l *layout, table []byte) derived {
	g := l.golang
	with := d
	var ok bool
	with.index, ok = offsetIn(l.segments, g.findFuncs)
	with.span, with.bias = g.maxPC-g.minPC, g.text-g.minPC
	if !ok || !with.valid(uint64(len(b))) {
		return d
	}
	want := funcIndex(table, with.span, with.bias)
	if want == nil || !alike(want, b[with.index:with.index+uint64(len(want))]) {
		return d
	}
	return with
}

// alike reports whether most bytes are equal.
func alike(a, b []byte) bool {
	same := 0
	for i := range a {
		if a[i] == b[i] {
			same++
		}
	}
	return 2*same > len(a)
}

// strip returns the target as it is coded: the records of the function table
// first, then the rest, less what is derived.
func (d *derived) strip(target []byte) []byte {
	b := slices.Clone(target)
	var records []byte
	if d.end != 0 {
		records = b[d.first():d.end]
	}
	for _, o := range d.overlays(records) {
		o.apply(b, 0)
	}
	if d.limit != 0 {
		sums := pageSums{shift: d.page, left: d.limit}
		sums.write(target[:d.limit])
		o := overlay{d.hashes, sums.sums}
		o.apply(b, 0)
	}
	if d.end == 0 {
		return b
	}
	return slices.Concat(bytes.Clone(records), b[:d.first()], b[d.end:])
}

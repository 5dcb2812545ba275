package delta

import "slices"

// describe makes the program of a base whose references are to be predicted,
// with its own origins as the old ones.
func describe(l *layout) *program {
	p := &program{segments: l.segments, top: l.top, old: l.origins()}
	for _, s := range l.sections {
		p.regions = append(p.regions, l.golang.without(l, s)...)
	}
	p.regions = append(p.regions, l.tables()...)
	p.funcs = l.golang.nfunc
	return p
}

// origins returns the layout's addresses by number. Those that it has not are
// zero.
func (l *layout) origins() (at [origins]uint64) {
	g := l.golang
	at[atText], at[atTypes], at[atRodata] = g.text, g.types, g.rodata
	at[atFuncs], at[atNames], at[atUnits] = g.funcs, g.names, g.units
	at[atFiles], at[atPCs], at[atGoFuncs] = g.files, g.pcs, g.goFuncs
	at[atImage] = l.image
	for i := range min(mappedSegments, len(l.segments)) {
		at[int(atSegment)+i] = l.segments[i].addr
	}
	return at
}

// without returns the regions of section s, less Go's table of functions,
// which tables lists.
func (g golang) without(l *layout, s section) []region {
	r := region{off: s.off, n: s.n}
	switch s.role {
	case code:
		r.scan = scanAMD64
		if l.arch == "arm64" {
			r.scan = scanARM64
		}
		return []region{r}
	case typeLinks:
		return []region{{scan: scanOffsets, origin: atTypes, off: s.off, n: s.n}}
	case unwind:
		return []region{{scan: scanOffsets, origin: atImage, off: s.off, n: s.n}}
	case rebase:
		return []region{{scan: scanRebase, off: s.off, n: s.n}}
	case relocs:
		return []region{{scan: scanRelocs, off: s.off, n: s.n}}
	case words:
		return g.wordsOf(s)
	}
	return nil
}

// wordsOf cuts a section into what comes before, between and after the table
// of functions and the types.
func (g golang) wordsOf(s section) []region {
	end := s.addr + s.n
	cuts := []uint64{s.addr, end}
	for _, a := range []uint64{g.pcHeader, g.last, g.types, g.links, g.linksEnd} {
		if a > s.addr && a < end {
			cuts = append(cuts, a)
		}
	}
	slices.Sort(cuts)
	var rs []region
	for i, a := range cuts[:len(cuts)-1] {
		r := region{scan: scanWords, off: s.off + a - s.addr, n: cuts[i+1] - a}
		if g.pcHeader != 0 && a >= g.pcHeader && a < g.last {
			continue
		}
		switch {
		case g.links != 0 && a >= g.links && a < g.linksEnd:
			r.scan, r.origin = scanOffsets, atTypes
		case g.pcHeader != 0 && s.addr <= g.types && a >= g.types:
			r.scan = scanTypes
		}
		if r.n > 0 {
			rs = append(rs, r)
		}
	}
	return rs
}

// tables are the regions inside Go's table of functions. The inline trees
// come first, as they are found through records not yet rewritten.
func (l *layout) tables() []region {
	g := l.golang
	if g.pcHeader == 0 {
		return nil
	}
	var rs []region
	add := func(s scan, from, to uint64) {
		off, ok := offsetIn(l.segments, from)
		if _, whole := offsetIn(l.segments, to-1); ok && whole && to > from {
			rs = append(rs, region{scan: s, off: off, n: to - from})
		}
	}
	if g.last > g.goFuncs && g.goFuncs >= g.end { // go:func.* behind the records
		add(scanGoInline, g.goFuncs, g.last)
	}
	add(scanGoFiles, g.units, g.files)
	add(scanGoFuncs, g.funcs, g.end)
	return rs
}

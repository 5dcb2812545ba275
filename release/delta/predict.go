package delta

import (
	"slices"
)

// predict rewrites every reference in b, a copy of the base, to what it
// should be in the target. An address that is the base's own moves with the
// bytes there; a reference moves with the place that holds it.
func (g *program) predict(b []byte, s *shifts) {
	g.walk(b, func(at int, a uint64, k kind) {
		t := target(b[at:], k, a, &g.old)
		rewrite(b[at:], k, s.to(a), s.to(t), &g.new)
	})
	for _, r := range g.regions {
		if r.scan == scanRelocs {
			g.relocations(b[r.off:r.off+r.n], s)
		}
	}
}

// mask zeroes every reference in b, so that code is aligned by what it does
// and not by where it lies.
func (g *program) mask(b []byte) {
	g.walk(b, func(at int, _ uint64, k kind) {
		clear(b[at : at+k.width()])
	})
}

// A vote is what one reference says of where an address went.
type vote struct {
	addr uint64
	by   int64
}

// learn makes the address map from an alignment of base and target: whole
// stretches move together, and where references agree on something else, they
// are believed.
func learn(base, dst []byte, g *program, to []segment, ops []op) *shifts {
	stretches := aligned(g, to, ops)
	rough := newShifts(movesOf(stretches))
	votes := collect(base, dst, g, to, ops)
	return newShifts(correct(rough, votes))
}

// stretch is a run of the base's addresses that moves as one.
type stretch struct {
	lo, hi uint64
	by     int64
}

// aligned lists the stretches of an alignment, in order and disjoint; where
// the base is used twice the longer use counts.
func aligned(g *program, to []segment, ops []op) []stretch {
	var all []stretch
	for _, o := range ops {
		if o.add < 16 {
			continue
		}
		for _, s := range g.segments {
			lo, hi := max(uint64(o.from), s.off), min(uint64(o.from+o.add), s.off+s.n)
			if lo >= hi {
				continue
			}
			if a, ok := addressIn(to, uint64(o.at)+lo-uint64(o.from)); ok {
				from := s.addr + lo - s.off
				all = append(all, stretch{from, from + hi - lo, int64(a - from)})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b stretch) int { return cmp(b.hi-b.lo, a.hi-a.lo) })
	var out []stretch
	for _, r := range all {
		i, _ := slices.BinarySearchFunc(out, r, func(a, b stretch) int { return cmp(a.lo, b.lo) })
		if i > 0 {
			r.lo = max(r.lo, out[i-1].hi)
		}
		if i < len(out) {
			r.hi = min(r.hi, out[i].lo)
		}
		if r.lo < r.hi {
			out = slices.Insert(out, i, r)
		}
	}
	return out
}

// movesOf makes a map of stretches; gaps move with what precedes them.
func movesOf(ss []stretch) []move {
	var ms []move
	for _, s := range ss {
		if n := len(ms); n == 0 || ms[n-1].by != s.by {
			ms = append(ms, move{s.lo, s.by})
		}
	}
	return ms
}

// farthest is how far an address may move for its vote to count, in bytes.
const farthest = 1 << 26

// collect lets each aligned reference vote.
func collect(base, dst []byte, g *program, to []segment, ops []op) []vote {
	byFrom := slices.Clone(ops)
	slices.SortStableFunc(byFrom, func(a, b op) int { return a.from - b.from })
	longest := 0 // no use of the base is longer
	for _, o := range ops {
		longest = max(longest, o.add)
	}
	var votes []vote
	g.walk(base, func(at int, a uint64, k kind) {
		i, _ := slices.BinarySearchFunc(byFrom, at+1, func(o op, at int) int { return o.from - at })
		for n := 0; i > 0 && n < 4; n++ {
			i--
			o := byFrom[i]
			if at+k.width() > o.from+o.add {
				continue
			}
			new := o.at + at - o.from
			na, ok := addressIn(to, uint64(new))
			if !ok || k == pagePair && !samePair(base[at:], dst[new:]) {
				continue
			}
			t := target(base[at:], k, a, &g.old)
			by := int64(target(dst[new:], k, na, &g.new) - t)
			if by > -farthest && by < farthest {
				votes = append(votes, vote{t, by})
			}
		}
	})
	slices.SortFunc(votes, func(a, b vote) int {
		if a.addr != b.addr {
			return cmp(a.addr, b.addr)
		}
		return cmp(uint64(a.by), uint64(b.by))
	})
	return votes
}

// correct changes a map where at least two votes more speak for it. Between
// two addresses in a row whose votes agree, everything moves as they do;
// elsewhere the rough map holds.
func correct(rough *shifts, votes []vote) []move {
	m := &mapWriter{rough: rough}
	var last vote
	for n := 0; len(votes) > 0; votes = votes[n:] {
		addr := votes[0].addr
		for n = 1; n < len(votes) && votes[n].addr == addr; n++ {
		}
		was := int64(rough.to(addr) - addr)
		by, lead := winner(votes[:n], was)
		if by != was && lead < 2 {
			continue
		}
		if len(m.out) == 0 || by != last.by || !m.said {
			m.follow(addr)
		}
		m.skip(addr)
		m.put(addr, by)
		last, m.said, m.end = vote{addr, by}, true, addr+1
	}
	m.follow(1<<64 - 1)
	return m.out
}

// mapWriter writes a map from votes and a rough map.
type mapWriter struct {
	rough *shifts
	next  int // of the rough moves
	out   []move
	said  bool   // there was a vote
	end   uint64 // past the last vote's address
}

// follow writes what the rough map says from the last vote up to addr.
func (m *mapWriter) follow(addr uint64) {
	if m.said && m.end < addr {
		m.put(m.end, int64(m.rough.to(m.end)-m.end))
	}
	for m.next < len(m.rough.moves) && m.rough.moves[m.next].from < addr {
		if r := m.rough.moves[m.next]; r.from >= m.end {
			m.put(r.from, r.by)
		}
		m.next++
	}
}

// skip passes over the rough moves up to addr.
func (m *mapWriter) skip(addr uint64) {
	for m.next < len(m.rough.moves) && m.rough.moves[m.next].from <= addr {
		m.next++
	}
}

func (m *mapWriter) put(from uint64, by int64) {
	if n := len(m.out); n > 0 && m.out[n-1].from == from {
		m.out = m.out[:n-1]
	}
	if n := len(m.out); n == 0 || m.out[n-1].by != by {
		m.out = append(m.out, move{from, by})
	}
}

// winner returns what most votes say and by how many more than say was.
func winner(votes []vote, was int64) (by int64, lead int) {
	most, old := 0, 0
	for i := 0; i < len(votes); {
		j := i
		for j < len(votes) && votes[j].by == votes[i].by {
			j++
		}
		if j-i > most {
			by, most = votes[i].by, j-i
		}
		if votes[i].by == was {
			old = j - i
		}
		i = j
	}
	if old == most {
		return was, 0
	}
	return by, most - old
}

// samePair reports whether two page-relative pairs are written alike.
func samePair(a, b []byte) bool {
	var x, y [8]byte
	copy(x[:], a)
	copy(y[:], b)
	rewritePair(x[:], 0, 0)
	rewritePair(y[:], 0, 0)
	return x == y
}

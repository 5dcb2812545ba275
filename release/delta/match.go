package delta

import "context"

// op is one step of a patch: add bytes come from the source at from, each
// perhaps corrected, and fresh bytes follow that the source has not.
type op struct {
	from  int // where in the source
	at    int // where in the target
	add   int
	fresh int
}

const (
	// resync and steady: after a difference the present alignment is kept
	// without a search when it holds again for steady bytes within resync.
	resync = 16
	steady = 24
	// better is by how many bytes a new alignment must beat the present one,
	// as in bsdiff.
	better = 8
	// abandon is how many bytes are scanned between looks at the context.
	abandon = 1 << 16
)

// matcher aligns a target with a source: exact matches from a suffix array,
// extended both ways as long as at least half of the bytes agree (Percival,
// "Naive differences of executable code", 2003).
type matcher struct {
	index    *index
	src, dst []byte
	ops      []op

	from, at int // start of the alignment now followed
	pos, n   int // the last match found
}

// match returns the steps that make dst from src. What it needs most memory
// for is in room, if that has a number for each byte of src.
func match(ctx context.Context, src, dst []byte, room []int32) ([]op, error) {
	if len(src) == 0 || len(dst) == 0 {
		if len(dst) == 0 {
			return nil, nil
		}
		return []op{{fresh: len(dst)}}, nil
	}
	m := &matcher{index: newIndex(src, room), src: src, dst: dst}
	scan, look := 0, 0
	for scan < len(dst) {
		if scan >= look {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			look = scan + abandon
		}
		next, found := m.step(scan)
		if found || next >= len(dst) {
			m.emit(next)
		}
		scan = next
		if found {
			scan += m.n
		}
	}
	if m.at < len(dst) {
		m.emit(len(dst))
	}
	return m.ops, nil
}

// step moves on from scan. It reports where to and whether a better alignment
// starts there.
func (m *matcher) step(scan int) (next int, found bool) {
	off := m.from - m.at
	if k := m.follow(scan, off); k > 0 {
		return scan + k, false
	}
	m.pos, m.n = m.index.longest(m.dst[scan:], scan+off)
	if m.n == 0 {
		return scan + 1, false
	}
	if last, ok := m.agrees(scan, off, m.n); ok {
		return max(last, scan) + 1, false
	}
	return scan, true
}

// follow returns how far the alignment off holds from scan on: the exact
// match, and past a difference when it is steady again soon after.
func (m *matcher) follow(scan, off int) int {
	p := scan + off
	if p < 0 || p >= len(m.src) {
		return 0
	}
	n := common(m.src[p:], m.dst[scan:])
	if n >= steady {
		return n
	}
	for j := n + 1; j <= n+resync && p+j < len(m.src) && scan+j < len(m.dst); j++ {
		if m.src[p+j] == m.dst[scan+j] {
			if k := common(m.src[p+j:], m.dst[scan+j:]); k >= steady {
				return j + k
			}
		}
	}
	return 0
}

// agrees reports whether alignment off is nearly as good as an exact match of
// n bytes at scan, and where it last differs.
func (m *matcher) agrees(scan, off, n int) (last int, ok bool) {
	last, wrong := -1, 0
	for i := scan; i < scan+n; i++ {
		if p := i + off; p >= 0 && p < len(m.src) && m.src[p] == m.dst[i] {
			continue
		}
		last = i
		if wrong++; wrong > better {
			return last, false
		}
	}
	return last, true
}

// emit ends the present alignment where the new match, or the end, at scan
// begins: both are extended towards each other and meet at the best point.
func (m *matcher) emit(scan int) {
	fwd := m.forward(scan)
	back := 0
	if scan < len(m.dst) {
		back = m.backward(scan)
	}
	if over := m.at + fwd - (scan - back); over > 0 {
		keep := m.split(scan, fwd, back, over)
		fwd += keep - over
		back -= keep
	}
	if fresh := scan - back - m.at - fwd; fwd > 0 || fresh > 0 {
		m.ops = append(m.ops, op{from: m.from, at: m.at, add: fwd, fresh: fresh})
	}
	m.at, m.from = scan-back, m.pos-back
}

func (m *matcher) forward(scan int) int {
	score, best, n := 0, 0, 0
	limit := min(scan-m.at, len(m.src)-m.from)
	for i := 0; i < limit; {
		if m.src[m.from+i] == m.dst[m.at+i] {
			score++
		}
		i++
		if 2*score-i > best {
			best, n = 2*score-i, i
		}
	}
	return n
}

func (m *matcher) backward(scan int) int {
	score, best, n := 0, 0, 0
	limit := min(scan-m.at, m.pos)
	for i := 1; i <= limit; i++ {
		if m.src[m.pos-i] == m.dst[scan-i] {
			score++
		}
		if 2*score-i > best {
			best, n = 2*score-i, i
		}
	}
	return n
}

// split returns how many of the over bytes claimed from both sides the left
// alignment keeps.
func (m *matcher) split(scan, fwd, back, over int) int {
	score, best, keep := 0, 0, 0
	left, right := m.from+fwd-over, m.pos-back
	at := m.at + fwd - over
	for i := range over {
		if m.dst[at+i] == m.src[left+i] {
			score++
		}
		if m.dst[at+i] == m.src[right+i] {
			score--
		}
		if score > best {
			best, keep = score, i+1
		}
	}
	return keep
}

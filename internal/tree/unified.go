package tree

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	maxDiffBytes = 256 << 10 // of either side
	contextLines = 3
	maxCells     = 1 << 20 // table size up to which a gap is compared exactly
)

// Unified returns c as a unified diff with three lines of context. It is "" when
// a side is larger than 256 KiB, and one line that says so when a side is not
// text (UTF-8 without NUL).
func Unified(c Change) string {
	var a, b []byte
	from, to := "/dev/null", "/dev/null"
	if c.Old != nil {
		a, from = c.Old.Data, "a/"+c.Path
	}
	if c.New != nil {
		b, to = c.New.Data, "b/"+c.Path
	}
	if len(a) > maxDiffBytes || len(b) > maxDiffBytes {
		return ""
	}
	if !isText(a) || !isText(b) {
		return fmt.Sprintf("binary files %s and %s differ\n", from, to)
	}
	x, y := lines(a), lines(b)
	hunks := hunksOf(compare(x, y), len(x), len(y))
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", from, to)
	for _, h := range hunks {
		h.write(&out, x, y)
	}
	return out.String()
}

func isText(data []byte) bool {
	return utf8.Valid(data) && bytes.IndexByte(data, 0) < 0
}

// lines splits data behind every newline.
func lines(data []byte) []string {
	out := strings.SplitAfter(string(data), "\n")
	if out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return out
}

// A span is a run of n equal lines, from x[a] and y[b] on.
type span struct{ a, b, n int }

// compare returns the equal runs of x and y in order. Gaps that are small are
// compared exactly; in larger ones, lines that occur once on either side are the
// anchors. It takes O(n log n) time and bounded memory.
func compare(x, y []string) []span {
	var out []span
	join := func(a, b, n int) {
		if last := len(out) - 1; last >= 0 && out[last].a+out[last].n == a && out[last].b+out[last].n == b {
			out[last].n += n
		} else if n > 0 {
			out = append(out, span{a, b, n})
		}
	}
	var gap func(a0, a1, b0, b1 int, anchored bool)
	gap = func(a0, a1, b0, b1 int, anchored bool) {
		head := 0
		for a0+head < a1 && b0+head < b1 && x[a0+head] == y[b0+head] {
			head++
		}
		join(a0, b0, head)
		a0, b0 = a0+head, b0+head
		tail := 0
		for a0 < a1-tail && b0 < b1-tail && x[a1-tail-1] == y[b1-tail-1] {
			tail++
		}
		a1, b1 = a1-tail, b1-tail
		switch rows, cols := a1-a0, b1-b0; {
		case rows == 0 || cols == 0:
		case rows*cols <= maxCells:
			for _, p := range exact(x[a0:a1], y[b0:b1]) {
				join(a0+p[0], b0+p[1], 1)
			}
		case !anchored:
			a, b := a0, b0
			for _, p := range anchors(x[a0:a1], y[b0:b1]) {
				gap(a, a0+p[0], b, b0+p[1], true)
				join(a0+p[0], b0+p[1], 1)
				a, b = a0+p[0]+1, b0+p[1]+1
			}
			gap(a, a1, b, b1, true)
		}
		join(a1, b1, tail)
	}
	gap(0, len(x), 0, len(y), false)
	return out
}

// exact returns the index pairs of a longest common subsequence. Its table has
// (len(x)+1)·(len(y)+1) cells.
func exact(x, y []string) [][2]int {
	cols := len(y) + 1
	table := make([]int32, (len(x)+1)*cols) // longest for the suffixes x[i:], y[j:]
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if x[i] == y[j] {
				table[i*cols+j] = table[(i+1)*cols+j+1] + 1
			} else {
				table[i*cols+j] = max(table[(i+1)*cols+j], table[i*cols+j+1])
			}
		}
	}
	var out [][2]int
	for i, j := 0, 0; i < len(x) && j < len(y); {
		switch {
		case x[i] == y[j]:
			out = append(out, [2]int{i, j})
			i, j = i+1, j+1
		case table[(i+1)*cols+j] >= table[i*cols+j+1]:
			i++
		default:
			j++
		}
	}
	return out
}

// anchors returns the index pairs of lines that occur once in x and once in y,
// as the longest run that rises on both sides.
func anchors(x, y []string) [][2]int {
	type places struct{ nx, ny, x, y int }
	seen := make(map[string]places, len(x))
	for i, line := range x {
		p := seen[line]
		p.nx, p.x = p.nx+1, i
		seen[line] = p
	}
	for j, line := range y {
		if p, ok := seen[line]; ok {
			p.ny, p.y = p.ny+1, j
			seen[line] = p
		}
	}
	var pairs [][2]int
	for _, line := range x {
		if p := seen[line]; p.nx == 1 && p.ny == 1 {
			pairs = append(pairs, [2]int{p.x, p.y})
		}
	}
	// Patience: ends[k] is the pair that ends the best run of length k+1.
	var ends []int
	before := make([]int, len(pairs))
	for i, p := range pairs {
		k, _ := slices.BinarySearchFunc(ends, p[1], func(e, y int) int { return pairs[e][1] - y })
		before[i] = -1
		if k > 0 {
			before[i] = ends[k-1]
		}
		if k == len(ends) {
			ends = append(ends, i)
		} else {
			ends[k] = i
		}
	}
	var out [][2]int
	if len(ends) > 0 {
		for i := ends[len(ends)-1]; i >= 0; i = before[i] {
			out = append(out, pairs[i])
		}
	}
	slices.Reverse(out)
	return out
}

// A hunk is a part of a diff: what x[a0:a1] and y[b0:b1] hold, with the equal
// runs in it.
type hunk struct {
	a0, a1, b0, b1 int
	equal          []span
}

// hunksOf turns the equal runs into hunks with context.
func hunksOf(equal []span, nx, ny int) []hunk {
	equal = append(slices.Clone(equal), span{nx, ny, 0})
	var out []hunk
	var cur *hunk
	a, b := 0, 0 // behind the last equal run
	for _, e := range equal {
		if e.a > a || e.b > b { // lines differ before this run
			if cur == nil {
				lead := min(contextLines, a) // a == 0 or b == 0 only where no run comes before
				lead = min(lead, b)
				out = append(out, hunk{a0: a - lead, b0: b - lead})
				cur = &out[len(out)-1]
				cur.equal = append(cur.equal, span{a - lead, b - lead, lead})
			}
			cur.a1, cur.b1 = e.a, e.b
		}
		if cur != nil {
			if last := e.a+e.n == nx && e.b+e.n == ny; e.n > 2*contextLines || last {
				trail := min(contextLines, e.n)
				cur.a1, cur.b1 = e.a+trail, e.b+trail
				cur.equal = append(cur.equal, span{e.a, e.b, trail})
				cur = nil
			} else {
				cur.equal = append(cur.equal, e)
			}
		}
		a, b = e.a+e.n, e.b+e.n
	}
	return out
}

func (h hunk) write(out *strings.Builder, x, y []string) {
	fmt.Fprintf(out, "@@ -%s +%s @@\n", lineRange(h.a0, h.a1), lineRange(h.b0, h.b1))
	put := func(mark byte, line string) {
		out.WriteByte(mark)
		out.WriteString(line)
		if !strings.HasSuffix(line, "\n") {
			out.WriteString("\n\\ No newline at end of file\n")
		}
	}
	a, b := h.a0, h.b0
	for _, e := range append(h.equal, span{h.a1, h.b1, 0}) {
		for ; a < e.a; a++ {
			put('-', x[a])
		}
		for ; b < e.b; b++ {
			put('+', y[b])
		}
		for range e.n {
			put(' ', x[a])
			a, b = a+1, b+1
		}
	}
}

// lineRange writes x[from:to] as a unified diff counts it.
func lineRange(from, to int) string {
	switch to - from {
	case 0:
		return fmt.Sprintf("%d,0", from)
	case 1:
		return fmt.Sprint(from + 1)
	}
	return fmt.Sprintf("%d,%d", from+1, to-from)
}

package delta

import (
	"encoding/binary"
	"math/bits"
)

// index finds the longest match of a key in a text.
type index struct {
	text []byte
	sa   []int32
	// start[p] is the first suffix whose leading two bytes are p or more;
	// the one suffix of a single byte sorts before those with its byte.
	start []int32
}

// newIndex makes an index, in room if that is as long as the text.
func newIndex(text []byte, room []int32) *index {
	x := &index{text: text, sa: suffixArray(text, room), start: make([]int32, 1<<16+1)}
	next := 0
	for i, p := range x.sa {
		for lead := pair(text[p:]); next <= lead; next++ {
			x.start[next] = int32(i)
		}
	}
	for ; next < len(x.start); next++ {
		x.start[next] = int32(len(x.sa))
	}
	return x
}

// pair is the number of a suffix's first two bytes, big-endian.
func pair(s []byte) int {
	if len(s) == 1 {
		return int(s[0]) << 8
	}
	return int(binary.BigEndian.Uint16(s))
}

const (
	// near bounds how many equally good matches longest looks at on either
	// side, and tooLong from which length on it does not.
	near    = 24
	tooLong = 1 << 10
)

// longest returns where the longest prefix of key occurs in the text, and its
// length. Of several that are as long it prefers the one closest to want.
func (x *index) longest(key []byte, want int) (pos, n int) {
	if len(key) < 2 || len(x.sa) == 0 {
		return 0, 0
	}
	p := pair(key)
	lo, hi := int(x.start[p])-1, int(x.start[p+1])
	if hi-lo < 2 {
		return 0, 0
	}
	at, n := x.bisect(key, lo, hi)
	if n >= tooLong {
		return int(x.sa[at]), n
	}
	return x.closest(key, at, n, want), n
}

// bisect searches the suffixes strictly between lo and hi, and returns the
// rank of a longest match and its length.
func (x *index) bisect(key []byte, lo, hi int) (rank, n int) {
	first, last := lo, hi
	nlo, nhi := 0, 0 // what the suffixes at lo and hi share with key
	for hi-lo > 1 {
		m := int(uint(lo+hi) / 2)
		s := x.text[x.sa[m]:]
		l := min(nlo, nhi)
		l += common(s[l:], key[l:])
		if l < len(key) && (l == len(s) || s[l] < key[l]) {
			lo, nlo = m, l
		} else {
			hi, nhi = m, l
		}
	}
	if nlo > nhi && lo > first || hi == last {
		return lo, nlo
	}
	return hi, nhi
}

// closest is the position nearest to want among the suffixes around rank that
// share n bytes with key.
func (x *index) closest(key []byte, rank, n, want int) int {
	best := int(x.sa[rank])
	look := func(r int) bool {
		if r < 0 || r >= len(x.sa) {
			return false
		}
		p := int(x.sa[r])
		if len(x.text)-p < n || common(x.text[p:p+n], key) < n {
			return false
		}
		if abs(p-want) < abs(best-want) {
			best = p
		}
		return true
	}
	for i := 1; i <= near && best != want && look(rank+i); i++ {
	}
	for i := 1; i <= near && best != want && look(rank-i); i++ {
	}
	return best
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}

// common returns how many leading bytes a and b share.
func common(a, b []byte) int {
	n := min(len(a), len(b))
	i := 0
	for ; i+8 <= n; i += 8 {
		if d := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); d != 0 {
			return i + bits.TrailingZeros64(d)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

package delta

// suffixArray returns the suffix array of b: the start of every suffix, in
// the suffixes' order. It is the induced sorting of Nong, Zhang and Chan
// ("Two Efficient Algorithms for Linear Time Suffix Array Construction",
// 2011), linear in time, with 4 bytes for each byte of b and at most as much
// again while it works. b must be shorter than 2 GiB.
//
// The array is room, if that is as long as b.
func suffixArray(b []byte, room []int32) []int32 {
	if len(room) != len(b) {
		room = make([]int32, len(b))
	}
	sortSuffixes(b, room, 256)
	return room
}

// A symbol is a letter of the text: a byte at the top, a name below.
type symbol interface{ ~byte | ~int32 }

// sortSuffixes fills sa with the suffix array of s, whose symbols are below k.
func sortSuffixes[S symbol](s []S, sa []int32, k int) {
	switch len(s) {
	case 0:
		return
	case 1:
		sa[0] = 0
		return
	}
	t := newText(s, k)
	t.findLMS(sa)
	t.induce(sa)
	distinct, n := t.name(sa)
	names := sa[len(sa)-n:]
	t.rank(sa, names, distinct)
	t.place(sa, names)
	t.induce(sa)
}

// text is a string with what induced sorting needs to know of it.
type text[S symbol] struct {
	s       []S
	small   []uint64 // bit i: suffix i is smaller than suffix i+1
	counts  []int32
	buckets []int32
}

func newText[S symbol](s []S, k int) *text[S] {
	t := &text[S]{s: s, small: make([]uint64, len(s)/64+1), counts: make([]int32, k), buckets: make([]int32, k)}
	for _, c := range s {
		t.counts[c]++
	}
	small := false // the last suffix is larger than the empty one
	for i := len(s) - 2; i >= 0; i-- {
		small = s[i] < s[i+1] || s[i] == s[i+1] && small
		if small {
			t.small[i>>6] |= 1 << (i & 63)
		}
	}
	return t
}

func (t *text[S]) isSmall(i int32) bool { return t.small[i>>6]>>(i&63)&1 != 0 }

// isLMS reports whether i is a leftmost small suffix.
func (t *text[S]) isLMS(i int32) bool { return i > 0 && t.isSmall(i) && !t.isSmall(i-1) }

func (t *text[S]) heads() {
	sum := int32(0)
	for i, c := range t.counts {
		t.buckets[i] = sum
		sum += c
	}
}

func (t *text[S]) tails() {
	sum := int32(0)
	for i, c := range t.counts {
		sum += c
		t.buckets[i] = sum
	}
}

func clearTo(sa []int32, v int32) {
	for i := range sa {
		sa[i] = v
	}
}

// findLMS puts the leftmost small suffixes at the ends of their buckets.
func (t *text[S]) findLMS(sa []int32) {
	clearTo(sa, -1)
	t.tails()
	for i := int32(len(t.s)) - 1; i > 0; i-- {
		if t.isLMS(i) {
			c := t.s[i]
			t.buckets[c]--
			sa[t.buckets[c]] = i
		}
	}
}

// induce sorts all suffixes from the sorted leftmost small ones in sa.
func (t *text[S]) induce(sa []int32) {
	s := t.s
	t.heads()
	last := int32(len(s)) - 1
	sa[t.buckets[s[last]]] = last
	t.buckets[s[last]]++
	for i := range sa {
		if j := sa[i] - 1; j >= 0 && s[j] >= s[j+1] {
			sa[t.buckets[s[j]]] = j
			t.buckets[s[j]]++
		}
	}
	t.tails()
	for i := len(sa) - 1; i >= 0; i-- {
		j := sa[i] - 1
		if j < 0 || s[j] > s[j+1] {
			continue
		}
		if c := s[j]; s[j] < s[j+1] || t.buckets[c] <= int32(i) {
			t.buckets[c]--
			sa[t.buckets[c]] = j
		}
	}
}

// name gives every leftmost small substring a number in their order, equal
// ones the same. It moves the numbers to the upper end of sa, in text order,
// and returns how many are distinct and how many there are.
func (t *text[S]) name(sa []int32) (distinct, n int) {
	for _, p := range sa {
		if t.isLMS(p) {
			sa[n] = p
			n++
		}
	}
	clearTo(sa[n:], -1)
	prev := int32(-1)
	for i := range n {
		p := sa[i]
		if prev < 0 || !t.sameLMS(prev, p) {
			distinct++
		}
		prev = p
		sa[n+int(p)/2] = int32(distinct - 1)
	}
	w := len(sa) - 1
	for i := len(sa) - 1; i >= n; i-- {
		if sa[i] >= 0 {
			sa[w] = sa[i]
			w--
		}
	}
	return distinct, n
}

// sameLMS reports whether the leftmost small substrings at a and b are equal.
func (t *text[S]) sameLMS(a, b int32) bool {
	n := int32(len(t.s))
	for i := int32(0); ; i++ {
		if a+i >= n || b+i >= n || t.s[a+i] != t.s[b+i] || t.isSmall(a+i) != t.isSmall(b+i) {
			return false
		}
		if i > 0 && (t.isLMS(a+i) || t.isLMS(b+i)) {
			return t.isLMS(a+i) && t.isLMS(b+i)
		}
	}
}

// rank sorts the string of names at the upper end of sa and leaves in its
// first entries which of the leftmost small suffixes, counted in text order,
// comes first, second and so on.
func (t *text[S]) rank(sa, names []int32, distinct int) {
	if distinct < len(names) {
		sortSuffixes(names, sa[:len(names)], distinct)
		return
	}
	for i, r := range names {
		sa[r] = int32(i)
	}
}

// place turns the ranks of the leftmost small suffixes into positions and
// puts those at the ends of their buckets, in order.
func (t *text[S]) place(sa, pos []int32) {
	n := 0
	for i := int32(1); i < int32(len(t.s)); i++ {
		if t.isLMS(i) {
			pos[n] = i
			n++
		}
	}
	for i, r := range sa[:n] {
		sa[i] = pos[r]
	}
	clearTo(sa[n:], -1)
	t.tails()
	for i := n - 1; i >= 0; i-- {
		p := sa[i]
		sa[i] = -1
		c := t.s[p]
		t.buckets[c]--
		sa[t.buckets[c]] = p
	}
}

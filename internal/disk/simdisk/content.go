package simdisk

import "slices"

// An op is one change of a file's content.
type op struct {
	at    int64
	data  []byte // nil for a truncation to at
	trunc bool
	state state
}

// A state says what a crash may do to an op.
type state int

const (
	pending state = iota // may be lost; the next Sync keeps it
	lost                 // may be lost, whatever is synced: a Sync failed
	synced               // stays
)

// apply does the op, of which only the bytes up to cut are there; the length is
// that of the whole when long.
func (o op) apply(data []byte, cut int, long bool) []byte {
	if o.trunc {
		return resize(data, o.at)
	}
	if end := o.at + int64(cut); cut > 0 && end > int64(len(data)) {
		data = resize(data, end)
	}
	if end := o.at + int64(len(o.data)); long && end > int64(len(data)) {
		data = resize(data, end)
	}
	copy(data[min(o.at, int64(len(data))):], o.data[:cut])
	return data
}

func (o op) whole(data []byte) []byte { return o.apply(data, len(o.data), true) }

func resize(data []byte, size int64) []byte {
	if size <= int64(len(data)) {
		return data[:size]
	}
	return append(data, make([]byte, size-int64(len(data)))...)
}

// do changes the content as programs see it.
func (n *node) do(o op) {
	n.data = o.whole(n.data)
	n.ops = append(n.ops, o)
}

// sync makes all changes durable that are not lost.
func (n *node) sync() {
	for i := range n.ops {
		if n.ops[i].state == pending {
			n.ops[i].state = synced
		}
	}
	n.settle()
}

// lose is what a failed sync does.
func (n *node) lose() {
	for i := range n.ops {
		if n.ops[i].state == pending {
			n.ops[i].state = lost
		}
	}
}

// settle takes ops into base that no crash can undo any more.
func (n *node) settle() {
	done := slices.IndexFunc(n.ops, func(o op) bool { return o.state != synced })
	if done < 0 {
		done = len(n.ops)
	}
	for _, o := range n.ops[:done] {
		n.base = o.whole(n.base)
	}
	n.ops = slices.Clone(n.ops[done:])
}

// A variant is a content that a crash may leave: what becomes of each op in doubt.
type variant struct {
	keep int // how many ops in doubt are there, from the oldest
	skip int // one of these that is not, or -1
	cut  int // how much is there of the op after keep; -1 for nothing of it
	zero bool
	some uint // if not 0, the ops in doubt that are there, one bit each, whatever keep says
}

// few is up to how many ops in doubt every selection of them is a variant.
const few = 5

// doubtful returns the indexes of the ops that a crash may undo.
func (n *node) doubtful() []int {
	var at []int
	for i, o := range n.ops {
		if o.state != synced {
			at = append(at, i)
		}
	}
	return at
}

// variants lists what a crash may leave of a file, nothing and everything first.
func (n *node) variants() []variant {
	at := n.doubtful()
	if len(at) == 0 {
		return []variant{{skip: -1, cut: -1}}
	}
	all := []variant{{skip: -1, cut: -1}, {keep: len(at), skip: -1, cut: -1}}
	for k := range at {
		if k > 0 {
			all = append(all, variant{keep: k, skip: -1, cut: -1})
		}
		if k < len(at)-1 {
			all = append(all, variant{keep: len(at), skip: k, cut: -1})
		}
		o := n.ops[at[k]]
		if o.trunc || len(o.data) == 0 {
			continue
		}
		for _, cut := range o.cuts() {
			all = append(all, variant{keep: k, skip: -1, cut: cut})
			all = append(all, variant{keep: k, skip: -1, cut: cut, zero: true})
		}
		all = append(all, variant{keep: k, skip: -1, cut: 0, zero: true})
	}
	if len(at) <= few {
		for some := uint(1); some < 1<<len(at); some++ {
			all = append(all, variant{skip: -1, cut: -1, some: some})
		}
	}
	return all
}

// cuts lists where a write may be torn: after the first byte, before the last, in
// the middle, and at the first and last boundary of a sector and of a page.
func (o op) cuts() []int {
	size := len(o.data)
	cuts := []int{1, size / 2, size - 1}
	for _, unit := range []int64{512, 4096} {
		first := int((unit - o.at%unit) % unit)
		last := int((o.at+int64(size))/unit*unit - o.at)
		cuts = append(cuts, first, last)
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	return slices.DeleteFunc(cuts, func(c int) bool { return c <= 0 || c >= size })
}

// after returns the content that a variant leaves.
func (n *node) after(v variant) []byte {
	data, doubt := slices.Clone(n.base), 0
	for _, o := range n.ops {
		if o.state == synced {
			data = o.whole(data)
			continue
		}
		switch {
		case v.some != 0:
			if v.some&(1<<doubt) != 0 {
				data = o.whole(data)
			}
		case doubt < v.keep && doubt != v.skip:
			data = o.whole(data)
		case doubt == v.keep && v.cut >= 0 && !o.trunc:
			data = o.apply(data, v.cut, v.zero)
		}
		doubt++
	}
	return data
}

// sectors returns a content where each sector of each change in doubt is there or
// not, as pick says.
func (n *node) sectors(pick func() bool) []byte {
	const sector = 512
	data := slices.Clone(n.base)
	for _, o := range n.ops {
		if o.state == synced || o.trunc {
			if o.state == synced || pick() {
				data = o.whole(data)
			}
			continue
		}
		if pick() {
			data = o.apply(data, 0, true)
		}
		for from := 0; from < len(o.data); {
			to := min(len(o.data), from+sector-int((o.at+int64(from))%sector))
			if pick() {
				part := op{at: o.at + int64(from), data: o.data[from:to]}
				data = part.whole(data)
			}
			from = to
		}
	}
	return data
}

package delta

import "encoding/binary"

// derived describes the tables of a target that follow from its other bytes,
// so that a patch need not hold them: of Go programs the function table and
// its index, of signed Mach-O files the digests of pages. All offsets are in
// the target.
type derived struct {
	// Records: the function table of funcs entries at offset table, and
	// what follows up to end. Zero end: there are none.
	table, end, funcs uint64
	// The index of the function table at offset index, for code of span
	// bytes that starts bias bytes before the first function's origin.
	// Zero span: there is none.
	index, span uint64
	bias        uint64
	// SHA-256 of pages of 1<<page bytes of the first limit bytes, at offset
	// hashes, which is at or after limit. Zero limit: there are none.
	hashes, limit uint64
	page          uint64
}

const (
	bucketSize    = 4096 // abi.FuncTabBucketSize
	subBucketSize = 256
	subBuckets    = bucketSize / subBucketSize
	bucketBytes   = 4 + subBuckets
)

// maxHoisted bounds the records that a decoder holds in memory, in bytes.
const maxHoisted = 16 << 20

// maxSpan bounds the code whose index is derived, in bytes.
const maxSpan = 1 << 28

// maxSums bounds the digests of pages, in bytes: enough for 1 GiB in pages of
// 4096.
const maxSums = 8 << 20

// first is the offset of the first record.
func (d *derived) first() uint64 { return d.table + 8*d.funcs + 4 }

// funcTable derives the function table, but for its last four bytes, from
// the records: b holds what is behind it up to their end. Entries are where
// the function starts and where its record is.
func funcTable(b []byte, n uint64) []byte {
	if n > uint64(len(b))/recordSize {
		return nil
	}
	out := make([]byte, 0, 8*n)
	whole := eachRecordAfter(b, n, func(r record) {
		out = append(out, r.b[:4]...)
		out = binary.LittleEndian.AppendUint32(out, uint32(r.at))
	})
	if !whole {
		return nil
	}
	return out
}

// funcIndex derives the index from a function table: for every 4096 bytes of
// code the first function there, and for each 256 bytes how much later
// theirs is (cmd/link, findfunctab).
func funcIndex(table []byte, span, bias uint64) []byte {
	n := (span + subBucketSize - 1) / subBucketSize
	first := make([]uint32, (n+subBuckets-1)/subBuckets*subBuckets)
	for i := range first {
		first[i] = none
	}
	funcs := len(table) / 8
	start := func(i int) uint64 {
		if i == funcs {
			return span
		}
		return uint64(binary.LittleEndian.Uint32(table[8*i:])) + bias
	}
	for i := range funcs {
		p, q := start(i), start(i+1)
		if p > span || q > span || p >= q {
			return nil
		}
		for k := p / subBucketSize; k <= (q-1)/subBucketSize; k++ {
			first[k] = min(first[k], uint32(i))
		}
	}
	return packIndex(first, int(n))
}

func packIndex(first []uint32, n int) []byte {
	out := make([]byte, 0, n+len(first)/subBuckets*4)
	for i := 0; i < n; i += subBuckets {
		out = binary.LittleEndian.AppendUint32(out, first[i])
		for j := i; j < min(i+subBuckets, n); j++ {
			out = append(out, byte(first[j]-first[i]))
		}
	}
	return out
}

// indexSize is how many bytes the index of span bytes of code takes.
func indexSize(span uint64) uint64 {
	return (span+bucketSize-1)/bucketSize*4 + (span+subBucketSize-1)/subBucketSize
}

package delta

import "encoding/binary"

// What the linker writes for each function (runtime._func, Go 1.20 and later).
const (
	recordSize = 44
	maxPCData  = 64
	none       = ^uint32(0) // no file, no function data

	atEntry  = 0
	atName   = 4
	atPCSP   = 16
	atPCFile = 20
	atPCLine = 24
	atNPC    = 28
	atUnit   = 32
	atNData  = 43

	dataObjects = 2 // FUNCDATA_StackObjects
	dataInline  = 3 // FUNCDATA_InlTree
)

// record is one _func in a function table: b starts at its first byte.
type record struct {
	b      []byte
	at     int // from the table's start
	nPC    int
	nData  int
	length int
}

// eachRecord calls f for the n records that follow a function table of n
// entries, which b starts with. It stops at the first that does not fit, and
// reports whether there was none.
func eachRecord(b []byte, n uint64, f func(r record)) bool {
	if n > uint64(len(b))/(8+recordSize) {
		return false
	}
	return eachRecordAfter(b[8*n+4:], n, f)
}

// eachRecordAfter is eachRecord where b starts behind the table.
func eachRecordAfter(b []byte, n uint64, f func(r record)) bool {
	if n > uint64(len(b))/recordSize {
		return false
	}
	skip := int(n)*8 + 4
	at := 0
	for range n {
		at = (at+skip+7)&^7 - skip
		if at+recordSize > len(b) {
			return false
		}
		r := record{b: b[at:], at: at + skip}
		pcs := binary.LittleEndian.Uint32(r.b[atNPC:])
		r.nPC, r.nData = int(min(pcs, maxPCData+1)), int(r.b[atNData])
		r.length = recordSize + 4*(r.nPC+r.nData)
		if r.nPC > maxPCData || at+r.length > len(b) {
			return false
		}
		f(r)
		at += r.length
	}
	return true
}

// table is the function table and the records after it: the region of scan
// scanGoFuncs starts where the table does.
func (w *walker) table() []byte {
	for _, r := range w.p.regions {
		if r.scan == scanGoFuncs {
			return w.b[r.off : r.off+r.n]
		}
	}
	return nil
}

// records finds the references in a function table and its records.
func (w *walker) records(b []byte, found func(int, kind)) {
	eachRecord(b, w.p.funcs, func(r record) {
		found(r.at+atEntry, offset+kind(atText))
		found(r.at+atName, offset+kind(atNames))
		for _, i := range []int{atPCSP, atPCFile, atPCLine} {
			found(r.at+i, offset+kind(atPCs))
		}
		if binary.LittleEndian.Uint32(r.b[atUnit:]) != none {
			found(r.at+atUnit, offset+kind(atUnits))
		}
		for i := range r.nPC {
			if j := recordSize + 4*i; binary.LittleEndian.Uint32(r.b[j:]) != 0 {
				found(r.at+j, offset+kind(atPCs))
			}
		}
		for i := range r.nData {
			if j := recordSize + 4*(r.nPC+i); binary.LittleEndian.Uint32(r.b[j:]) != none {
				found(r.at+j, offset+kind(atGoFuncs))
			}
		}
	})
}

// goData finds the references in function data: the names in inline trees,
// and in stack objects the offsets of what tells where pointers are. Both are
// known only through the records; one datum ends where the next starts.
func (w *walker) goData(r region, b []byte, found func(int, kind)) {
	if len(b) > maxGoData {
		return
	}
	marks := w.funcData(r, len(b))
	for i := 0; i < len(b); {
		what := marks.at(i)
		end := i + 1
		for end < len(b) && marks.at(end) == 0 {
			end++
		}
		switch what {
		case dataInline:
			for at := i; at+16 <= end; at += 16 {
				found(at+4, offset+kind(atNames))
			}
		case dataObjects:
			for at := i + 8; at+16 <= end; at += 16 {
				found(at+12, offset+kind(atRodata))
			}
		}
		i = end
	}
}

// maxGoData bounds the memory of dataMarks to a quarter of itself.
const maxGoData = 32 << 20

// dataMarks says for each byte of function data whether something starts
// there: two bits, dataInline, dataObjects, 1 for anything else.
type dataMarks []uint8

func (m dataMarks) at(i int) int { return int(m[i>>2] >> (i & 3 * 2) & 3) }

func (m dataMarks) set(i, what int) { m[i>>2] |= uint8(what) << (i & 3 * 2) }

// funcData marks where function data starts in the n bytes of region r.
func (w *walker) funcData(r region, n int) dataMarks {
	marks := make(dataMarks, n/4+1)
	first, ok := offsetIn(w.p.segments, w.p.old[atGoFuncs])
	if !ok {
		return marks
	}
	eachRecord(w.table(), w.p.funcs, func(f record) {
		for i := range f.nData {
			v := binary.LittleEndian.Uint32(f.b[recordSize+4*(f.nPC+i):])
			at := first + uint64(v) - r.off
			if v == none || at >= uint64(n) {
				continue
			}
			switch i {
			case dataInline, dataObjects:
				marks.set(int(at), i)
			default:
				marks.set(int(at), 1)
			}
		}
	})
	return marks
}

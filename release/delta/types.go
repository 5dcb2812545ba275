package delta

import "encoding/binary"

// What the compiler writes for each type (internal/abi.Type, Go 1.20 and
// later, 8-byte pointers).
const (
	typeSize      = 48
	typeFlags     = 20
	typeAlign     = 21
	typeKind      = 23
	typeEqual     = 24
	typeGCData    = 32
	typeStr       = 40
	typePtrTo     = 44
	typeMethods   = 56 // of an interface: address, length, capacity
	uncommonBit   = 1
	uncommonSize  = 16
	methodSize    = 16
	kindInterface = 20
)

// kindSize is how long a type's description is, by its kind; of what has none
// here it is typeSize.
var kindSize = [27]int{17: 72, 18: 64, 19: 56, 20: 80, 21: 112, 22: 56, 23: 56, 25: 80}

// types finds the addresses in Go's type data, as words does, and the 4-byte
// offsets in type descriptors: to names and types, counted from
// runtime.types, and to methods, counted from runtime.text. It wants a region
// whose address is divisible by 4.
func (w *walker) types(b []byte, addr uint64, found func(int, kind)) {
	if addr%4 != 0 {
		return
	}
	t := &typeWalk{w: w, b: b, addr: addr, marks: make([]uint8, len(b)/16+1)}
	t.limit = addr + uint64(len(b)) - w.p.old[atTypes]
	for i := int(-addr & 7); i+typeSize <= len(b); i += 8 {
		if t.isType(b[i : i+typeSize]) {
			t.descriptor(i)
		}
	}
	for i := int(-addr & 7); i+8 <= len(b); i += 8 {
		lo, hi := t.mark(i), t.mark(i+4)
		if lo == 0 && hi == 0 {
			if w.all.has(binary.LittleEndian.Uint64(b[i:])) {
				found(i, abs64)
			}
			continue
		}
		if lo != 0 {
			found(i, offset+kind(lo))
		}
		if hi != 0 {
			found(i+4, offset+kind(hi))
		}
	}
}

// typeWalk marks the offsets in type data before any is visited, as one
// descriptor can lead to another place. There are two bits for every four
// bytes: the origin, atText or atTypes.
type typeWalk struct {
	w     *walker
	b     []byte
	addr  uint64
	limit uint64 // offsets from runtime.types are less
	marks []uint8
}

func (t *typeWalk) mark(i int) origin { return origin(t.marks[i>>4] >> (i >> 1 & 6) & 3) }

// set marks the offset at b[i] unless it is zero or says that there is none.
func (t *typeWalk) set(i int, o origin) {
	if v := binary.LittleEndian.Uint32(t.b[i:]); v != 0 && v != none && t.mark(i) == 0 {
		t.marks[i>>4] |= uint8(o) << (i >> 1 & 6)
	}
}

func (t *typeWalk) isOffset(v uint32) bool { return uint64(v) < t.limit }

// isType reports whether b looks like a type descriptor.
func (t *typeWalk) isType(b []byte) bool {
	le := binary.LittleEndian
	size, ptr := le.Uint64(b), le.Uint64(b[8:])
	equal, gc := le.Uint64(b[typeEqual:]), le.Uint64(b[typeGCData:])
	k, align := b[typeKind]&31, b[typeAlign]
	str := le.Uint32(b[typeStr:])
	return k >= 1 && k <= 26 && ptr <= size && size < 1<<40 && align > 0 && align <= 8 && align&(align-1) == 0 &&
		b[typeAlign+1] <= 8 && b[typeFlags] < 64 &&
		(equal == 0 || t.w.all.has(equal)) && (gc == 0 || t.w.all.has(gc)) && (equal != 0 || gc != 0 || size == 0 || k == 26 || ptr == 0) &&
		str != 0 && t.isOffset(str) && t.isOffset(le.Uint32(b[typePtrTo:]))
}

func (t *typeWalk) descriptor(i int) {
	t.set(i+typeStr, atTypes)
	t.set(i+typePtrTo, atTypes)
	k := int(t.b[i+typeKind] & 31)
	if k == kindInterface && i+80 <= len(t.b) {
		t.interfaceMethods(i)
	}
	if t.b[i+typeFlags]&uncommonBit != 0 {
		t.uncommon(i + max(typeSize, kindSize[k]))
	}
}

// interfaceMethods marks the name and type of each method.
func (t *typeWalk) interfaceMethods(i int) {
	at := binary.LittleEndian.Uint64(t.b[i+typeMethods:]) - t.addr
	n := binary.LittleEndian.Uint64(t.b[i+typeMethods+8:])
	if n > 1<<12 || at >= uint64(len(t.b)) || at%4 != 0 || 8*n > uint64(len(t.b))-at {
		return
	}
	for j := int(at); n > 0; n-- {
		t.set(j, atTypes)
		t.set(j+4, atTypes)
		j += 8
	}
}

// uncommon marks a type's package and methods: each has a name, a type and
// two places in the code.
func (t *typeWalk) uncommon(i int) {
	if i+uncommonSize > len(t.b) {
		return
	}
	le := binary.LittleEndian
	n, off := int(le.Uint16(t.b[i+4:])), le.Uint32(t.b[i+8:])
	if !t.isOffset(le.Uint32(t.b[i:])) || int(le.Uint16(t.b[i+6:])) > n || off < uncommonSize || off > 1<<16 || off%4 != 0 || i+int(off)+n*methodSize > len(t.b) {
		return
	}
	t.set(i, atTypes)
	for j := i + int(off); n > 0; n-- {
		t.set(j, atTypes)
		t.set(j+4, atTypes)
		t.set(j+8, atText)
		t.set(j+12, atText)
		j += methodSize
	}
}

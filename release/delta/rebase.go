package delta

// What dyld is told to relocate (mach-o/loader.h): a list of steps, of which
// Go's linker uses three bytes and an offset for each address.
const (
	rebaseSegment = 0x20 // + segment; the offset follows in LEB128
	rebaseOne     = 0x51 // relocate one address there
)

// rebases finds the offsets of addresses in a list of relocations. The first
// segment of a Mach-O file is not in the file: number 1 is the first that is.
func rebases(b []byte, found func(int, kind)) {
	for i := 0; i < len(b); i++ {
		s := b[i] - rebaseSegment - 1
		if s >= mappedSegments {
			continue
		}
		n := 0
		for n < maxLEB && i+1+n < len(b) && b[i+1+n] >= 0x80 {
			n++
		}
		if n++; n <= maxLEB && i+1+n < len(b) && b[i+1+n] == rebaseOne {
			found(i+1, leb+kind(s)*maxLEB+kind(n)-1)
			i += 1 + n
		}
	}
}

// segment is the origin of an offset in LEB128.
func (k kind) segment() origin { return atSegment + origin(k-leb)/maxLEB }

func readLEB(b []byte) (v uint64) {
	for i, c := range b {
		v |= uint64(c&0x7f) << (7 * i)
	}
	return v
}

// writeLEB fills b with v, unless v needs more bytes or fewer.
func writeLEB(b []byte, v uint64) {
	n := 7 * len(b)
	if v>>n != 0 || n > 7 && v>>(n-7) == 0 {
		return
	}
	for i := range b {
		b[i] = byte(v>>(7*i))&0x7f | 0x80
	}
	b[len(b)-1] &= 0x7f
}

// rebaseList finds the list of relocations that a load command of a Mach-O
// file tells of (dyld_info_command).
func rebaseList(cmd []byte, order interface{ Uint32([]byte) uint32 }) (off, n uint64) {
	const dyldInfo, only = 0x22, 0x80000000
	if len(cmd) < 16 || order.Uint32(cmd)&^only != dyldInfo {
		return 0, 0
	}
	return uint64(order.Uint32(cmd[8:])), uint64(order.Uint32(cmd[12:]))
}

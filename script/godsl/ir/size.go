package ir

// GoSize returns the size and alignment that t has in Go on a 64-bit machine,
// and whether its values hold pointers. The capacity that append gives a slice
// follows from them.
func (t *Type) GoSize() (size, align int64, pointers bool) {
	switch t.Kind {
	case Bool, Int8, Uint8:
		return 1, 1, false
	case Int16, Uint16:
		return 2, 2, false
	case Int32, Uint32, Float32:
		return 4, 4, false
	case Int, Int64, Uint, Uint64, Float64:
		return 8, 8, false
	case String, Interface:
		return 16, 8, true
	case Slice:
		return 24, 8, true
	case Array:
		s, a, p := t.Elem.GoSize()
		return s * t.Len, a, p && t.Len > 0
	case Struct:
		return t.structSize()
	}
	return 8, 8, true
}

func (t *Type) structSize() (size, align int64, pointers bool) {
	align = 1
	last := int64(-1)
	for _, f := range t.Fields {
		s, a, p := f.Type.GoSize()
		size = (size+a-1)/a*a + s
		align = max(align, a)
		pointers = pointers || p
		last = s
	}
	if last == 0 && size > 0 {
		size++
	}
	return (size + align - 1) / align * align, align, pointers
}

// sizeClasses are the sizes of Go's small objects.
var sizeClasses = [...]int64{0, 8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320, 352, 384, 416, 448,
	480, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792, 2048, 2304, 2688, 3072, 3200, 3456, 4096, 4864, 5376, 6144, 6528,
	6784, 6912, 8192, 9472, 9728, 10240, 10880, 12288, 13568, 14336, 16384, 18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768}

// GrownCap returns the capacity that Go's append gives a slice of t, which had
// the capacity old, for need elements.
func (t *Type) GrownCap(old, need int64) int64 {
	const threshold = 256
	n := old
	switch {
	case need > 2*old:
		n = need
	case old < threshold:
		n = 2 * old
	default:
		for n < need {
			n += (n + 3*threshold) >> 2
		}
	}
	size, _, pointers := t.GoSize()
	if size == 0 {
		return need
	}
	return max(need, roundUp(n*size, pointers)/size)
}

// roundUp returns the size of the object that Go allocates for size bytes.
func roundUp(size int64, pointers bool) int64 {
	header := int64(0)
	if pointers && size > 512 {
		header = 8
	}
	if want := size + header; want <= 32768-8 {
		for _, c := range sizeClasses {
			if c >= want {
				return c - header
			}
		}
	}
	return (size + 8191) / 8192 * 8192
}

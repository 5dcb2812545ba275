package delta

import (
	"encoding/binary"
	"fmt"
)

// corrupt is an error that wraps [ErrCorrupt].
func corrupt(what string) error { return fmt.Errorf("%w: %s", ErrCorrupt, what) }

// varints reads numbers as encoding/binary writes them. After an error it
// has nothing left and returns zeros.
type varints struct {
	b   []byte
	err error
}

func (r *varints) fail() {
	r.b = nil
	if r.err == nil {
		r.err = corrupt("bad number")
	}
}

func (r *varints) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a number of things, of which there are at most limit.
func (r *varints) count(limit uint64) int {
	v := r.uint()
	if v > limit {
		r.fail()
		return 0
	}
	return int(v)
}

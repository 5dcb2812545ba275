package beat

import (
	"fmt"
	"os"
	"sync"
)

// A Reader sees the last beat. Make one with [NewReader].
type Reader struct {
	mu   sync.Mutex
	mem  *mapping // nil once closed; it cannot be written to
	last Beat
}

// NewReader maps the memory of f, which remains the caller's and may be closed. It
// returns an error that wraps [ErrFormat] for another file, and
// [errors.ErrUnsupported] on Windows.
func NewReader(f *os.File) (*Reader, error) {
	mem, err := open(f, false)
	if err != nil {
		return nil, fmt.Errorf("open heartbeat memory: %w", err)
	}
	return &Reader{mem: mem}, nil
}

// Read returns the last whole beat, never an earlier one than before. It does not
// wait. The errors are [ErrNone], [ErrCorrupt], and [os.ErrClosed] after Close.
func (r *Reader) Read() (Beat, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mem == nil {
		return Beat{}, fmt.Errorf("read heartbeat: %w", os.ErrClosed)
	}
	b, err := r.mem.cells.newest()
	if err != nil {
		return Beat{}, err
	}
	if b.Sequence > r.last.Sequence {
		r.last = b
	}
	return r.last, nil
}

// Close unmaps the memory. It may be called twice.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	mem := r.mem
	r.mem = nil
	return mem.close()
}

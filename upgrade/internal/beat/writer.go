package beat

import (
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
)

// A Writer puts beats into the memory. Make one with [NewWriter].
type Writer struct {
	mu       sync.Mutex
	mem      *mapping // nil once closed
	sequence uint64   // of the last beat

	fault func(step int) // for tests: called between the stores
}

// NewWriter maps the memory of f, which remains the caller's and may be closed. It
// returns an error that wraps [ErrFormat] for another file, [ErrCorrupt] for memory
// whose last beat cannot be read, and [errors.ErrUnsupported] on Windows.
func NewWriter(f *os.File) (*Writer, error) {
	mem, err := open(f, true)
	if err != nil {
		return nil, fmt.Errorf("open heartbeat memory for writing: %w", err)
	}
	last, err := mem.cells.newest()
	if err == nil && last.Sequence == math.MaxUint64 {
		err = ErrCorrupt
	}
	if err != nil && !errors.Is(err, ErrNone) {
		return nil, errors.Join(fmt.Errorf("open heartbeat memory for writing: %w: make new memory", err), mem.close())
	}
	return &Writer{mem: mem, sequence: last.Sequence}, nil
}

// Beat says that the process is alive, and how it fares. It does not wait. An error
// wraps [os.ErrClosed] after Close, or is that of the clock.
func (w *Writer) Beat(status Status) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mem == nil {
		return fmt.Errorf("beat: %w", os.ErrClosed)
	}
	now, err := Now()
	if err != nil {
		return fmt.Errorf("beat: read the monotonic clock: %w", err)
	}
	w.sequence++
	w.mem.cells.put(Beat{Sequence: w.sequence, Time: now, Status: status}, w.fault)
	return nil
}

// Close unmaps the memory. Readers go on seeing the last beat. It may be called
// twice.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	mem := w.mem
	w.mem = nil
	return mem.close()
}

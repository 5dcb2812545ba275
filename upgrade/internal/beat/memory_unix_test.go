//go:build linux || darwin

package beat

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	f, r := memory(t)
	if b, err := r.Read(); err != ErrNone {
		t.Errorf("Read() = %v, %v, want ErrNone", b, err)
	}
	w, err := NewWriter(f)
	if err != nil {
		t.Fatal(err)
	}
	before, err := Now()
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= 5; i++ {
		if err := w.Beat(Status(i)); err != nil {
			t.Fatal(err)
		}
		after, err := Now()
		if err != nil {
			t.Fatal(err)
		}
		b, err := r.Read()
		if err != nil || b.Sequence != i || b.Status != Status(i) || b.Time < before || b.Time > after {
			t.Errorf("Read() = %+v, %v, want beat %d between %d and %d", b, err, i, before, after)
		}
		before = b.Time
	}
	for range 2 {
		if err := errors.Join(w.Close(), r.Close()); err != nil {
			t.Errorf("Close() = %v", err)
		}
	}
	if err := w.Beat(Healthy); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Beat() after Close = %v, want os.ErrClosed", err)
	}
	if b, err := r.Read(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read() after Close = %v, %v, want os.ErrClosed", b, err)
	}
}

// Closing while others beat and read ends in an error, not in a fault.
func TestConcurrentClose(t *testing.T) {
	t.Parallel()
	f, r := memory(t)
	w, err := NewWriter(f)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for err := error(nil); !errors.Is(err, os.ErrClosed); {
				err = w.Beat(Healthy)
			}
		})
		wg.Go(func() {
			for err := error(nil); !errors.Is(err, os.ErrClosed); {
				_, err = r.Read()
			}
		})
	}
	for b := (Beat{}); b.Sequence < 1000; {
		b, _ = r.Read()
	}
	if err := errors.Join(w.Close(), r.Close()); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

func TestForeignFilesRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string, size int64) *os.File {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		return f
	}
	directory, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer directory.Close()
	pipe, end, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	defer end.Close()
	for name, f := range map[string]*os.File{
		"empty": file("empty", 0), "short": file("short", Size-1), "long": file("long", Size+1),
		"zeros": file("zeros", Size), "directory": directory, "pipe": pipe,
	} {
		if r, err := NewReader(f); r != nil || !errors.Is(err, ErrFormat) {
			t.Errorf("%s: NewReader() = %v, %v, want ErrFormat", name, r, err)
		}
		if w, err := NewWriter(f); w != nil || !errors.Is(err, ErrFormat) {
			t.Errorf("%s: NewWriter() = %v, %v, want ErrFormat", name, w, err)
		}
	}
	closed := file("closed", Size)
	closed.Close()
	for name, f := range map[string]*os.File{"closed": closed, "nil": nil} {
		if r, err := NewReader(f); r != nil || err == nil {
			t.Errorf("%s: NewReader() = %v, %v, want an error", name, r, err)
		}
	}
}

// Another version, or memory that lost its last beats, is refused and left alone.
func TestMemoryRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		spoil func(*cells)
		want  error
	}{
		"version": {func(c *cells) { c.store(wordVersion, 2) }, ErrFormat},
		"magic":   {func(c *cells) { c.store(wordMagic, 0) }, ErrFormat},
		"beats":   {func(c *cells) { c.store(slotOf(1)+slotSequence, 99) }, ErrCorrupt},
	} {
		f, _ := memory(t)
		m, err := mapMemory(f, true)
		if err != nil {
			t.Fatal(err)
		}
		tt.spoil(m.cells)
		before := *m.cells
		if w, err := NewWriter(f); w != nil || !errors.Is(err, tt.want) {
			t.Errorf("%s: NewWriter() = %v, %v, want %v", name, w, err, tt.want)
		}
		if *m.cells != before {
			t.Errorf("%s: refused, but changed", name)
		}
		if err := m.close(); err != nil {
			t.Error(err)
		}
	}
}

// Memory that became shorter would kill its readers.
func TestSealed(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux seals memory")
	}
	f, r := memory(t)
	for _, size := range []int64{0, Size - 1, 2 * Size} {
		if err := f.Truncate(size); !errors.Is(err, unix.EPERM) {
			t.Errorf("Truncate(%d) = %v, want EPERM", size, err)
		}
	}
	if b, err := r.Read(); err != ErrNone {
		t.Errorf("Read() = %v, %v, want ErrNone", b, err)
	}
	open, err := newMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if err := open.Truncate(Size); err != nil {
		t.Fatal(err)
	}
	m, err := mapMemory(open, true)
	if err != nil {
		t.Fatal(err)
	}
	m.cells.format()
	if err := m.close(); err != nil {
		t.Fatal(err)
	}
	if r, err := NewReader(open); r != nil || !errors.Is(err, ErrFormat) {
		t.Errorf("NewReader(memory without seals) = %v, %v, want ErrFormat", r, err)
	}
}

func TestCloseOnExec(t *testing.T) {
	t.Parallel()
	f, _ := memory(t)
	err := control(f, func(fd uintptr) error {
		flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0)
		if flags&unix.FD_CLOEXEC == 0 {
			t.Error("a child would inherit the memory")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func BenchmarkBeat(b *testing.B) {
	f, err := Create()
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w, err := NewWriter(f)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Beat(Healthy); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	c := filled(7)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.newest(); err != nil {
			b.Fatal(err)
		}
	}
}

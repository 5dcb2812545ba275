//go:build linux || darwin

package beat

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A mapping is the memory in this process.
type mapping struct {
	bytes []byte
	cells *cells // the beginning of bytes
}

// Create makes new memory without a beat. The file is close-on-exec, has no name
// in the file system, and lives until every process has closed and unmapped it. On
// Linux it is a sealed memfd: nobody can change its size. It returns an error
// that wraps [errors.ErrUnsupported] on Windows.
func Create() (*os.File, error) {
	f, err := create()
	if err != nil {
		return nil, fmt.Errorf("create heartbeat memory: %w", err)
	}
	return f, nil
}

func create() (*os.File, error) {
	f, err := newMemory()
	if err != nil {
		return nil, err
	}
	if err := initialise(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// initialise gives fresh memory its size and header.
func initialise(f *os.File) error {
	if err := f.Truncate(Size); err != nil {
		return err
	}
	if err := seal(f); err != nil {
		return err
	}
	m, err := mapMemory(f, true)
	if err != nil {
		return err
	}
	m.cells.format()
	return m.close()
}

// open maps memory that [Create] made, and refuses any other file.
func open(f *os.File, write bool) (*mapping, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() != Size {
		return nil, fmt.Errorf("%s of %d bytes, want a file of %d: %w", info.Mode().Type(), info.Size(), Size, ErrFormat)
	}
	if err := sealed(f); err != nil {
		return nil, err
	}
	m, err := mapMemory(f, write)
	if err != nil {
		return nil, err
	}
	if err := m.cells.check(); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

func mapMemory(f *os.File, write bool) (*mapping, error) {
	prot := unix.PROT_READ
	if write {
		prot |= unix.PROT_WRITE
	}
	var bytes []byte
	err := control(f, func(fd uintptr) (err error) {
		bytes, err = unix.Mmap(int(fd), 0, Size, prot, unix.MAP_SHARED)
		return os.NewSyscallError("mmap", err)
	})
	if err != nil {
		return nil, err
	}
	return &mapping{bytes: bytes, cells: (*cells)(unsafe.Pointer(&bytes[0]))}, nil
}

// close may be called on nil, and twice.
func (m *mapping) close() error {
	if m == nil || m.bytes == nil {
		return nil
	}
	bytes := m.bytes
	m.bytes, m.cells = nil, nil
	return os.NewSyscallError("munmap", unix.Munmap(bytes))
}

// control runs do on the descriptor of a file.
func control(f *os.File, do func(fd uintptr) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var done error
	if err := raw.Control(func(fd uintptr) { done = do(fd) }); err != nil {
		return err
	}
	return done
}

// Now reads the clock of [Beat.Time], in nanoseconds.
func Now() (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	return ts.Nano(), nil
}

package supervisor

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// follow replaces the supervisor by the program of the worker that serves, unless
// that is the same.
func (s *Supervisor) follow() {
	if !s.opt.Follow || s.program.pin < 0 || s.stopping {
		return
	}
	file, err := duplicate(s.program.pin, 3)
	if err != nil {
		s.trouble(nil, "the supervisor does not follow the upgrade", err)
		return
	}
	path := s.program.path
	go func() {
		same, err := runs(file)
		if same || err != nil {
			closeFD(file)
			if err != nil {
				s.post(func() { s.trouble(nil, "the supervisor does not follow the upgrade", err) })
			}
			return
		}
		if !s.post(func() { s.beginReplacement(context.Background(), path, file, nil) }) {
			closeFD(file)
		}
	}()
}

// runs reports whether this process runs the program in file.
func runs(file int) (bool, error) {
	own, err := unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, os.NewSyscallError("open /proc/self/exe", err)
	}
	defer closeFD(own)
	var a, b unix.Stat_t
	if err := errors.Join(unix.Fstat(own, &a), unix.Fstat(file, &b)); err != nil {
		return false, err
	}
	if a.Dev == b.Dev && a.Ino == b.Ino {
		return true, nil
	}
	if a.Size != b.Size {
		return false, nil
	}
	mine, err := digest(own, a.Size)
	if err != nil {
		return false, err
	}
	theirs, err := digest(file, b.Size)
	return mine == theirs, err
}

// digest is the SHA-256 of the first size bytes of a file.
func digest(fd int, size int64) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	_, err = io.Copy(h, io.NewSectionReader(reader(fd), 0, size))
	h.Sum(sum[:0])
	return sum, err
}

// A reader reads a descriptor that somebody else owns.
type reader int

// ReadAt implements io.ReaderAt.
func (r reader) ReadAt(p []byte, off int64) (int, error) {
	if err := readAt(int(r), p, off); err != nil {
		return 0, err
	}
	return len(p), nil
}

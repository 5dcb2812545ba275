package supervisor

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Descriptors that only wait here for another process are kept as numbers: an
// os.File of a listening socket would wake this process at each connection.

// descriptorOf returns the number of c's descriptor, which stays c's. File.Fd would
// put what other processes share into blocking mode.
func descriptorOf(c syscall.Conn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd = -1
	err = raw.Control(func(n uintptr) { fd = int(n) })
	return fd, err
}

// keep returns a descriptor of what f is, and closes f, with an error too.
func keep(f *os.File) (int, error) {
	defer f.Close()
	fd, err := descriptorOf(f)
	if err != nil {
		return -1, err
	}
	return duplicate(fd, 3)
}

// duplicate returns a copy of fd whose number is at least least.
func duplicate(fd, least int) (int, error) {
	copied, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, least)
	if err != nil {
		return -1, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", err)
	}
	return copied, nil
}

// closeFD closes fd; -1 stands for none.
func closeFD(fd int) {
	if fd >= 0 {
		_ = unix.Close(fd)
	}
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// pair makes a socket pair for a link. Both ends are close-on-exec.
func pair() (ours, theirs int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, os.NewSyscallError("socketpair", err)
	}
	return fds[0], fds[1], nil
}

// newMemory makes a file in memory, which cannot be executed where Linux knows of
// that (6.3).
func newMemory(name string) (int, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL {
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return -1, os.NewSyscallError("memfd_create", err)
	}
	return fd, nil
}

// seal makes memory unchangeable.
func seal(fd int) error {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE|unix.F_SEAL_SEAL)
	return os.NewSyscallError("fcntl F_ADD_SEALS", err)
}

// writeAll appends p.
func writeAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := unix.Write(fd, p)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("write", err)
		}
		p = p[n:]
	}
	return nil
}

// readAt fills p from the offset on.
func readAt(fd int, p []byte, off int64) error {
	for len(p) > 0 {
		n, err := unix.Pread(fd, p, off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("pread", err)
		}
		if n == 0 {
			return errors.New("the memory is shorter than it was")
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// setCloseOnExec sets the flag for each of fds, or clears it.
func setCloseOnExec(fds []int, on bool) error {
	flag := 0
	if on {
		flag = unix.FD_CLOEXEC
	}
	for _, fd := range fds {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, flag); err != nil {
			return fmt.Errorf("descriptor %d: %w", fd, os.NewSyscallError("fcntl F_SETFD", err))
		}
	}
	return nil
}

// keepFromChildren marks all descriptors but the standard ones.
func keepFromChildren() error {
	return os.NewSyscallError("close_range", unix.CloseRange(3, 1<<31, unix.CLOSE_RANGE_CLOEXEC))
}

package beat

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// seals keep the size as it is: memory that became shorter would kill whoever
// reads it (SIGBUS).
const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// newMemory asks for memory that cannot be executed, which vm.memfd_noexec=2
// demands; Linux before 6.3 does not know the flag.
func newMemory() (*os.File, error) {
	const name, flags = "heartbeat", unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL {
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

func seal(f *os.File) error {
	return control(f, func(fd uintptr) error {
		_, err := unix.FcntlInt(fd, unix.F_ADD_SEALS, seals)
		return os.NewSyscallError("fcntl F_ADD_SEALS", err)
	})
}

// sealed refuses memory that another process could make shorter.
func sealed(f *os.File) error {
	return control(f, func(fd uintptr) error {
		have, err := unix.FcntlInt(fd, unix.F_GET_SEALS, 0)
		if err != nil || have&unix.F_SEAL_SHRINK == 0 {
			return fmt.Errorf("the file is not sealed against shrinking: %w", ErrFormat)
		}
		return nil
	})
}

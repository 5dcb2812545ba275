//go:build linux || darwin

package systemd

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// inherit checks all descriptors and only then marks them close-on-exec. One that
// is marked already cannot have come through execve(2): this process opened it,
// or has taken it over before, and somebody else owns it.
func inherit(first, count int) error {
	for fd := first; fd < first+count; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil {
			return fmt.Errorf("%w: %w", missing(count, fd, "is not open"), err)
		}
		if flags&unix.FD_CLOEXEC != 0 {
			return missing(count, fd, "was not inherited, or has been taken over before")
		}
	}
	for fd := first; fd < first+count; fd++ {
		unix.CloseOnExec(fd)
	}
	return nil
}

func missing(count, fd int, why string) error {
	return invalid("LISTEN_FDS", strconv.Itoa(count), fmt.Sprintf("descriptor %d %s", fd, why))
}

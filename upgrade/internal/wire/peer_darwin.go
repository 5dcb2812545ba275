package wire

import (
	"os"

	"golang.org/x/sys/unix"
)

// peer reads LOCAL_PEERPID and LOCAL_PEERCRED, unix(4).
func peer(fd int) (pid, uid, gid int, err error) {
	pid, err = unix.GetsockoptInt(fd, unix.SOL_LOCAL, unix.LOCAL_PEERPID)
	if err != nil {
		return 0, 0, 0, os.NewSyscallError("getsockopt", err)
	}
	c, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return 0, 0, 0, os.NewSyscallError("getsockopt", err)
	}
	return pid, int(c.Uid), int(c.Groups[0]), nil
}

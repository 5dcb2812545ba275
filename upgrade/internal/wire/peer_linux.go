package wire

import (
	"os"
	"syscall"
)

// peer reads SO_PEERCRED, unix(7).
func peer(fd int) (pid, uid, gid int, err error) {
	c, err := syscall.GetsockoptUcred(fd, syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	if err != nil {
		return 0, 0, 0, os.NewSyscallError("getsockopt", err)
	}
	return int(c.Pid), int(c.Uid), int(c.Gid), nil
}

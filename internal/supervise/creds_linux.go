package supervise

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// hasCredentials: a datagram without them is not believed.
const hasCredentials = true

// askCredentials has the kernel name the sender of each datagram (unix(7)).
func askCredentials(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) {
		inner = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	})
	return errors.Join(err, inner)
}

func credentials(m *unix.SocketControlMessage) (pid int, ok bool) {
	c, err := unix.ParseUnixCredentials(m)
	if err != nil {
		return 0, false
	}
	return int(c.Pid), true
}

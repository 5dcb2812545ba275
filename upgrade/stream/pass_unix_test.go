//go:build unix

package stream

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// pass sends the descriptor of c through a socket pair, as between processes,
// and returns the connection that comes out.
func pass(c *net.TCPConn) (net.Conn, error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = errors.Join(syscall.Close(pair[0]), syscall.Close(pair[1])) }()
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var sent error
	err = raw.Control(func(fd uintptr) {
		sent = syscall.Sendmsg(pair[0], []byte{0}, syscall.UnixRights(int(fd)), nil, 0)
	})
	if err := errors.Join(err, sent); err != nil {
		return nil, err
	}
	return receive(pair[1])
}

func receive(sock int) (net.Conn, error) {
	oob := make([]byte, syscall.CmsgSpace(4))
	_, n, _, _, err := syscall.Recvmsg(sock, make([]byte, 1), oob, 0)
	if err != nil {
		return nil, err
	}
	msgs, err := syscall.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return nil, err
	}
	fds, err := syscall.ParseUnixRights(&msgs[0])
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(fds[0])
	f := os.NewFile(uintptr(fds[0]), "passed")
	defer f.Close()
	return net.FileConn(f)
}

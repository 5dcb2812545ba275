package supervise

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// The requests and answers of sock_diag(7) for one Unix socket, in the
// machine's byte order.
const (
	sockDiagByFamily = 20
	showPeer         = 4 // UDIAG_SHOW_PEER
	attributePeer    = 2 // UNIX_DIAG_PEER
	requestSize      = unix.SizeofNlMsghdr + 24
	answerSize       = 16 // struct unix_diag_msg, before the attributes
)

// unixPeer asks the kernel for the inode of the other end.
func unixPeer(conn net.Conn) (uint64, error) {
	own, err := ownInode(conn)
	if err != nil {
		return 0, err
	}
	answer, err := askDiag(unixRequest(own))
	if err != nil {
		return 0, fmt.Errorf("sock_diag: %w: %w", err, errors.ErrUnsupported)
	}
	return parsePeer(answer)
}

func ownInode(conn net.Conn) (inode uint64, err error) {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, err
	}
	var st unix.Stat_t
	var inner error
	err = raw.Control(func(fd uintptr) { inner = unix.Fstat(int(fd), &st) })
	return st.Ino, errors.Join(err, inner)
}

// unixRequest is a struct nlmsghdr and a struct unix_diag_req.
func unixRequest(inode uint64) []byte {
	b := make([]byte, 0, requestSize)
	order := binary.NativeEndian
	b = order.AppendUint32(b, requestSize)
	b = order.AppendUint16(b, sockDiagByFamily)
	b = order.AppendUint16(b, unix.NLM_F_REQUEST)
	b = append(b, make([]byte, 8)...)                // sequence, port
	b = append(b, unix.AF_UNIX, 0, 0, 0)             // family, protocol, padding
	b = order.AppendUint32(b, ^uint32(0))            // any state
	b = order.AppendUint32(b, uint32(inode))         // of this socket
	b = order.AppendUint32(b, showPeer)              // what to tell
	return order.AppendUint64(b, uint64(^uint64(0))) // no cookie
}

// askDiag sends one request and returns the one answer.
func askDiag(request []byte) ([]byte, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	timeout := unix.Timeval{Sec: 1}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return nil, err
	}
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	buf := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	return buf[:max(n, 0)], err
}

// parsePeer returns the inode of the peer in an answer; 0 while nobody has
// accepted it.
func parsePeer(answer []byte) (uint64, error) {
	messages, err := syscall.ParseNetlinkMessage(answer)
	if err != nil || len(messages) == 0 {
		return 0, fmt.Errorf("sock_diag: the answer cannot be read: %w", errors.ErrUnsupported)
	}
	m := messages[0]
	order := binary.NativeEndian
	if m.Header.Type == unix.NLMSG_ERROR && len(m.Data) >= 4 {
		return 0, fmt.Errorf("sock_diag: %w: %w", syscall.Errno(-int32(order.Uint32(m.Data))), errors.ErrUnsupported)
	}
	if m.Header.Type != sockDiagByFamily || len(m.Data) < answerSize {
		return 0, fmt.Errorf("sock_diag: an answer of type %d: %w", m.Header.Type, errors.ErrUnsupported)
	}
	for rest := m.Data[answerSize:]; len(rest) >= 4; {
		size, kind := int(order.Uint16(rest)), order.Uint16(rest[2:])
		if size < 4 || size > len(rest) {
			break
		}
		if kind == attributePeer && size >= 8 {
			return uint64(order.Uint32(rest[4:])), nil
		}
		rest = rest[min((size+3)&^3, len(rest)):]
	}
	return 0, nil
}

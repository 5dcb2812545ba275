//go:build unix

package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
)

// ancillary is room for every descriptor that one sendmsg can carry (SCM_MAX_FD
// is 253 on Linux), so that MSG_CTRUNC means only that the receiver is out of
// descriptors, and for credentials in case the socket has SO_PASSCRED.
var ancillary = syscall.CmsgSpace(253*4) + syscall.CmsgSpace(64)

// Pair returns a link and the other end of it, which is for a child: pass the
// file on, close it here, and let the child call [FromFile]. Both ends are
// close-on-exec. The file is in blocking mode until FromFile.
func Pair() (*Link, *os.File, error) {
	fds, err := socketpair()
	if err != nil {
		return nil, nil, fmt.Errorf("make control link: %w", os.NewSyscallError("socketpair", err))
	}
	theirs := os.NewFile(uintptr(fds[1]), "control link")
	l, err := FromFile(os.NewFile(uintptr(fds[0]), "control link"))
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("make control link: %w", err)
	}
	return l, theirs, nil
}

// usable says why c can not be a link, or nil.
func usable(c *net.UnixConn) error {
	if a := c.LocalAddr(); a == nil || a.Network() != "unix" {
		return errors.New("not a connected Unix stream socket")
	}
	return nil
}

// sendFiles sends the first bytes of a frame with descriptors and returns how
// many bytes, at least one without an error.
func sendFiles(c *net.UnixConn, frame []byte, fds []int) (int, error) {
	n, _, err := c.WriteMsgUnix(frame, syscall.UnixRights(fds...), nil)
	switch {
	case errors.Is(err, syscall.ETOOMANYREFS):
		err = fmt.Errorf("%w: the peer must receive some first, or raise the limit on open files (RLIMIT_NOFILE)", err)
	case errors.Is(err, syscall.EBADF):
		err = fmt.Errorf("%w: a descriptor to be sent is not open", err)
	}
	return n, err
}

// A socket is the source of a link's frames.
type socket struct {
	conn    *net.UnixConn
	control []byte // scratch
}

func newSocket(c *net.UnixConn) *socket {
	return &socket{conn: c, control: make([]byte, ancillary)}
}

func (s *socket) read(p []byte) (int, []int, error) {
	// net sets close-on-exec, by MSG_CMSG_CLOEXEC where there is one.
	n, oobn, flags, _, err := s.conn.ReadMsgUnix(p, s.control)
	if err != nil {
		return 0, nil, readError(err)
	}
	fds, err := rights(s.control[:oobn])
	if err == nil && flags&syscall.MSG_CTRUNC != 0 {
		err = ErrFilesLost
	}
	return n, fds, err
}

func readError(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return io.EOF // a peer that ends with frames unread resets the stream
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.EMSGSIZE):
		return fmt.Errorf("%w: %v", ErrFilesLost, err) // BSD and Darwin, instead of MSG_CTRUNC
	}
	return err
}

func (*socket) release(fds []int) {
	for _, fd := range fds {
		syscall.Close(fd)
	}
}

// rights returns the descriptors in control messages, some with an error too.
func rights(control []byte) (fds []int, err error) {
	if len(control) == 0 {
		return nil, nil
	}
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return nil, fmt.Errorf("%w: control message: %v", ErrMalformed, err)
	}
	for _, m := range messages {
		if m.Header.Level != syscall.SOL_SOCKET || m.Header.Type != syscall.SCM_RIGHTS {
			continue
		}
		got, err := syscall.ParseUnixRights(&m)
		if err != nil {
			return fds, fmt.Errorf("%w: control message: %v", ErrMalformed, err)
		}
		fds = append(fds, got...)
	}
	return fds, nil
}

// newFiles makes files of descriptors. os.NewFile keeps the mode of each.
func newFiles(k kind, fds []int) []*os.File {
	var files []*os.File
	for i, fd := range fds {
		files = append(files, os.NewFile(uintptr(fd), k.String()+" "+strconv.Itoa(i)))
	}
	return files
}

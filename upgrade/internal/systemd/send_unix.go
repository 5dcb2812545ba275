//go:build linux || darwin

package systemd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sendTimeout is how long one datagram may wait for room in the manager's queue.
const sendTimeout = time.Second

// barrierTimeout bounds [Notifier.Barrier], as systemd-notify(1) does.
const barrierTimeout = 5 * time.Second

// Barrier returns nil once the manager has handled everything that this process
// sent before: call it before exiting, else the manager may not find out whose
// the last message was. It waits until ctx ends, but never more than 5 seconds;
// the error then wraps ctx's cause or [os.ErrDeadlineExceeded]. A manager that does
// not know the message, systemd before 246, answers at once all the same.
func (n *Notifier) Barrier(ctx context.Context) error {
	if !n.Enabled() {
		return n.socketErr()
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("systemd: notify BARRIER: %w", err)
	}
	defer r.Close()
	err = n.sendFile("BARRIER=1", w)
	// From here on only the manager holds the end that is written to.
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	if err := waitClosed(ctx, r); err != nil {
		return fmt.Errorf("systemd: notify BARRIER: wait for the manager: %w", err)
	}
	return nil
}

// sendFile sends a message with one file.
func (n *Notifier) sendFile(message string, f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("systemd: %w", err)
	}
	var sent error
	if err := raw.Control(func(fd uintptr) { sent = n.send(message, int(fd)) }); err != nil {
		return fmt.Errorf("systemd: %w", err)
	}
	return sent
}

// waitClosed waits for the end of a pipe that nobody writes to.
func waitClosed(ctx context.Context, r *os.File) error {
	if err := r.SetReadDeadline(time.Now().Add(barrierTimeout)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { r.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err := r.Read(make([]byte, 1))
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		return errors.New("it wrote to the pipe instead of closing it")
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return err
}

// sendDatagram connects, so that the wait for room in the receiver's queue works
// with poll(2), and sends. A new socket for each message finds a manager that
// has bound its address anew.
func sendDatagram(address, message string, fds []int) error {
	if address[0] == '@' && runtime.GOOS != "linux" {
		return fmt.Errorf("connect to %s: abstract addresses need Linux, use a path: %w", address, errors.ErrUnsupported)
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("%w: is the service manager running and its socket visible here?", err)
	}
	defer c.Close()
	if err := c.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return sendmsg(raw, []byte(message), fds)
}

// sendmsg waits until there is room, or the deadline. [net.UnixConn.WriteMsgUnix]
// refuses a connected datagram socket.
func sendmsg(raw syscall.RawConn, message []byte, fds []int) error {
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	var sent error
	err := raw.Write(func(fd uintptr) bool {
		for {
			_, sent = unix.SendmsgN(int(fd), message, rights, nil, 0)
			if sent != unix.EINTR {
				return sent != unix.EAGAIN
			}
		}
	})
	if err != nil {
		return err
	}
	return os.NewSyscallError("sendmsg", sent)
}

// monotonicMicroseconds reads the clock that MONOTONIC_USEC is defined by.
func monotonicMicroseconds() (int64, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0, err
	}
	return ts.Nano() / int64(time.Microsecond), nil
}

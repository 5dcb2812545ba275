package supervisor

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// sendLimit is how long a frame to a worker may take to send. What a worker gets is
// little, so only one that reads nothing for long makes it matter.
const sendLimit = 2 * time.Second

// A conduit is the link to a worker, whose reader can be stopped between two
// messages, so that another program can go on with the descriptor.
type conduit struct {
	conn *net.UnixConn
	link *wire.Link
	fd   int // what to hand on; it is conn's

	mu        sync.Mutex
	paused    bool
	receiving bool // a message is being read: it must not be interrupted
	stopped   bool // the reader ends, or has, because of the pause

	done chan struct{} // closed when the reader has ended
}

// newConduit takes a connected Unix stream socket over, with an error too.
func newConduit(fd int) (*conduit, error) {
	f := os.NewFile(uintptr(fd), "supervisor link")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("link to a worker: %w", err)
	}
	u, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("link to a worker: a %T", conn)
	}
	c := &conduit{conn: u, link: wire.New(u)}
	c.link.SetTimeout(sendLimit)
	if err := c.link.Err(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("link to a worker: %w", err)
	}
	c.fd, err = descriptorOf(u)
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// resume reads until the conduit is paused or the link ends. Take handles a message,
// and reports whether the reader may be stopped behind it; lost is called when the
// link has ended.
func (c *conduit) resume(take func(wire.Message, []*os.File) bool, lost func(error)) {
	c.mu.Lock()
	c.paused, c.stopped = false, false
	c.mu.Unlock()
	c.done = make(chan struct{})
	go func(done chan struct{}) {
		defer close(done)
		whole := true
		for c.await(whole) {
			m, files, err := c.link.Receive()
			c.mu.Lock()
			c.receiving = false
			c.mu.Unlock()
			if err != nil {
				lost(err)
				return
			}
			whole = take(m, files)
		}
	}(c.done)
}

// pause stops the reader as soon as it may be stopped. The channel is closed when
// it has ended.
func (c *conduit) pause() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = true
	if !c.receiving {
		_ = c.conn.SetReadDeadline(time.Unix(1, 0))
	}
	return c.done
}

// unpause undoes a pause, whether it has come to anything or not. It is false if the
// reader has ended because of it: then resume.
func (c *conduit) unpause() bool {
	c.mu.Lock()
	c.paused = false
	stopped := c.stopped
	c.mu.Unlock()
	if stopped {
		<-c.done
	}
	return !stopped
}

// await waits until there is something to receive, and marks that as begun. It is
// false when the reader is to stop.
func (c *conduit) await(whole bool) bool {
	for {
		c.mu.Lock()
		if c.paused && whole {
			c.stopped = true
			c.mu.Unlock()
			return false
		}
		_ = c.conn.SetReadDeadline(time.Time{})
		c.mu.Unlock()

		err := c.readable()

		c.mu.Lock()
		if errors.Is(err, os.ErrDeadlineExceeded) || c.paused && whole {
			c.mu.Unlock()
			continue
		}
		_ = c.conn.SetReadDeadline(time.Time{})
		c.receiving = true
		c.mu.Unlock()
		return true
	}
}

// readable waits until a byte or the end of the stream is there.
func (c *conduit) readable() error {
	raw, err := c.conn.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Read(func(fd uintptr) bool { return ready(int(fd)) })
}

// ready reports whether something can be read at once.
func ready(fd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	for err == unix.EINTR {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	}
	return err != nil || n > 0
}

// send sends m, and descriptors that stay the caller's.
func (c *conduit) send(m wire.Message, fds ...int) error {
	if c == nil {
		return wire.ErrGone
	}
	return c.link.Send(m, fds...)
}

func (c *conduit) close() {
	if c != nil {
		_ = c.link.Close()
	}
}

package upgrade

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A PacketConn is a datagram socket that outlives the process. While the process
// stands by or drains, reads wait and datagrams stay in the kernel's queue for the
// other. Writes go on until the process has drained, which it has not before each
// reader has come back for more: so answer a datagram before you read the next
// one, or let Pool.Retire wait for the goroutines that answer.
//
// Its methods are safe for concurrent use.
type PacketConn struct {
	net.PacketConn
	u                       *Upgrader
	name, former, requested string
	file                    socketFile
	inner                   rawSource

	mu       sync.Mutex
	changed  sync.Cond // on mu; of all below
	paused   bool
	closed   bool
	readers  int // calls of ReadFrom
	out      int // datagrams whose reader has not come back
	deadline time.Time
}

// ListenPacket returns the datagram socket of that network ("udp", "udp4",
// "udp6" or "unixgram") and address, the predecessor's if it has one.
func (u *Upgrader) ListenPacket(network, address string) (*PacketConn, error) {
	switch network {
	case "udp", "udp4", "udp6", "unixgram":
	default:
		return nil, fmt.Errorf("listen on %s: network %q is not udp, udp4, udp6 or unixgram", address, network)
	}
	requested := network + "|" + address
	p := &PacketConn{u: u, name: requested, requested: requested}
	p.changed.L = &p.mu
	if in := u.claim(requested, requested); in != nil {
		defer in.file.Close()
		c, err := net.FilePacketConn(in.file)
		if err != nil {
			return nil, fmt.Errorf("listen on %s: the socket handed over: %w", requested, err)
		}
		p.PacketConn, p.former, p.file = c, in.Name, newSocketFile(in.Unlink)
	} else {
		c, err := net.ListenPacket(network, address)
		if err != nil {
			return nil, err
		}
		p.PacketConn, p.file = c, newSocketFile(pathOf(network, address))
	}
	raw, ok := p.PacketConn.(rawSource)
	if !ok {
		p.PacketConn.Close()
		return nil, fmt.Errorf("listen on %s: a %T cannot be handed over: %w", address, p.PacketConn, errors.ErrUnsupported)
	}
	p.inner = raw
	u.mu.Lock()
	defer u.mu.Unlock()
	p.paused = !u.accepts()
	u.packets = append(u.packets, p)
	u.socketsChanged()
	return p, nil
}

// SyscallConn gives access to the socket, for its options.
func (p *PacketConn) SyscallConn() (syscall.RawConn, error) { return p.inner.SyscallConn() }

// ReadFrom waits for a datagram; while the process stands by it waits on.
func (p *PacketConn) ReadFrom(b []byte) (int, net.Addr, error) {
	p.come()
	for {
		if err := p.await(); err != nil {
			p.goAway(false)
			return 0, nil, err
		}
		n, addr, err := p.PacketConn.ReadFrom(b)
		if err != nil && errors.Is(err, os.ErrDeadlineExceeded) && p.brokenOff() {
			continue
		}
		p.goAway(err == nil)
		return n, addr, err
	}
}

// come notes that a reader asks for a datagram, and so has answered the last one.
func (p *PacketConn) come() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readers++
	p.out = max(p.out-1, 0)
	p.changed.Broadcast()
}

// goAway notes that a reader leaves, with a datagram or without.
func (p *PacketConn) goAway(loaded bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readers--
	if loaded {
		p.out++
	}
	p.changed.Broadcast()
}

// await waits until the socket may be read from.
func (p *PacketConn) await() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.paused && !p.closed {
		if !p.deadline.IsZero() {
			left := time.Until(p.deadline)
			if left <= 0 {
				return &net.OpError{Op: "read", Net: p.LocalAddr().Network(), Source: p.LocalAddr(), Err: os.ErrDeadlineExceeded}
			}
			defer time.AfterFunc(left, p.broadcast).Stop()
		}
		p.changed.Wait()
	}
	return nil
}

// brokenOff reports whether a time-out is not the caller's.
func (p *PacketConn) brokenOff() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deadline.IsZero() || time.Now().Before(p.deadline)
}

// SetReadDeadline sets the deadline of reads.
func (p *PacketConn) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	p.changed.Broadcast()
	if p.paused {
		return nil
	}
	return p.PacketConn.SetReadDeadline(t)
}

// SetDeadline sets both deadlines.
func (p *PacketConn) SetDeadline(t time.Time) error {
	return errors.Join(p.SetReadDeadline(t), p.PacketConn.SetWriteDeadline(t))
}

func (p *PacketConn) pause(paused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = paused
	if paused {
		_ = p.PacketConn.SetReadDeadline(past)
	} else {
		_ = p.PacketConn.SetReadDeadline(p.deadline)
	}
	p.changed.Broadcast()
}

// finish pauses the socket, and waits until all datagrams that were read have been
// answered. If last, no other process reads from it, and what waits in the kernel's
// queue is read first.
func (p *PacketConn) finish(ctx context.Context, last bool) {
	defer context.AfterFunc(ctx, p.broadcast)()
	p.mu.Lock()
	last = last && !p.paused
	for last && readable(p.inner) && p.out+p.readers > 0 && !p.closed && ctx.Err() == nil {
		p.changed.Wait()
	}
	p.mu.Unlock()
	p.pause(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.out > 0 && !p.closed && ctx.Err() == nil {
		p.changed.Wait()
	}
}

func (p *PacketConn) broadcast() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed.Broadcast()
}

func (p *PacketConn) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// Close ends this process's use of the socket.
func (p *PacketConn) Close() error {
	p.mu.Lock()
	p.closed = true
	p.changed.Broadcast()
	p.mu.Unlock()
	p.u.socketsChanged()
	return p.PacketConn.Close()
}

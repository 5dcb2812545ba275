package admin

import (
	"context"
	"fmt"
	"net"
	"os/user"
	"strconv"
	"syscall"

	"connectrpc.com/connect"
)

// credentials are those of the process at the other end of a Unix socket, as the
// system knows them: what it says of itself is not asked for.
type credentials struct{ uid uint32 }

type peerKey struct{}

// withPeer notes in the context of a connection who is at its other end, where the
// system tells.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	if m, ok := c.(markedConn); ok {
		c = m.Conn
	}
	s, ok := c.(syscall.Conn)
	if a := c.LocalAddr(); !ok || a == nil || a.Network() != "unix" {
		return ctx
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return ctx
	}
	var found credentials
	controlErr := raw.Control(func(fd uintptr) { found, err = peerCredentials(int(fd)) })
	if err != nil || controlErr != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, found)
}

// caller says who asks, for the history and the log: the user at the other end of a
// Unix socket, else that it had the token, and from where.
func caller(ctx context.Context, p connect.Peer) string {
	if c, ok := ctx.Value(peerKey{}).(credentials); ok {
		return c.String()
	}
	if ownerConn(ctx) {
		return "the owner of the admin socket"
	}
	host, _, err := net.SplitHostPort(p.Addr)
	if err != nil {
		host = p.Addr
	}
	return "the admin token, from " + host
}

// String is "alice (uid 1000)".
func (c credentials) String() string {
	id := strconv.FormatUint(uint64(c.uid), 10)
	u, err := user.LookupId(id)
	if err != nil {
		return "uid " + id
	}
	return fmt.Sprintf("%s (uid %s)", valid(u.Username), id)
}

package stream

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

const (
	defaultWriteTimeout = 10 * time.Second
	lingerTimeout       = time.Second
)

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// deadline is the time d from now; a negative d means none.
func deadline(d time.Duration) time.Time {
	if d < 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}

// send writes all parts to c within limit. After an error the stream is over: a
// part may be on its way.
func send(c Conn, limit time.Duration, parts ...[]byte) error {
	if err := c.SetWriteDeadline(deadline(limit)); err != nil {
		return writeFailed(err, limit)
	}
	for _, p := range parts {
		if _, err := c.Write(p); err != nil {
			return writeFailed(err, limit)
		}
	}
	return nil
}

// linger closes the sending side and reads until the client has closed too:
// data that arrives on a closed socket would make the system reset the
// connection, and the client would lose what it has not read yet. The caller
// closes c.
func linger(c Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok && half.CloseWrite() != nil {
		return
	}
	if c.SetReadDeadline(time.Now().Add(lingerTimeout)) != nil {
		return
	}
	buf := make([]byte, 512)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

// unexpected reports whether the error of a run is worth a record: it is not
// about moving, not about a client that left, and not the end of the context.
func unexpected(ctx context.Context, err error) bool {
	if err == nil || errors.Is(err, ErrMoving) || errors.Is(err, ErrGone) {
		return false
	}
	var c *CloseError
	return !errors.As(err, &c) && (ctx.Err() == nil || !errors.Is(err, ctx.Err()))
}

// recovered is deferred around a run in a successor, where no server recovers
// it: one stream must not end the process.
func recovered(log *slog.Logger, kind string) {
	if v := recover(); v != nil && v != http.ErrAbortHandler {
		log.Error("stream panicked", "kind", kind, "panic", v, "stack", string(debug.Stack()))
	}
}

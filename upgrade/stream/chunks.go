package stream

import (
	"strconv"
	"time"
)

// chunks writes a response body to a connection, each write as one chunk (RFC
// 9112, section 7.1), or unframed up to the end of the connection for HTTP/1.0.
type chunks struct {
	c       Conn
	chunked bool
	timeout time.Duration
	buf     []byte // reused; guarded like the writes
}

// write implements sink. p is not empty: an empty chunk would end the body.
func (k *chunks) write(p []byte) error {
	if !k.chunked {
		return send(k.c, k.timeout, p)
	}
	k.buf = strconv.AppendInt(k.buf[:0], int64(len(p)), 16)
	k.buf = append(k.buf, "\r\n"...)
	k.buf = append(k.buf, p...)
	k.buf = append(k.buf, "\r\n"...)
	err := send(k.c, k.timeout, k.buf)
	if cap(k.buf) > 64<<10 {
		k.buf = nil // one large event does not hold its memory for ever
	}
	return err
}

// last ends the body.
func (k *chunks) last() error {
	if !k.chunked {
		return nil
	}
	return send(k.c, k.timeout, []byte("0\r\n\r\n"))
}

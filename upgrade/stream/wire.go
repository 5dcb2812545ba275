package stream

import (
	"errors"
	"sync"
	"time"
)

// wire writes frames to a connection. It is safe for concurrent use.
type wire struct {
	c       Conn
	timeout time.Duration

	mu   sync.Mutex // held while a frame is written
	over error      // why nothing can be written any more: a close frame was sent, or a write failed
}

// errClosing refuses what would follow a close frame (RFC 6455, section 5.5.1).
var errClosing = errors.New("close frame was sent")

// write sends a frame. check, if not nil, is asked first, under the lock.
func (x *wire) write(op opcode, data []byte, check func() error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if check != nil {
		if err := check(); err != nil {
			return err
		}
	}
	if x.over != nil {
		return x.over
	}
	err := x.frame(op, data)
	x.over = err
	if err == nil && op == opClose {
		x.over = errClosing
	}
	return err
}

// frame writes header and payload under one deadline.
func (x *wire) frame(op opcode, data []byte) error {
	const together = 16 << 10 // a larger payload is not copied
	head := header{fin: true, op: op, length: uint64(len(data))}
	if len(data) > together {
		return send(x.c, x.timeout, appendHeader(nil, head), data)
	}
	p := appendHeader(make([]byte, 0, maxHeader+len(data)), head)
	return send(x.c, x.timeout, append(p, data...))
}

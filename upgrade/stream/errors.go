package stream

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

var (
	// ErrMoving says that the stream is about to be handed to the next process.
	// The call that returned it did nothing; run returns it.
	ErrMoving = errors.New("stream is moving to another process: return this error from run")

	// ErrGone is the cause of a stream's end when the client has closed or lost
	// the connection. The error that wraps it says how.
	ErrGone = errors.New("client is gone")

	// ErrEnded is returned by calls on a stream whose run has returned.
	ErrEnded = errors.New("stream was used after its run had returned")

	// ErrInvalid is wrapped by the error of a Send whose argument can't be
	// represented on the wire. Nothing was sent and the stream goes on.
	ErrInvalid = errors.New("can't be sent")
)

// errState is wrapped by every error of decodeState.
var errState = errors.New("state from the predecessor is unusable")

// A CloseError is the end of a WebSocket by a close frame (RFC 6455, section
// 7.1.5). [Socket.Receive] returns it, and run may return one to choose what the
// client is told.
type CloseError struct {
	// Code is the status code. 1005 (none received) is what Receive reports for
	// a close frame without one, and sends one without. A run may also return
	// 1000 to 1003, 1007 to 1014 and 3000 to 4999 (RFC 6455, section 7.4); any
	// other is sent as 1011.
	Code int
	// Reason is UTF-8 text for people. At most 123 bytes are sent.
	Reason string
	// Local is set if this side closed, because the client broke the protocol or
	// a limit. Ignored in what run returns.
	Local bool
}

func (e *CloseError) Error() string {
	who := "by the client"
	if e.Local {
		who = "here"
	}
	if e.Reason == "" {
		return fmt.Sprintf("websocket closed %s with status %d", who, e.Code)
	}
	return fmt.Sprintf("websocket closed %s with status %d: %s", who, e.Code, e.Reason)
}

// gone describes a failed read.
func gone(err error) error {
	if errors.Is(err, io.EOF) {
		return ErrGone
	}
	return fmt.Errorf("%w: %w", ErrGone, err)
}

// writeFailed describes a failed write. Whatever it was, the stream is over: a
// part of the data may be on its way.
func writeFailed(err error, limit time.Duration) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("client did not take the data within %v: %w", limit, err)
	case errors.Is(err, net.ErrClosed), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET):
		return gone(err)
	}
	return err
}

package load

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
)

// A Class says how a request failed. Each failed request is in exactly one.
type Class string

// The classes of failures; the empty Class is success.
const (
	Refused   Class = "refused"    // nobody accepts connections
	Reset     Class = "reset"      // the connection was reset
	EOF       Class = "eof"        // the connection ended before the response did
	Timeout   Class = "timeout"    // no complete response in time
	Status5xx Class = "status_5xx" // the server says that it failed
	Wrong     Class = "wrong"      // not HTTP, or not what the profile demands
	Mixed     Class = "mixed"      // of more than one generation
)

// ErrMixed is wrapped by a [Step]'s Check when a response contains parts of more
// than one version.
var ErrMixed = errors.New("mixed versions")

// Windows reports its own numbers, which package syscall names only there.
const (
	wsaConnReset   = syscall.Errno(10054)
	wsaConnAborted = syscall.Errno(10053)
	wsaConnRefused = syscall.Errno(10061)
)

// classify sorts an error of the connection.
func classify(err error) Class {
	switch {
	case isAny(err, syscall.ECONNREFUSED, wsaConnRefused):
		return Refused
	case isAny(err, syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED, wsaConnReset, wsaConnAborted):
		return Reset
	case isTimeout(err):
		return Timeout
	case isAny(err, io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed):
		return EOF
	}
	return Wrong
}

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}

func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return true
	}
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// judge says what became of a step, and tells the session.
func (g *Generator) judge(step Step, resp *Response, err error) (Class, error) {
	if err != nil {
		if step.Lost != nil {
			step.Lost()
		}
		return classify(err), err
	}
	if resp.Status >= 500 {
		if step.Lost != nil {
			step.Lost()
		}
		return Status5xx, fmt.Errorf("status %d: %s", resp.Status, excerpt(resp.Body))
	}
	if step.Check != nil {
		if err := step.Check(resp); err != nil {
			if errors.Is(err, ErrMixed) {
				return Mixed, err
			}
			return Wrong, err
		}
	}
	if err := g.tally.agree(resp); err != nil {
		return Mixed, err
	}
	return "", nil
}

// excerpt returns the beginning of a body for a message.
func excerpt(body []byte) string {
	const most = 120
	if len(body) > most {
		return strconv.Quote(string(body[:most])) + "…"
	}
	return strconv.Quote(string(body))
}

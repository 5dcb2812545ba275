package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// A Kind says how a request failed, or how a stream broke.
type Kind string

// The kinds of failures. Those that end in "-kept" hit a connection that had
// carried a request before: what a server does to it while the client believes
// that it may use it.
const (
	Refused   Kind = "refused"    // nobody accepts connections
	Dial      Kind = "dial"       // another error while connecting
	EOF       Kind = "eof"        // a fresh connection ended before the answer began
	EOFKept   Kind = "eof-kept"   // the same of a kept connection
	Reset     Kind = "reset"      // a fresh connection was reset before the answer began
	ResetKept Kind = "reset-kept" // the same of a kept connection
	Timeout   Kind = "timeout"    // no complete answer in time
	Short     Kind = "short"      // the answer began and did not end
	Status5xx Kind = "5xx"        // the server says that it failed
	Wrong     Kind = "wrong"      // not HTTP, or not what was asked for
	Refusal   Kind = "goaway"     // HTTP/2: the server refused a stream; it was not retried
	Ended     Kind = "ended"      // a stream ended in good form before its time
	Lost      Kind = "lost"       // a stream left out a message
	Doubled   Kind = "doubled"    // a stream repeated a message
	Silent    Kind = "silent"     // a stream said nothing for too long
)

// A Failure is one request that failed or one stream that broke.
type Failure struct {
	At     time.Duration // since the recording began
	Client string        // the kind of client
	Kind   Kind
	PID    int // that X-Pid of the failed answer named; 0 without one
	LastID int // of the process that answered before on the same connection; 0 without one
	Err    error
}

func (f *Failure) Error() string {
	return fmt.Sprintf("%s: %s: %v", f.Client, f.Kind, f.Err)
}

func (f *Failure) Unwrap() error { return f.Err }

// failed makes a failure of a kind that the caller knows.
func failed(kind Kind, format string, args ...any) *Failure {
	return &Failure{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// connectFailure sorts an error of connecting.
func connectFailure(err error) *Failure {
	kind := Dial
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		kind = Refused
	case timedOut(err):
		kind = Timeout
	case errors.Is(err, syscall.ECONNRESET):
		kind = Reset
	}
	return &Failure{Kind: kind, Err: err}
}

// readFailure sorts an error of a connection. kept: it had carried a request
// before. began: a part of the answer had arrived.
func readFailure(err error, kept, began bool) *Failure {
	return &Failure{Kind: readKind(err, kept, began), Err: err}
}

func readKind(err error, kept, began bool) Kind {
	reset := errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNABORTED)
	eof := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	switch {
	case timedOut(err):
		return Timeout
	case !reset && !eof:
		return Wrong
	case began:
		return Short
	case reset && kept:
		return ResetKept
	case reset:
		return Reset
	case kept:
		return EOFKept
	}
	return EOF
}

func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

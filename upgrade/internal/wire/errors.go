package wire

import "errors"

var (
	// ErrMalformed is wrapped when the bytes received are not a frame of this
	// protocol, or a message to be sent would not be one.
	ErrMalformed = errors.New("malformed frame")

	// ErrTooLarge is wrapped when a payload exceeds [MaxPayload] or
	// [MaxStateData], or a frame has more than [MaxFiles] descriptors. Split
	// what is sent: sockets over several [Sockets], state over [StateData].
	ErrTooLarge = errors.New("frame too large")

	// ErrFilesLost is wrapped when the kernel dropped descriptors because the
	// receiver may not open any more. Those that arrived have been closed.
	ErrFilesLost = errors.New("descriptors lost: raise the limit on open files (RLIMIT_NOFILE) of the receiving process")

	// ErrTimeout is wrapped when the peer did not read a frame within the
	// time of [Link.SetTimeout].
	ErrTimeout = errors.New("peer does not read")

	// ErrGone is wrapped when a frame could not be sent because the peer has
	// closed its end or died. What it sent before can still be received.
	ErrGone = errors.New("peer is gone")
)

// Package wire is the control link between an old and a new process of one
// service: framed messages over a Unix stream socket, with the descriptors of
// sockets that change hands.
//
// Start with [Pair] in the process that starts its successor, [FromFile] in
// the one that was started, or [New] for a connection that was dialed or
// accepted. Send a [Hello], receive the other one, and let [Negotiate] pick the
// version. A [Link] may be sent on by any number of goroutines; one receives.
//
// # Frame
//
//	offset  size  field     value
//	0       4     length    uint32, big-endian: bytes of payload, 0 to 1 MiB
//	4       1     kind      uint8: which message, see below
//	5       1     files     uint8: descriptors that travel with the frame, 0 to 64
//	6       2     reserved  sent as 0, ignored when received
//	8       …     payload
//
// The descriptors are one SCM_RIGHTS message (unix(7)) that is attached to the
// first bytes of the frame. A receiver takes whatever arrives between the first
// and the last byte of a frame as the frame's. Fewer than announced is an
// error; those beyond the announced number are closed.
//
// The payload is one JSON object in UTF-8, except that of state data, which is
// raw bytes. Fields that the receiver does not know are ignored, and those that
// are missing have the zero value, so either side may be newer. Bytes are
// base64, times RFC 3339, digests lower-case hexadecimal SHA-256.
//
// # Messages
//
// Kinds keep their numbers for ever; a number is not used again. A frame of an
// unknown kind is skipped and its descriptors are closed. Kind 0 is never sent.
//
//	kind  message     sent by     fields                                          files
//	1     hello       both        min, max, pid, release, rejected, generation,   0
//	                              limits, force
//	2     sockets     old         sockets: name, network, address, requested,     one each,
//	                              unlink                                          same order
//	3     state       old         name, version, size (-1: unknown)               0
//	4     state data  old         raw bytes of the state begun last, 0 to 64 KiB  0
//	5     state end   old         name, sha256, size                              0
//	6     prepared    old         none: sockets and states are complete           0
//	7     ready       new         sockets: names it will accept from; heartbeat:  0
//	                              nanoseconds. Initialised, not yet accepting
//	8     serve       old         singletons: name to last state                  0
//	9     serving     new         none: accepting                                 0
//	10    commit      old         none: probation is over                         0
//	11    abort       both        reason, stopped                                 0
//	12    connection  old         id, kind, listener, state, unread               1
//	13    taken       new         id, ok, reason                                  0
//	14    beat        new         seq, healthy, reason, arrived, requests, errors, 0
//	                              inflight
//	15    draining    both        processes: pid, generation, release, since,     0
//	                              deadline, connections, inflight
//	16    start       worker      path, args, env: start my successor             0
//	17    started     supervisor  pid; or reason, without files                   2
//	18    exited      supervisor  pid, status: how that process ended             0
//	19    served      worker      generation, release: I am the service           0
//	20    stop        new         none: cancel what is left now                   0
//	21    request     supervisor  id, path, force: please upgrade                 0
//	22    verdict     worker      id, ok, reason: what came of it                 0
//	23    probe       old         none: are you alive?                            0
//	24    alive       new         none: yes; answers probe at once                0
//
// A release is digest, version and path; limits is state. A file count that the
// last column does not allow is an error for sockets, connection and started. Any other
// message may carry files that later versions give a meaning to.
//
// # What ends a link
//
// A frame that breaks the rules above, one that ends early, lost descriptors
// and a peer that reads nothing until the time-out end the link for good: the
// socket is closed, and every later call returns an error that wraps the first
// one. If possible the peer is told by an abort first. The end of the stream
// between two frames is io.EOF and no error of the peer.
//
// # Versions
//
// The frame and the kinds above are the same in all versions of the protocol. The
// version that [Negotiate] picks decides what a peer may expect of the other,
// not how bytes are read.
package wire

// Package stream serves event streams (server-sent events) and WebSockets that
// outlive the process which accepted them: when the process is replaced, the
// open connection, the application's state and every byte that was received but
// not yet used move to the successor, and the client notices nothing.
//
// Start with [NewEvents] or [NewSocket]. Both take a [Host], which [Adapt] makes
// of package upgrade's Upgrader, a kind and a function, and give a handler whose
// Serve method is called from an ordinary [net/http] handler:
//
//	ticks := stream.NewEvents(stream.Adapt(up), "ticks", func(e *stream.Events, s *state) error {
//		for {
//			if err := e.SendData(strconv.Itoa(s.Next)); err != nil {
//				return err
//			}
//			s.Next++
//			if err := e.Wait(time.Second); err != nil {
//				return err
//			}
//		}
//	})
//	http.HandleFunc("GET /ticks", func(w http.ResponseWriter, r *http.Request) {
//		ticks.Serve(w, r, state{})
//	})
//
// # The contract of run
//
// The function, called run below, continues from the state and from nothing
// else. When a call returns [ErrMoving], run returns that error; then *s is
// encoded as JSON, and the successor, which has made a handler of the same
// kind, calls its own run with what it decodes. The state is therefore
// part of the contract between two releases: the new one must understand what
// the old one wrote, and the old one what the new one wrote if the upgrade may
// be rolled back.
//
// Change *s after the call that it records: an event whose Send returned nil
// was sent and is never repeated, one whose Send returned ErrMoving was not
// sent. Goroutines that run started must be done with the stream when run
// returns; later calls are refused with [ErrEnded].
//
// If the hand-over fails nothing is lost: run is called again in this process
// with the same s, and moving is offered again when [Conn.Moving] returns
// another channel, that is at the next attempt to replace the process.
//
// A write under way is finished first, so a client that does not read delays
// its own move by at most the write timeout.
//
// # What moves
//
// Streams over HTTP/1 on a connection that the Host can hand over. Over HTTP/2,
// and where a connection can't be taken over, event streams are served all the
// same but end where they began, and WebSockets are refused with 501. The
// request, its context's values and the response writer do not move: run must
// use only [Events] or [Socket] and the state.
//
// # State
//
// What is handed over beside the connection is one JSON object. The unread
// bytes of a WebSocket are valid client frames (RFC 6455, section 5.2): what
// was parsed already is framed again, so that they mean the same to any version.
//
//	field     type    meaning
//	v         number  version of this table: 1; another is refused
//	type      string  "events" or "socket"
//	chunked   bool    events: chunked framing (HTTP/1.1), else none (HTTP/1.0)
//	protocol  string  socket: the subprotocol agreed on, or empty
//	state     any     the application's S as encoding/json writes it
//
// Unknown fields are ignored. A successor that can't read the object ends the
// stream: an event stream is cut, so that its client connects again, and a
// WebSocket is closed with 1012 (service restart).
//
// Handlers are safe for concurrent use.
package stream

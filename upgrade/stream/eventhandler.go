package stream

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"
)

// EventOptions configures an [EventHandler]. The zero value is ready to use.
type EventOptions struct {
	// WriteTimeout is how long the client may take to accept one event. Zero
	// means 10 seconds; a negative value waits without limit.
	WriteTimeout time.Duration

	// KeepAlive is the time without an event after which [Events.Wait] sends a
	// comment, so that intermediaries do not give the connection up. Zero and
	// below means none.
	KeepAlive time.Duration

	// Log receives a record when a stream ends for another reason than its
	// client, when a move fails, and when a run panics in a successor. Nil
	// means [slog.Default].
	Log *slog.Logger
}

// EventHandler serves event streams of one kind. Make it with [NewEvents].
type EventHandler[S any] struct {
	host Host
	kind string
	opts EventOptions
	run  func(e *Events, s *S) error
}

// NewEvents returns a handler whose streams are written by run, and registers it
// for the streams of that kind which a predecessor hands over, so make it before
// the process reports that it is ready. The kind is unique in the process and
// the same in both releases. What run must heed is told in the package comment.
//
// A run that returns nil ends the response; one that returns an error other than
// [ErrMoving] cuts it short, so that the client knows.
func NewEvents[S any](h Host, kind string, run func(e *Events, s *S) error) *EventHandler[S] {
	return NewEventsWith(h, kind, EventOptions{}, run)
}

// NewEventsWith is [NewEvents] with options.
func NewEventsWith[S any](h Host, kind string, opts EventOptions, run func(e *Events, s *S) error) *EventHandler[S] {
	if h == nil {
		h = localHost{}
	}
	opts.WriteTimeout = orDefault(opts.WriteTimeout, defaultWriteTimeout)
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	eh := &EventHandler[S]{host: h, kind: kind, opts: opts, run: run}
	h.Resume(kind, eh.resume)
	return eh
}

// Serve answers the request with an event stream that begins with state s, and
// returns when the stream has ended or was handed over. Headers set on w before
// are sent; Content-Type is set, and Cache-Control to no-store unless it has a
// value. A HEAD request gets the headers only.
func (h *EventHandler[S]) Serve(w http.ResponseWriter, r *http.Request, s S) {
	if r.ProtoMajor == 1 && r.Method != http.MethodHead {
		if c, err := h.host.Hijack(w, h.kind); err == nil {
			chunked := r.ProtoAtLeast(1, 1)
			t := h.stream(c, chunked, &s)
			t.begin(r.Context(), eventHead(w.Header(), chunked))
			return
		}
	}
	h.flush(w, r, &s)
}

// resume continues a stream of the predecessor.
func (h *EventHandler[S]) resume(c Conn, state []byte) {
	defer recovered(h.opts.Log, h.kind)
	s := new(S)
	env, err := decodeState(state, typeEvents, s)
	if err != nil {
		h.opts.Log.Error("event stream lost in the move", "kind", h.kind, "err", err)
		_ = c.Close() // the client connects again
		return
	}
	h.stream(c, env.Chunked, s).serve(context.Background())
}

// stream binds the handler's run to a connection.
func (h *EventHandler[S]) stream(c Conn, chunked bool, s *S) *eventStream {
	return &eventStream{
		c:    c,
		out:  &chunks{c: c, chunked: chunked, timeout: h.opts.WriteTimeout},
		opts: h.opts,
		log:  h.opts.Log.With("kind", h.kind),
		call: func(e *Events) error { return h.run(e, s) },
		state: func() ([]byte, error) {
			return encodeState(envelope{Type: typeEvents, Chunked: chunked}, s)
		},
	}
}

// flush serves where the connection can't be taken over.
func (h *EventHandler[S]) flush(w http.ResponseWriter, r *http.Request, s *S) {
	eventHeaders(w.Header())
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return
	}
	out := &flusher{w: w, rc: http.NewResponseController(w), timeout: h.opts.WriteTimeout}
	e := newEvents(r.Context(), out, &offer{}, h.opts.KeepAlive)
	defer e.seal()
	if err := out.write(nil); err != nil {
		if errors.Is(err, http.ErrNotSupported) {
			http.Error(w, "event streams are not possible here", http.StatusInternalServerError)
		}
		h.opts.Log.Warn("event stream could not begin", "kind", h.kind, "err", err)
		return
	}
	if err := h.run(e, s); unexpected(e.ctx, err) {
		h.opts.Log.Warn("event stream ended", "kind", h.kind, "err", err)
	}
}

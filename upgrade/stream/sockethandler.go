package stream

import (
	"context"
	"log/slog"
	"net/http"
	"path"
	"time"
)

const (
	defaultCloseTimeout = 5 * time.Second
	defaultMaxMessage   = 1 << 20
)

// SocketOptions configures a [SocketHandler]. The zero value is ready to use.
type SocketOptions struct {
	// WriteTimeout is how long the client may take to accept one message. Zero
	// means 10 seconds; a negative value waits without limit.
	WriteTimeout time.Duration

	// CloseTimeout is how long to wait for the client's close frame after run
	// has returned. Zero means 5 seconds; a negative value waits without limit.
	CloseTimeout time.Duration

	// MaxMessage is the length in bytes from which on a message closes the
	// connection with 1009; it may still have that length. Below 1 means 1 MiB.
	MaxMessage int

	// Origins lists the pages that may connect beside those of the same host,
	// as [path.Match] patterns, case-insensitive: "*.example.com" is compared
	// with the host and port of the request's Origin, "https://example.com"
	// with its scheme too. "*" alone allows every page, which lets any of them
	// act with its visitor's cookies. A malformed pattern allows nothing.
	// Clients that send no Origin are no browsers and always pass.
	Origins []string

	// Protocols lists the subprotocols that are spoken, the preferred first.
	// A client that offers none of them is connected without one.
	Protocols []string

	// Log receives a record when run fails, when a move fails, and when a run
	// panics in a successor. Nil means [slog.Default].
	Log *slog.Logger
}

func (o SocketOptions) withDefaults() SocketOptions {
	o.WriteTimeout = orDefault(o.WriteTimeout, defaultWriteTimeout)
	o.CloseTimeout = orDefault(o.CloseTimeout, defaultCloseTimeout)
	if o.MaxMessage < 1 {
		o.MaxMessage = defaultMaxMessage
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// SocketHandler serves WebSockets (RFC 6455) of one kind. Make it with
// [NewSocket]. No extensions are negotiated.
type SocketHandler[S any] struct {
	host Host
	kind string
	opts SocketOptions
	run  func(c *Socket, s *S) error
}

// NewSocket returns a handler whose connections are served by run, and registers
// it for the connections of that kind which a predecessor hands over, so make it
// before the process reports that it is ready. The kind is unique in the process
// and the same in both releases. What run must heed is told in the package
// comment.
//
// A run that returns nil closes with 1000, a *[CloseError] with its code, any
// other error but [ErrMoving] with 1011.
func NewSocket[S any](h Host, kind string, run func(c *Socket, s *S) error) *SocketHandler[S] {
	return NewSocketWith(h, kind, SocketOptions{}, run)
}

// NewSocketWith is [NewSocket] with options.
func NewSocketWith[S any](h Host, kind string, opts SocketOptions, run func(c *Socket, s *S) error) *SocketHandler[S] {
	if h == nil {
		h = localHost{}
	}
	sh := &SocketHandler[S]{host: h, kind: kind, opts: opts.withDefaults(), run: run}
	for _, p := range opts.Origins {
		if _, err := path.Match(p, ""); err != nil {
			sh.opts.Log.Error("origin pattern allows nothing: it is malformed", "kind", kind, "pattern", p)
		}
	}
	h.Resume(kind, sh.resume)
	return sh
}

// Serve answers the handshake and serves the connection, beginning with state s;
// it returns when the connection has ended or was handed over. Headers set on w
// before are sent. A request that is no good handshake is refused with 400, 405
// or 426, a page of another host with 403, and HTTP/2 with 501.
func (h *SocketHandler[S]) Serve(w http.ResponseWriter, r *http.Request, s S) {
	refused := checkHandshake(r)
	if refused == nil {
		refused = checkOrigin(r, h.opts.Origins)
	}
	if refused != nil {
		refused.respond(w)
		return
	}
	c, err := h.host.Hijack(w, h.kind)
	if err != nil {
		h.opts.Log.Warn("websocket refused", "kind", h.kind, "err", err)
		http.Error(w, "WebSocket is not possible on this connection", http.StatusNotImplemented)
		return
	}
	protocol := chooseProtocol(r, h.opts.Protocols)
	head := socketHead(w.Header(), r.Header.Get("Sec-Websocket-Key"), protocol)
	if send(c, h.opts.WriteTimeout, head) != nil {
		_ = c.Close() // the client is gone
		return
	}
	h.stream(c, protocol, &s).serve(r.Context())
}

// resume continues a connection of the predecessor.
func (h *SocketHandler[S]) resume(c Conn, state []byte) {
	defer recovered(h.opts.Log, h.kind)
	s := new(S)
	env, err := decodeState(state, typeSocket, s)
	t := h.stream(c, env.Protocol, s)
	if err != nil {
		h.opts.Log.Error("websocket lost in the move", "kind", h.kind, "err", err)
		t.call = func(*Socket) error { return &CloseError{Code: 1012, Reason: "service restart"} }
	}
	t.serve(context.Background())
}

// stream binds the handler's run to a connection.
func (h *SocketHandler[S]) stream(c Conn, protocol string, s *S) *socketStream {
	return &socketStream{
		c:        c,
		x:        &wire{c: c, timeout: h.opts.WriteTimeout},
		p:        &parser{limit: h.opts.MaxMessage},
		protocol: protocol,
		opts:     h.opts,
		log:      h.opts.Log.With("kind", h.kind),
		call:     func(s2 *Socket) error { return h.run(s2, s) },
		state: func() ([]byte, error) {
			return encodeState(envelope{Type: typeSocket, Protocol: protocol}, s)
		},
	}
}

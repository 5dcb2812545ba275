package upgrade

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The GOAWAY of net/http names the last stream that it has read, and it drops those
// that were on their way: a client that does not send again loses them. RFC 9113, 6.8
// wants another one first, which names the highest stream there may be. Net/http has
// none, so it is put between the frames that the server writes.

// goAway is a GOAWAY frame with the highest stream and no error.
var goAway = []byte{0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0}

// Of the frames of HTTP/2 (RFC 9113, 6) those that matter here.
const (
	frameHead         = 9 // bytes: length (24 bits), type, flags, stream
	frameData         = 0
	frameHeaders      = 1
	framePush         = 5
	frameContinuation = 9
	endHeaders        = 4 // flag
)

// frames follows what a server writes on a connection that carries HTTP/2, or of
// which that is not known yet. The zero value is ready to use.
type frames struct {
	mu    sync.Mutex // held while something is written
	head  [frameHead]byte
	have  int  // bytes of head that were written
	left  int  // bytes of the frame that follow
	block bool // the next frame belongs to the headers of this one
	begun bool // the server's first frame, SETTINGS, is written
	told  bool // GOAWAY is written

	due atomic.Bool // GOAWAY goes before the next frame of an answer; set only if it is HTTP/2
}

// write writes p to w, and GOAWAY where one is due: right before a part of an answer,
// since a client that waits for one does not begin a request at that moment. Go's
// fails a request for which it has just chosen the connection (golang/go#62450).
func (f *frames) write(w io.Writer, p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := f.follow(p)
	if !f.due.Load() || f.told || at < 0 {
		return w.Write(p)
	}
	f.told = true
	n, err := w.Write(slices.Concat(p[:at], goAway, p[at:]))
	if err != nil {
		return min(n, at), err
	}
	return len(p), nil
}

// follow notes that p is written and returns where in it GOAWAY may go, or -1.
func (f *frames) follow(p []byte) int {
	at := -1
	for i := 0; i < len(p); {
		if f.left > 0 {
			n := min(f.left, len(p)-i)
			f.left, i = f.left-n, i+n
			continue
		}
		start := i - f.have
		n := copy(f.head[f.have:], p[i:])
		f.have, i = f.have+n, i+n
		if f.have < frameHead {
			break
		}
		kind := f.head[3]
		if at < 0 && start >= 0 && !f.block && f.begun && (kind == frameData || kind == frameHeaders) {
			at = start
		}
		if kind == frameHeaders || kind == framePush || kind == frameContinuation {
			f.block = f.head[4]&endHeaders == 0
		}
		f.left, f.have, f.begun = int(binary.BigEndian.Uint32(f.head[:4])>>8), 0, true
	}
	return at
}

// tell writes GOAWAY to w now, if it has not gone out and no frame is half written.
func (f *frames) tell(w io.Writer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.told || !f.begun || f.block || f.left > 0 || f.have > 0 {
		return
	}
	f.told = true
	_, _ = w.Write(goAway) // the server finds out by itself
}

// goAwayGrace is how long a client that was told has to go, and what it has sent
// before to arrive. Net/http closes as long after its own GOAWAY.
const goAwayGrace = time.Second

// part lets the clients of HTTP/2 connections go, which are told with their next answer
// from leave on, else when they had none for the grace. It returns when they have
// gone, or had time to.
func (u *Upgrader) part(ctx context.Context, s server, grace time.Duration) {
	if end, ok := ctx.Deadline(); ok { // leave the other half to the server
		grace = min(grace, time.Until(end)/4)
	}
	stays := func(c *conn) bool { return c.l.server == s && c.goAway() != nil }
	wait := func(d time.Duration) {
		limited, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		u.waitConns(limited, stays)
	}
	wait(grace)
	for _, c := range u.conns() {
		if stays(c) {
			go c.frames.tell(c.goAway()) // a client that does not read must not keep the others
		}
	}
	wait(min(grace, goAwayGrace))
}

// A secureConn is HTTP/2's connection with TLS, above which its frames can be seen.
type secureConn struct {
	*tls.Conn
	own   *conn
	began bool
}

var errPreface = errors.New("the client does not begin with HTTP/2's preface")

// Read leaves out the preface.
func (c *secureConn) Read(p []byte) (int, error) {
	if !c.began {
		got := make([]byte, len(wholePreface))
		if _, err := io.ReadFull(c.Conn, got); err != nil {
			return 0, err
		}
		if !bytes.Equal(got, []byte(wholePreface)) {
			return 0, errPreface
		}
		c.began = true
	}
	return c.Conn.Read(p)
}

func (c *secureConn) Write(p []byte) (int, error) { return c.own.frames.write(c.Conn, p) }

// unencryptedHTTP2 is the key of http.Server.TLSNextProto for connections without
// TLS whose preface was read. Net/http and golang.org/x/net/http2, which may be of any
// versions, hand them to each other so: in a [tls.Conn] that only carries a carrier.
const unencryptedHTTP2 = "unencrypted_http2"

type carrier struct {
	net.Conn
	inner net.Conn
}

// UnencryptedNetConn is what the other side looks for.
func (c carrier) UnencryptedNetConn() net.Conn { return c.inner }

// watchSecure makes the server write HTTP/2 with TLS through a secureConn. Where
// net/http does not know the key, its own GOAWAY has to do. It is called when the
// server has begun to accept, which fills the map.
func (s *httpServer) watchSecure() {
	protocols := s.srv.TLSNextProto
	serve, ok := protocols[unencryptedHTTP2]
	secure := protocols["h2"]
	if !ok || secure == nil {
		return
	}
	protocols["h2"] = func(srv *http.Server, t *tls.Conn, h http.Handler) {
		own, _ := unwrapConn(t)
		if own == nil {
			secure(srv, t, h)
			return
		}
		c := &secureConn{Conn: t, own: own}
		own.secured(c)
		serve(srv, tls.Server(carrier{t, c}, nil), h)
	}
}

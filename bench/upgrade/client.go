package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

const (
	// requestLimit bounds one request, with connecting.
	requestLimit = 5 * time.Second
	// maxBody bounds the body of an answer, in bytes.
	maxBody = 1 << 20
)

// errUnasked is the cause when bytes arrived that no request asked for.
var errUnasked = errors.New("the server sent bytes nobody asked for")

// An answer is a complete response.
type answer struct {
	status int
	pid    int // of X-Pid; 0 without one
	body   []byte
}

// A client is one HTTP/1.1 connection at a time. It sends every request once: no
// error makes it try again, which net/http's Transport would do. It is for one
// goroutine.
type client struct {
	addr string
	conn net.Conn // nil without a connection
	in   *bufio.Reader
	seen counter // below in
	used int     // answers read from conn
	last int     // process that sent the last of them
}

// counter counts the bytes that were read and keeps the error that ended it:
// http.ReadResponse hides a reset behind errors of its own.
type counter struct {
	r   io.Reader
	n   int64
	err error
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if err != nil {
		c.err = err
	}
	return n, err
}

func newClient(addr string) *client { return &client{addr: addr} }

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn, c.used, c.last = nil, 0, 0
	}
}

// connect makes sure that there is a connection, whose deadline is by.
func (c *client) connect(ctx context.Context, by time.Time) *Failure {
	if c.conn == nil {
		d := net.Dialer{Deadline: by, KeepAlive: -1}
		conn, err := d.DialContext(ctx, "tcp", c.addr)
		if err != nil {
			return connectFailure(err)
		}
		c.conn = conn
		c.seen = counter{r: conn}
		c.in = bufio.NewReader(&c.seen)
	}
	if err := c.conn.SetDeadline(by); err != nil {
		return readFailure(err, c.used > 0, false)
	}
	return nil
}

// do sends one request and reads the whole answer, which must have status 200.
// A body that is nil asks with GET, any other with POST. The connection is kept
// unless the server says otherwise, and closed after a failure. The answer is
// there beside a failure of kind 5xx.
func (c *client) do(ctx context.Context, path string, body []byte) (*answer, *Failure) {
	if f := c.connect(ctx, time.Now().Add(requestLimit)); f != nil {
		return nil, f
	}
	a, keep, f := c.exchange(path, body)
	if f != nil {
		f.LastID = c.last
	}
	if a != nil {
		c.used, c.last = c.used+1, a.pid
	}
	if f != nil || !keep {
		c.close()
	}
	return a, f
}

func (c *client) exchange(path string, body []byte) (_ *answer, keep bool, _ *Failure) {
	if c.in.Buffered() > 0 {
		return nil, false, &Failure{Kind: Wrong, Err: errUnasked}
	}
	kept, before := c.used > 0, c.seen.n
	resp, f := c.send(request(c.addr, path, body))
	if f != nil {
		return nil, false, f
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, false, readFailure(c.cause(err), kept, c.seen.n > before)
	}
	a := &answer{status: resp.StatusCode, pid: pidOf(resp.Header), body: got}
	return a, !resp.Close, judge(a)
}

// send writes a request and reads the head of the answer.
func (c *client) send(request []byte) (*http.Response, *Failure) {
	kept, before := c.used > 0, c.seen.n
	if _, err := c.conn.Write(request); err != nil {
		return nil, readFailure(err, kept, false)
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return nil, readFailure(c.cause(err), kept, c.seen.n > before)
	}
	return resp, nil
}

// cause puts the error of the connection before err, which it led to.
func (c *client) cause(err error) error {
	if c.seen.err != nil && !errors.Is(err, c.seen.err) {
		return fmt.Errorf("%w: %w", c.seen.err, err)
	}
	return err
}

// judge fails an answer that is complete but not a good one.
func judge(a *answer) *Failure {
	var f *Failure
	switch {
	case a.status >= 500:
		f = failed(Status5xx, "status %d", a.status)
	case a.status != http.StatusOK:
		f = failed(Wrong, "status %d", a.status)
	case a.pid == 0:
		f = failed(Wrong, "an answer without X-Pid")
	case len(a.body) > maxBody:
		f = failed(Wrong, "an answer of more than %d bytes", maxBody)
	default:
		return nil
	}
	f.PID = a.pid
	return f
}

func pidOf(h http.Header) int {
	pid, err := strconv.Atoi(h.Get("X-Pid"))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

func request(host, path string, body []byte) []byte {
	var b bytes.Buffer
	method := http.MethodGet
	if body != nil {
		method = http.MethodPost
	}
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, host)
	if body != nil {
		fmt.Fprintf(&b, "Content-Type: application/octet-stream\r\nContent-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// maxResponse bounds one response, header and body, in bytes.
const maxResponse = 16 << 20

// errTooLarge is returned for a response or a message above its bound.
var errTooLarge = errors.New("the answer is larger than any should be")

// errUnasked is returned when bytes arrived that no request asked for.
var errUnasked = errors.New("the server sent bytes nobody asked for")

// errEnded is returned when the load ended while connecting.
var errEnded = errors.New("the load has ended")

// A Response is a complete answer.
type Response struct {
	Status     int
	Header     http.Header
	Body       []byte
	Generation int // of the header Theseus-Generation; 0 without one

	marks []mark
}

// A mark is something that all responses of one generation must agree on.
type mark struct{ name, value string }

// Mark notes that every response of this one's generation that marks name must
// mark it with the same value. A [Step]'s Check calls it; responses that
// disagree count as mixed.
func (r *Response) Mark(name, value string) { r.marks = append(r.marks, mark{name, value}) }

// client is one HTTP/1.1 connection with its cookies. It sends each request
// once. All but endBy is for one goroutine.
type client struct {
	host    string
	dial    func(context.Context) (net.Conn, error)
	cookies map[string]string
	out     bytes.Buffer
	in      *bufio.Reader
	limit   io.LimitedReader // between source and in
	source  source
	used    int // responses read from conn

	mu   sync.Mutex
	conn net.Conn  // nil when there is none; changed only by the owner
	end  time.Time // set by endBy: no deadline is later
}

func newClient(host string, dial func(context.Context) (net.Conn, error)) *client {
	return &client{host: host, dial: dial, cookies: map[string]string{}}
}

// endBy cuts what is under way, and all that begins later, at t.
func (c *client) endBy(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = t
	if c.conn != nil {
		c.conn.SetDeadline(t)
	}
}

// cutOff reports whether err came from endBy, or from the end of a context.
func (c *client) cutOff(err error) bool {
	if errors.Is(err, errEnded) {
		return true
	}
	if !isTimeout(err) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.end.IsZero() && !time.Now().Before(c.end)
}

// deadline sets the connection's deadline, and returns it.
func (c *client) deadline(t time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.end.IsZero() && c.end.Before(t) {
		t = c.end
	}
	if c.conn != nil {
		c.conn.SetDeadline(t)
	}
	return t
}

// close closes the connection. The client may be used again.
func (c *client) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// connect makes sure that there is a connection, with the given deadline. The
// end of ctx cuts the connecting, not the connection.
func (c *client) connect(ctx context.Context, by time.Time) error {
	if c.conn != nil {
		c.deadline(by)
		return nil
	}
	dialing, cancel := context.WithDeadline(ctx, c.deadline(by))
	defer cancel()
	conn, err := c.dial(dialing)
	switch {
	case err != nil && ctx.Err() != nil:
		return errEnded
	case err != nil:
		return err
	}
	c.mu.Lock()
	c.conn = conn
	c.mu.Unlock()
	c.source = source{conn: conn}
	c.limit.R = &c.source
	c.used = 0
	if c.in == nil {
		c.in = bufio.NewReader(&c.limit)
	} else {
		c.in.Reset(&c.limit)
	}
	c.deadline(by)
	return nil
}

// do sends the step and reads the whole response. After an error the connection
// is closed; whether the server has seen the request is then unknown.
func (c *client) do(ctx context.Context, step Step, by time.Time) (*Response, error) {
	if err := c.connect(ctx, by); err != nil {
		return nil, err
	}
	used := c.used
	resp, err := c.exchange(step)
	if err != nil {
		c.close()
		if used > 0 {
			return nil, fmt.Errorf("%w (on a connection kept alive for %d requests)", err, used)
		}
		return nil, err
	}
	return resp, nil
}

func (c *client) exchange(step Step) (*Response, error) {
	if c.in.Buffered() > 0 {
		return nil, errUnasked
	}
	c.write(step)
	if _, err := c.conn.Write(c.out.Bytes()); err != nil {
		return nil, err
	}
	c.limit.N = maxResponse
	resp, err := c.head(step.Method)
	if err != nil {
		return nil, c.because(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, c.because(err)
	}
	c.used++
	if resp.Close {
		c.close()
	}
	for _, k := range resp.Cookies() {
		if k.MaxAge < 0 {
			delete(c.cookies, k.Name)
		} else {
			c.cookies[k.Name] = k.Value
		}
	}
	generation, _ := strconv.Atoi(resp.Header.Get("Theseus-Generation"))
	return &Response{Status: resp.StatusCode, Header: resp.Header, Body: body, Generation: generation}, nil
}

// head reads the status line and header of the response, past interim ones.
func (c *client) head(method string) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(c.in, &http.Request{Method: method})
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= 200 {
			return resp, nil
		}
	}
}

// source reads from a connection and remembers how that ended.
type source struct {
	conn net.Conn
	err  error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.conn.Read(p)
	if err != nil {
		s.err = err
	}
	return n, err
}

// because puts the cause before err: a response cut by the end of its
// connection reads like one that is malformed.
func (c *client) because(err error) error {
	switch {
	case c.limit.N <= 0:
		return errTooLarge
	case c.source.err != nil && !errors.Is(err, c.source.err):
		return fmt.Errorf("%w: %w", c.source.err, err)
	}
	return err
}

// write puts the request into c.out.
func (c *client) write(step Step) {
	c.out.Reset()
	fmt.Fprintf(&c.out, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: theseus-load\r\n", step.Method, step.Path, c.host)
	accept := step.Accept
	if accept == "" {
		accept = "*/*"
	}
	fmt.Fprintf(&c.out, "Accept: %s\r\n", accept)
	for i, name := range slices.Sorted(maps.Keys(c.cookies)) {
		if i == 0 {
			c.out.WriteString("Cookie: ")
		} else {
			c.out.WriteString("; ")
		}
		c.out.WriteString(name + "=" + c.cookies[name])
	}
	if len(c.cookies) > 0 {
		c.out.WriteString("\r\n")
	}
	if len(step.Body) > 0 || step.Method != "GET" && step.Method != "HEAD" {
		fmt.Fprintf(&c.out, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(step.Body))
	}
	c.out.WriteString("\r\n")
	c.out.Write(step.Body)
}

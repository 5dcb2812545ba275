package stream

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

type echoes struct{ Count int }

// echo answers each message with its number and itself.
func echo(c *Socket, s *echoes) error {
	return c.Each(func(m Message) error {
		s.Count++
		return c.Send(Message{Binary: m.Binary, Data: fmt.Appendf(nil, "%d:%s", s.Count, m.Data)})
	})
}

// twoSocketHosts are two processes that know the same kind of WebSocket.
func twoSocketHosts[S any](t testing.TB, opts SocketOptions, run func(*Socket, *S) error) (a, b *fakeHost, serveIt http.HandlerFunc) {
	opts.Log = quiet
	a, b = newHost(t), newHost(t)
	ah := NewSocketWith(a, "k", opts, run)
	NewSocketWith(b, "k", opts, run)
	return a, b, func(w http.ResponseWriter, r *http.Request) {
		var s S
		ah.Serve(w, r, s)
	}
}

func dial(t testing.TB, url string, opts *websocket.DialOptions) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, url, opts)
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadLimit(-1)
	t.Cleanup(func() { c.CloseNow() })
	return c
}

// body is message i of a conversation.
func body(i int) string {
	return fmt.Sprintf("message %d ", i) + strings.Repeat("ü", i*37%3000)
}

// converse sends messages without waiting for the answers, at most 32 ahead, and
// checks the answers until ctx ends.
func converse(ctx context.Context, t testing.TB, c *websocket.Conn, got *counter) (stopped <-chan struct{}) {
	done := make(chan struct{})
	ahead := make(chan struct{}, 32)
	last := make(chan int, 1)
	go func() {
		n := 0
		defer func() { last <- n }()
		for ctx.Err() == nil {
			ahead <- struct{}{}
			if err := c.Write(context.Background(), websocket.MessageText, []byte(body(n))); err != nil {
				t.Errorf("write message %d: %v", n, err)
				return
			}
			n++
		}
		// One more, so that the reader learns how many there are.
		_ = c.Write(context.Background(), websocket.MessageBinary, []byte("end"))
	}()
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			typ, data, err := c.Read(context.Background())
			if err != nil {
				t.Errorf("read answer %d: %v", i, err)
				return
			}
			if typ == websocket.MessageBinary {
				if n := <-last; n != i {
					t.Errorf("%d messages, %d answers", n, i)
				}
				return
			}
			if want := fmt.Sprintf("%d:%s", i+1, body(i)); string(data) != want {
				t.Errorf("answer %d is %.60q, want %.60q", i, data, want)
				return
			}
			got.add()
			<-ahead
		}
	}()
	return done
}

func TestSocketThousandMoves(t *testing.T) {
	t.Parallel()
	a, b, h := twoSocketHosts(t, SocketOptions{}, echo)
	c := dial(t, serve(t, h).URL, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := newCounter(t)
	done := converse(ctx, t, c, got)
	for range 1000 {
		got.wait(got.value() + 1)
		a.hop(b, 1)
		a, b = b, a
	}
	cancel()
	await(t, done, "end of the conversation")
	if err := c.Close(websocket.StatusNormalClosure, "bye"); err != nil {
		t.Errorf("close after the moves: %v", err)
	}
}

func TestSocketMoveRefused(t *testing.T) {
	t.Parallel()
	calls := newCounter(t)
	a, b, h := twoSocketHosts(t, SocketOptions{}, func(c *Socket, s *echoes) error {
		calls.add()
		return echo(c, s)
	})
	c := dial(t, serve(t, h).URL, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := newCounter(t)
	done := converse(ctx, t, c, got)
	for i := range 20 {
		a.reject(errors.New("no room"))
		got.wait(got.value() + 1)
		a.drain(b)
		calls.wait(3*i + 2)
		got.wait(got.value() + 40)
		if n := calls.value(); n != 3*i+2 {
			t.Errorf("run was called %d times, want %d", n, 3*i+2)
		}
		a.stay()
		a.reject(nil)
		a.hop(b, 1)
		b.hop(a, 1)
		calls.wait(3*i + 4)
	}
	cancel()
	await(t, done, "end of the conversation")
}

// rawSocket is a client that says exactly what a test wants.
type rawSocket struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func dialRaw(t testing.TB, url string, early ...[]byte) *rawSocket {
	t.Helper()
	host := strings.TrimPrefix(url, "http://")
	c, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	req := "GET / HTTP/1.1\r\nHost: " + host + "\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	s := &rawSocket{t: t, Conn: c, r: bufio.NewReader(c)}
	s.say(frames([]byte(req), frames(early...)))
	_ = c.SetReadDeadline(time.Now().Add(patience))
	res, err := http.ReadResponse(s.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Header.Get("Sec-WebSocket-Accept"); res.StatusCode != 101 || got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("status %d, accept %q", res.StatusCode, got)
	}
	return s
}

func (s *rawSocket) say(p []byte) {
	s.t.Helper()
	if _, err := s.Write(p); err != nil {
		s.t.Fatal(err)
	}
}

// hear returns the next frame.
func (s *rawSocket) hear() (op opcode, data string, err error) {
	var head [2]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		return 0, "", err
	}
	if head[0]&0xf0 != 0x80 || head[1]&0x80 != 0 {
		s.t.Errorf("frame begins with %x", head)
	}
	ext := make([]byte, extended(head[1]))
	if _, err := io.ReadFull(s.r, ext); err != nil {
		return 0, "", err
	}
	n, err := length(head[1], ext)
	if err != nil {
		return 0, "", err
	}
	buf := make([]byte, n)
	_, err = io.ReadFull(s.r, buf)
	return opcode(head[0] & 0x0f), string(buf), err
}

func (s *rawSocket) want(op opcode, data string) {
	s.t.Helper()
	if gotOp, got, err := s.hear(); err != nil || gotOp != op || got != data {
		s.t.Fatalf("frame %d %.80q, %v; want %d %.80q", gotOp, got, err, op, data)
	}
}

// wantClose checks the close frame, and that the connection ends after it.
func (s *rawSocket) wantClose(code int) {
	s.t.Helper()
	op, data, err := s.hear()
	if err != nil || op != opClose || len(data) < 2 || int(binary.BigEndian.Uint16([]byte(data))) != code {
		s.t.Fatalf("frame %d %q, %v; want close %d", op, data, err, code)
	}
	if _, _, err := s.hear(); !errors.Is(err, io.EOF) {
		s.t.Errorf("after the close frame: %v, want EOF", err)
	}
}

var talk = []struct {
	say  []byte
	op   opcode // of what is heard after the last byte; 0: nothing
	hear string
}{
	{clientFrame(false, opText, "grü"), 0, ""},
	{clientFrame(true, opPing, "there?"), opPong, "there?"},
	{clientFrame(false, opContinuation, strings.Repeat("x", 130)), 0, ""},
	{clientFrame(true, opPong, "unasked"), 0, ""},
	{clientFrame(true, opContinuation, "ße"), opText, "grü" + strings.Repeat("x", 130) + "ße"},
	{clientFrame(true, opBinary, ""), opBinary, ""},
}

// The connection moves after every single byte, and again when that byte is
// known to have been read.
func TestSocketMoveAtEveryByte(t *testing.T) {
	t.Parallel()
	for _, arrived := range []bool{false, true} {
		t.Run(fmt.Sprintf("arrived=%v", arrived), func(t *testing.T) {
			t.Parallel()
			moveAtEveryByte(t, arrived)
		})
	}
}

func moveAtEveryByte(t *testing.T, arrived bool) {
	a, b, h := twoSocketHosts(t, SocketOptions{}, echo)
	c := dialRaw(t, serve(t, h).URL)
	total, count := int64(0), 0
	for _, step := range talk {
		for i := range step.say {
			c.say(step.say[i : i+1])
			for total++; arrived && a.reads.Load()+b.reads.Load() < total; {
				time.Sleep(50 * time.Microsecond)
			}
			a.hop(b, 1)
			a, b = b, a
		}
		if step.op == opText || step.op == opBinary {
			count++
			c.want(step.op, fmt.Sprintf("%d:%s", count, step.hear))
		} else if step.op != 0 {
			c.want(step.op, step.hear)
		}
	}
	c.say(clientFrame(true, opClose, "\x03\xe8"))
	c.wantClose(1000)
}

// Frames that come with the handshake are not lost.
func TestSocketEarlyFrames(t *testing.T) {
	t.Parallel()
	a, b, h := twoSocketHosts(t, SocketOptions{}, func(c *Socket, s *echoes) error {
		if s.Count == 0 { // leave at once, with all frames unread
			s.Count = 10
			<-c.Moving()
			return ErrMoving
		}
		return echo(c, s)
	})
	srv := serve(t, h)
	c := dialRaw(t, srv.URL, clientFrame(true, opText, "one"), clientFrame(true, opText, "two"))
	a.hop(b, 1)
	c.want(opText, "11:one")
	c.want(opText, "12:two")
	c.say(clientFrame(true, opClose, ""))
	c.want(opClose, "")
}

// Clients that leave while their connection moves end it, here or there.
func TestSocketClientGoneWhileMoving(t *testing.T) {
	t.Parallel()
	a, b, h := twoSocketHosts(t, SocketOptions{}, echo)
	b.ended = a.ended
	srv := serve(t, h)
	for i := range 100 {
		c := dialRaw(t, srv.URL, clientFrame(true, opText, "x")[:3+i%5])
		if i%2 == 0 {
			go c.Close()
			a.drain(b)
		} else {
			a.drain(b)
			c.Close()
		}
		a.ended.wait(i + 1)
		a.stay()
	}
}

// What the client sends is answered although run never receives.
func TestSocketPush(t *testing.T) {
	t.Parallel()
	pushes, started, cause := make(chan string), make(chan bool), make(chan error, 1)
	a, b, h := twoSocketHosts(t, SocketOptions{}, func(c *Socket, s *echoes) error {
		started <- true
		for {
			select {
			case text := <-pushes:
				if err := c.Send(Message{Data: []byte(text)}); err != nil {
					return err
				}
			case <-c.Moving():
				return ErrMoving
			case <-c.Context().Done():
				cause <- context.Cause(c.Context())
				return nil
			}
		}
	})
	c := dialRaw(t, serve(t, h).URL)
	for i := range 6 {
		await(t, started, "run")
		pushes <- "hello"
		c.want(opText, "hello")
		c.say(clientFrame(true, opPing, "p"))
		c.want(opPong, "p")
		if i < 5 {
			a.drain(b)
			b.resumed.wait(i/2 + 1)
			a.stay()
			a, b = b, a
		}
	}
	c.say(clientFrame(true, opClose, "\x0f\xa0later"))
	c.wantClose(4000)
	var ce *CloseError
	if err := await(t, cause, "end"); !errors.As(err, &ce) || ce.Code != 4000 || ce.Reason != "later" || ce.Local {
		t.Errorf("cause = %v", err)
	}
}

package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

func TestSocketViolations(t *testing.T) {
	t.Parallel()
	result := make(chan error, 1)
	_, _, h := twoSocketHosts(t, SocketOptions{MaxMessage: 1000}, func(c *Socket, s *echoes) error {
		_, err := c.Receive()
		result <- err
		return err
	})
	srv := serve(t, h)
	list := append(violations[:len(violations):len(violations)],
		struct {
			name string
			data []byte
			code int
		}{"half a status code", clientFrame(true, opClose, "\x03"), 1002},
		struct {
			name string
			data []byte
			code int
		}{"status code that is never sent", clientFrame(true, opClose, "\x03\xed"), 1002},
		struct {
			name string
			data []byte
			code int
		}{"close reason", clientFrame(true, opClose, "\x03\xe8\xff"), 1007})
	for _, v := range list {
		c := dialRaw(t, srv.URL)
		c.say(v.data)
		c.wantClose(v.code)
		c.Close()
		var ce *CloseError
		if err := await(t, result, v.name); !errors.As(err, &ce) || !ce.Local || ce.Code != v.code {
			t.Errorf("%s: Receive = %v, want status %d", v.name, err, v.code)
		}
	}
}

func TestSocketRunEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"nil", nil, 1000},
		{"own code", &CloseError{Code: 3001, Reason: strings.Repeat("ü", 100)}, 3001},
		{"wrapped", fmt.Errorf("go away: %w", &CloseError{Code: 1008}), 1008},
		{"bad code", &CloseError{Code: 1006}, 1011},
		{"failure", errors.New("the secret is 42"), 1011},
		{"moving without reason", ErrMoving, 1011},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, _, h := twoSocketHosts(t, SocketOptions{}, func(*Socket, *echoes) error { return c.err })
			raw := dialRaw(t, serve(t, h).URL)
			op, data, err := raw.hear()
			if err != nil || op != opClose || len(data) > maxControl || strings.Contains(data, "42") {
				t.Fatalf("frame %d %q, %v", op, data, err)
			}
			if got := parseClose([]byte(data)); got.Code != c.want || got.Local {
				t.Errorf("close = %v, want status %d", got, c.want)
			}
			raw.say(frames(clientFrame(true, opText, "on its way"), clientFrame(true, opClose, data[:2])))
			if _, _, err := raw.hear(); err == nil {
				t.Error("a frame after the close frame")
			}
		})
	}
}

// A client that never answers the close frame is let go.
func TestSocketCloseUnanswered(t *testing.T) {
	t.Parallel()
	_, _, h := twoSocketHosts(t, SocketOptions{CloseTimeout: 20 * time.Millisecond}, func(*Socket, *echoes) error { return nil })
	c := dialRaw(t, serve(t, h).URL)
	c.wantClose(1000)
}

func TestSocketCallsAfterTheEnd(t *testing.T) {
	t.Parallel()
	kept := make(chan *Socket, 1)
	_, _, h := twoSocketHosts(t, SocketOptions{CloseTimeout: time.Millisecond}, func(c *Socket, s *echoes) error {
		kept <- c
		if err := c.Send(Message{Data: []byte("\xff")}); !errors.Is(err, ErrInvalid) {
			t.Errorf("Send of no UTF-8 = %v, want ErrInvalid", err)
		}
		return c.Send(Message{Data: []byte("fine")})
	})
	raw := dialRaw(t, serve(t, h).URL)
	raw.want(opText, "fine")
	raw.wantClose(1000)
	c := await(t, kept, "socket")
	<-c.Context().Done()
	if _, err := c.Receive(); !errors.Is(err, ErrEnded) {
		t.Errorf("Receive = %v, want ErrEnded", err)
	}
	if err := c.Send(Message{}); !errors.Is(err, ErrEnded) {
		t.Errorf("Send = %v, want ErrEnded", err)
	}
	if c.Moving() != nil {
		t.Error("Moving after the end")
	}
}

func TestSocketGoneWithoutAWord(t *testing.T) {
	t.Parallel()
	result := make(chan error, 1)
	_, _, h := twoSocketHosts(t, SocketOptions{}, func(c *Socket, s *echoes) error {
		_, err := c.Receive()
		result <- err
		return err
	})
	c := dialRaw(t, serve(t, h).URL)
	c.say(clientFrame(true, opText, "abc")[:7])
	c.Close()
	if err := await(t, result, "end"); !errors.Is(err, ErrGone) {
		t.Errorf("Receive = %v, want ErrGone", err)
	}
}

func TestSocketSlowClient(t *testing.T) {
	t.Parallel()
	result := make(chan error, 1)
	_, _, h := twoSocketHosts(t, SocketOptions{WriteTimeout: 50 * time.Millisecond}, func(c *Socket, s *echoes) error {
		big := make([]byte, 256<<10)
		for {
			if err := c.Send(Message{Binary: true, Data: big}); err != nil {
				result <- err
				return err
			}
		}
	})
	dialRaw(t, serve(t, h).URL)
	if err := await(t, result, "write timeout"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Send = %v, want a time-out", err)
	}
}

// A deadline of the process's own tells the client that it goes away.
func TestSocketContextEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	_, _, h := twoSocketHosts(t, SocketOptions{}, echo)
	srv := serve(t, func(w http.ResponseWriter, r *http.Request) { h(w, r.WithContext(ctx)) })
	c := dialRaw(t, srv.URL)
	c.say(clientFrame(true, opText, "x"))
	c.want(opText, "1:x")
	cancel(errors.New("out of time"))
	c.wantClose(1001)
}

func TestSocketUnusableState(t *testing.T) {
	t.Parallel()
	a, b, h := twoSocketHosts(t, SocketOptions{}, echo)
	NewSocketWith(b, "k", SocketOptions{Log: quiet}, func(*Socket, *struct{ Count string }) error {
		t.Error("run was called")
		return nil
	})
	c := dialRaw(t, serve(t, h).URL)
	a.hop(b, 1)
	op, data, err := c.hear()
	if got := parseClose([]byte(data)); err != nil || op != opClose || got.Code != 1012 {
		t.Errorf("frame %d, %v, %v; want close 1012", op, got, err)
	}
}

func TestEventsUnusableState(t *testing.T) {
	t.Parallel()
	a, b, h := twoHosts(t, EventOptions{}, tick(time.Millisecond))
	NewEventsWith(b, "k", EventOptions{Log: quiet}, func(*Events, *struct{ Next string }) error {
		t.Error("run was called")
		return nil
	})
	l := listen(t, serve(t, h).URL)
	a.hop(b, 1)
	await(t, l.done, "end of the stream")
	if l.err == nil || errors.Is(l.err, io.EOF) && !errors.Is(l.err, io.ErrUnexpectedEOF) {
		t.Errorf("the stream ended with %v, as if it were complete", l.err)
	}
}

func TestPanicInSuccessor(t *testing.T) {
	t.Parallel()
	a, b, h := twoSocketHosts(t, SocketOptions{}, echo)
	NewSocketWith(b, "k", SocketOptions{Log: quiet}, func(*Socket, *echoes) error { panic("socket") })
	c := dialRaw(t, serve(t, h).URL)
	a.hop(b, 1)
	if _, _, err := c.hear(); err == nil {
		t.Error("the connection goes on")
	}
	a, b, h = twoHosts(t, EventOptions{}, tick(time.Millisecond))
	NewEventsWith(b, "k", EventOptions{Log: quiet}, func(*Events, *ticks) error { panic("events") })
	l := listen(t, serve(t, h).URL)
	a.hop(b, 1)
	await(t, l.done, "end of the stream")
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// messageEvery is the pause between two messages on a WebSocket.
const messageEvery = 20 * time.Millisecond

// socket keeps a WebSocket open and opens another when it breaks.
func (t *Traffic) socket(ctx context.Context) {
	tr := &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: requestLimit}).DialContext}
	for ctx.Err() == nil {
		begin := time.Now()
		c, pid, f := dialSocket(ctx, t.addr, tr)
		if ctx.Err() != nil {
			if c != nil {
				_ = c.CloseNow()
			}
			return
		}
		t.result("ws", begin, f, false)
		if f == nil {
			t.rec.opened(socket)
			f = echoes(ctx, c)
			_ = c.CloseNow()
			if f != nil && ctx.Err() == nil {
				f.LastID = pid // or one that it has moved to since
				t.rec.broke(socket, f)
			}
		}
		if f != nil {
			sleep(ctx, retryAfter)
		}
	}
}

// dialSocket opens a WebSocket and returns the process that accepted it.
func dialSocket(ctx context.Context, addr string, tr *http.Transport) (*websocket.Conn, int, *Failure) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	c, resp, err := websocket.Dial(ctx, "ws://"+addr+"/ws", &websocket.DialOptions{HTTPClient: &http.Client{Transport: tr}})
	var op *net.OpError
	switch {
	case err == nil:
		return c, pidOf(resp.Header), nil
	case resp != nil:
		f := failed(Wrong, "status %d in place of a WebSocket", resp.StatusCode)
		if resp.StatusCode >= 500 {
			f.Kind = Status5xx
		}
		f.PID = pidOf(resp.Header)
		return nil, 0, f
	case errors.As(err, &op) && op.Op == "dial":
		return nil, 0, connectFailure(err)
	}
	return nil, 0, readFailure(err, false, false)
}

// echoes sends a message at a time, each of which must come back, in order, until
// ctx ends or the socket breaks.
func echoes(ctx context.Context, c *websocket.Conn) *Failure {
	tick := time.NewTicker(messageEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		sent := fmt.Sprintf("message %d", n)
		got, err := exchange(ctx, c, sent)
		if err != nil {
			return socketFailure(ctx, err)
		}
		if got != sent {
			return failed(Wrong, "%.40q came back in place of %q", got, sent)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func exchange(ctx context.Context, c *websocket.Conn, message string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	if err := c.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
		return "", err
	}
	_, got, err := c.Read(ctx)
	return string(got), err
}

func socketFailure(ctx context.Context, err error) *Failure {
	switch {
	case ctx.Err() != nil:
		return nil
	case websocket.CloseStatus(err) != -1:
		return &Failure{Kind: Ended, Err: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Failure{Kind: Silent, Err: err}
	}
	return readFailure(err, false, false)
}

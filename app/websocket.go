package app

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// maxMessage bounds one message from a WebSocket client, in bytes.
const maxMessage = 1 << 20

// serveWebSocket keeps a WebSocket connection (RFC 6455). Each message of the
// script is sent as one text message: its data as JSON, or {event, data} when
// it names an event.
func (x *exchange) serveWebSocket(u *unit, params []string) error {
	if x.env.test {
		return &httpError{status: http.StatusNotImplemented, message: "a websocket route cannot be tested with a request"}
	}
	s, err := x.openStream(u, params)
	if s == nil || err != nil {
		return err
	}
	defer s.close()
	rc := http.NewResponseController(x.w.ResponseWriter)
	_ = rc.SetReadDeadline(time.Time{})
	_ = rc.SetWriteDeadline(time.Time{})
	conn, err := websocket.Accept(x.w, x.r, nil)
	if err != nil {
		return nil // Accept has answered
	}
	x.begun()
	s.follow()
	conn.SetReadLimit(maxMessage)
	ctx, cancel := context.WithCancel(context.WithoutCancel(x.r.Context()))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer conn.CloseNow()
	defer cancel()

	messages := make(chan string)
	wg.Go(func() {
		defer cancel()
		for {
			kind, data, err := conn.Read(ctx)
			if err != nil {
				return
			}
			if kind != websocket.MessageText {
				conn.Close(websocket.StatusUnsupportedData, "text messages only")
				return
			}
			select {
			case messages <- string(data):
			case <-ctx.Done():
				return
			}
		}
	})

	// The answer to a ping comes through the reader, which may itself be waiting
	// for this goroutine: so pings wait elsewhere, one at a time.
	pinging := make(chan struct{}, 1)
	ping := func() {
		select {
		case pinging <- struct{}{}:
		default:
			return
		}
		wg.Go(func() {
			defer func() { <-pinging }()
			limited, done := context.WithTimeout(ctx, writeGrace)
			defer done()
			if conn.Ping(limited) != nil {
				cancel()
			}
		})
	}

	clock := s.clock()
	defer clock.stop()
	pending, alive := s.first, true
	for {
		for _, m := range pending {
			if m.comment {
				ping()
				continue
			}
			if err := sendWebSocket(ctx, conn, m); err != nil {
				return nil
			}
		}
		if !alive {
			code := websocket.StatusNormalClosure
			if s.why != "" {
				code = websocket.StatusGoingAway
			}
			return ignoreWrite(conn.Close(code, s.why))
		}
		pending, alive = s.next(ctx, clock, messages)
		if ctx.Err() != nil {
			return nil
		}
	}
}

func sendWebSocket(ctx context.Context, conn *websocket.Conn, m outMessage) error {
	ctx, cancel := context.WithTimeout(ctx, writeGrace)
	defer cancel()
	text, err := m.Data.Text()
	if err == nil && m.Event != "" {
		text, err = json.Marshal(map[string]any{"event": m.Event, "data": json.RawMessage(text)})
	}
	if err != nil {
		return err
	}
	return conn.Write(ctx, websocket.MessageText, text)
}

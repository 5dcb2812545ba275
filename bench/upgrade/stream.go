package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The kinds of streams, as the report names them.
const (
	finite  = "finite"  // server-sent events, of 1.5 s: it could finish
	endless = "endless" // server-sent events: it could move
	socket  = "socket"  // WebSocket: it could move
)

// silence is how long a stream may say nothing.
const silence = 5 * time.Second

// stream opens event streams of n events, or without end, one after the other.
func (t *Traffic) stream(ctx context.Context, kind string, n int) {
	for ctx.Err() == nil {
		begin := time.Now()
		s, f := openEvents(ctx, t.addr, n)
		if ctx.Err() != nil {
			return
		}
		t.result("sse", begin, f, false)
		if f == nil {
			t.rec.opened(kind)
			f = s.follow(n)
			s.close()
			if f != nil && ctx.Err() == nil {
				f.LastID = s.pid
				t.rec.broke(kind, f)
			}
		}
		if f != nil {
			sleep(ctx, retryAfter)
		}
	}
}

// events is one open stream of server-sent events.
type events struct {
	c     *client
	lines *bufio.Reader
	free  func() bool
	pid   int // process that sent the last event
}

// openEvents asks for a stream. The end of ctx closes it.
func openEvents(ctx context.Context, addr string, n int) (*events, *Failure) {
	c := newClient(addr)
	if f := c.connect(ctx, time.Now().Add(requestLimit)); f != nil {
		return nil, f
	}
	conn := c.conn
	s := &events{c: c, free: context.AfterFunc(ctx, func() { _ = conn.Close() })}
	resp, f := c.send(request(addr, fmt.Sprintf("/stream?n=%d", n), nil))
	if f == nil && resp.StatusCode != http.StatusOK {
		f = judge(&answer{status: resp.StatusCode, pid: pidOf(resp.Header)})
	}
	if f != nil {
		s.close()
		return nil, f
	}
	s.lines, s.pid = bufio.NewReader(resp.Body), pidOf(resp.Header)
	return s, nil
}

func (s *events) close() {
	s.free()
	s.c.close()
}

// follow reads events numbered from 0 until there are n of them and the stream
// ends; without a number it never should. Nil says that all was well.
func (s *events) follow(n int) *Failure {
	for want := 0; ; want++ {
		got, err := s.next()
		switch {
		case errors.Is(err, io.EOF): // as the framing of the body has it
			if n > 0 && want == n {
				return nil
			}
			return failed(Ended, "the stream ended after %d events", want)
		case timedOut(err):
			return failed(Silent, "after %d events: %w", want, err)
		case err != nil:
			return readFailure(s.c.cause(err), false, false)
		case got < want:
			return failed(Doubled, "event %d came again, in place of %d", got, want)
		case got > want:
			return failed(Lost, "event %d came in place of %d", got, want)
		}
	}
}

// next returns the number of the next event: "data: PID NUMBER" and an empty line.
func (s *events) next() (int, error) {
	if err := s.c.conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
		return 0, err
	}
	for {
		line, err := s.lines.ReadSlice('\n')
		if err != nil {
			if err == io.EOF && len(line) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
		switch pid, n, ok, err := parseEvent(string(line)); {
		case err != nil:
			return 0, err
		case ok:
			s.pid = pid
			return n, nil
		}
	}
}

// parseEvent reads a line of a stream. It is not ok if the line says nothing: the
// end of an event, or a comment (HTML Standard, 9.2.6).
func parseEvent(line string) (pid, n int, ok bool, err error) {
	line = strings.TrimRight(line, "\r\n")
	if line == "" || line[0] == ':' {
		return 0, 0, false, nil
	}
	data, isData := strings.CutPrefix(line, "data: ")
	sender, number, _ := strings.Cut(data, " ")
	pid, err = strconv.Atoi(sender)
	if err == nil {
		n, err = strconv.Atoi(number)
	}
	if !isData || err != nil || pid <= 0 || n < 0 {
		return 0, 0, false, fmt.Errorf("%.40q is no event", line)
	}
	return pid, n, true, nil
}

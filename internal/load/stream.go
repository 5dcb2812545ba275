package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxEvent bounds one message of a stream, in bytes.
const maxEvent = 1 << 20

// retryPause is how long a stream that broke waits before it opens again.
const retryPause = 100 * time.Millisecond

// stream holds one event stream open until ctx ends, and again after it broke.
func (g *Generator) stream(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for opened := false; ctx.Err() == nil; {
		ok, err := g.listen(ctx, opened)
		opened = opened || ok
		if ctx.Err() != nil {
			return
		}
		g.tally.mu.Lock()
		if ok {
			g.tally.r.StreamsOpen--
			g.tally.r.StreamsBroken++
		} else {
			g.tally.r.StreamsRefused++
		}
		g.tally.sample(fmt.Sprintf("stream %s: %s: %v", g.opt.StreamPath, classify(err), err))
		g.tally.mu.Unlock()
		pause.Reset(retryPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
	}
}

// listen opens the stream and reads it until it ends. It reports whether the
// stream was open, and why it is no more.
func (g *Generator) listen(ctx context.Context, again bool) (opened bool, err error) {
	c := newClient(g.host, g.opt.dial)
	defer c.close()
	defer context.AfterFunc(ctx, func() { c.endBy(time.Now()) })()
	if err := c.connect(ctx, time.Now().Add(g.opt.Timeout)); err != nil {
		return false, err
	}
	c.write(Step{Method: "GET", Path: g.opt.StreamPath, Accept: "text/event-stream"})
	if _, err := c.conn.Write(c.out.Bytes()); err != nil {
		return false, err
	}
	c.limit.N = maxResponse
	resp, err := c.head("GET")
	if err != nil {
		return false, c.because(err)
	}
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || !strings.HasPrefix(kind, "text/event-stream") {
		return false, fmt.Errorf("status %d with content type %q, want 200 with text/event-stream", resp.StatusCode, kind)
	}
	g.tally.change(func(r *Report) {
		r.StreamsOpen++
		if again {
			r.Reconnects++
		}
	})
	return true, g.read(c, bufio.NewReader(resp.Body))
}

// read takes messages from an open stream until it ends.
func (g *Generator) read(c *client, body *bufio.Reader) error {
	var last int64
	for {
		by := time.Time{}
		if g.opt.Profile.Silence > 0 {
			by = time.Now().Add(g.opt.Profile.Silence)
		}
		c.quiet(by)
		c.limit.N = maxEvent
		id, some, err := readEvent(body)
		if err != nil {
			if isTimeout(err) {
				return fmt.Errorf("silent for %v: %w", g.opt.Profile.Silence, err)
			}
			return c.because(err)
		}
		if !some {
			continue
		}
		n, err := strconv.ParseInt(id, 10, 64)
		numbered := err == nil
		g.tally.mu.Lock()
		g.tally.r.StreamEvents++
		switch {
		case !numbered || last == 0:
		case n <= last:
			g.tally.r.StreamDoubled++
			g.tally.sample(fmt.Sprintf("stream %s: message %d after %d", g.opt.StreamPath, n, last))
		case n > last+1:
			g.tally.r.StreamLost += n - last - 1
			g.tally.sample(fmt.Sprintf("stream %s: message %d after %d", g.opt.StreamPath, n, last))
		}
		g.tally.mu.Unlock()
		if numbered {
			last = max(last, n)
		}
	}
}

// readEvent reads up to the empty line that ends a message. some is false for
// what carries no data, such as a comment that keeps the connection alive.
func readEvent(r *bufio.Reader) (id string, some bool, err error) {
	for size := 0; ; {
		line, err := readLine(r, &size)
		switch {
		case err != nil:
			return "", false, err
		case len(line) == 0:
			return id, some, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch string(name) {
		case "id":
			id = string(bytes.TrimPrefix(value, []byte(" ")))
		case "data":
			some = true
		}
	}
}

// readLine returns a line without its end, cut at the size of r's buffer, and
// adds its whole length to size. The line is valid until the next read.
func readLine(r *bufio.Reader, size *int) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	*size += len(line)
	if errors.Is(err, bufio.ErrBufferFull) {
		line = bytes.Clone(line)
	}
	for errors.Is(err, bufio.ErrBufferFull) && *size <= maxEvent {
		var more []byte
		more, err = r.ReadSlice('\n')
		*size += len(more)
	}
	switch {
	case *size > maxEvent:
		return nil, errTooLarge
	case err != nil:
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// quiet sets how long the stream may be silent from now; a zero time lifts the
// bound. An end that was set stays.
func (c *client) quiet(by time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end.IsZero() && c.conn != nil {
		c.conn.SetReadDeadline(by)
	}
}

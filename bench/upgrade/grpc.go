package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// grpcContentType is that of gRPC over HTTP/2.
const grpcContentType = "application/grpc"

// grpcClient makes gRPC calls on one HTTP/2 connection (the gRPC over HTTP2
// specification in the repository of grpc, doc/PROTOCOL-HTTP2.md). The service is
// that of examples/upgrade-grpc: Say takes a text and answers with the process ID, a
// space and the text; Ticks takes a number and answers with so many texts of the
// process ID, a space and their number from 0. Like all clients here it never sends
// a call again, not even one of which the server's GOAWAY says that it was not seen.
type grpcClient struct {
	*http2Client
	service string // "/package.Service"
}

func newGRPC(addr, service string) *grpcClient { return &grpcClient{newHTTP2(addr), service} }

func (g *grpcClient) call(n int) *Failure {
	_, f := g.unary(n)
	return f
}

// unary says something and returns the process that answered.
func (g *grpcClient) unary(n int) (pid int, _ *Failure) {
	said := payload(n)
	a, trailer, f := g.post(g.service+"/Say", grpcContentType, grpcText(said))
	if f != nil {
		return 0, f
	}
	if f = judgeGRPC(a.status, trailer); f == nil {
		var text string
		if pid, text, f = hear(bytes.NewReader(a.body)); f == nil && text != string(said) {
			f = failed(Wrong, "the answer is %.40q, not what was said", text)
		}
	}
	if f != nil {
		f.PID, f.LastID = pid, g.last
		return pid, f
	}
	g.last = pid
	return pid, nil
}

// ticks reads a stream of n ticks. Began reports whether it was opened. The end of
// ctx ends it.
func (g *grpcClient) ticks(ctx context.Context, n int) (began bool, _ *Failure) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(silence, func() { cancel(context.DeadlineExceeded) })
	defer quiet.Stop()
	resp, f := g.open(ctx, g.service+"/Ticks", grpcContentType, grpcNumber(n))
	if f != nil {
		return false, f
	}
	defer resp.Body.Close()
	last := g.last
	for want := 0; ; want++ {
		pid, text, f := hear(resp.Body)
		switch {
		case f != nil && errors.Is(f.Err, io.EOF):
			if f = judgeGRPC(resp.StatusCode, trailerOf(resp)); f == nil && want != n {
				f = failed(Ended, "the stream ended after %d of %d ticks", want, n)
			}
		case f == nil && text != strconv.Itoa(want):
			f = failed(Lost, "tick %.40q came in place of %d", text, want)
		case f == nil:
			g.last = pid
			quiet.Reset(silence)
			continue
		case context.Cause(ctx) == context.DeadlineExceeded:
			f = failed(Silent, "after %d ticks: %w", want, f.Err)
		case f.Kind == "":
			f = g.failure(f.Err, true)
		}
		if f != nil {
			f.LastID = last
		}
		return true, f
	}
}

// hear reads one message: a process ID, a space and a text. The kind of a failure of
// reading is empty; its error is io.EOF where no message begins.
func hear(r io.Reader) (pid int, text string, _ *Failure) {
	message, err := readGRPC(r)
	if err != nil {
		return 0, "", &Failure{Err: err}
	}
	field, value, ok := bytes.Cut(message, []byte{1<<3 | 2})
	size, n := binary.Uvarint(value)
	if !ok || len(field) > 0 || n <= 0 || size != uint64(len(value)-n) {
		return 0, "", failed(Wrong, "%.40q is no message with a text", message)
	}
	sender, text, ok := strings.Cut(string(value[n:]), " ")
	if pid, err = strconv.Atoi(sender); err != nil || !ok || pid <= 0 {
		return 0, "", failed(Wrong, "%.40q does not begin with a process", value[n:])
	}
	return pid, text, nil
}

// readGRPC reads one message that is not compressed.
func readGRPC(r io.Reader) ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if head[0] != 0 || size > maxBody {
		return nil, fmt.Errorf("% x begins no message", head)
	}
	message := make([]byte, size)
	if _, err := io.ReadFull(r, message); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return message, nil
}

// judgeGRPC looks at the status of a call that has ended.
func judgeGRPC(status int, trailer http.Header) *Failure {
	switch code := trailer.Get("Grpc-Status"); {
	case status >= 500:
		return failed(Status5xx, "status %d", status)
	case status != http.StatusOK:
		return failed(Wrong, "status %d", status)
	case code == "14": // UNAVAILABLE is what a server says when it cannot serve now
		return failed(Status5xx, "grpc-status 14: %s", trailer.Get("Grpc-Message"))
	case code != "0":
		return failed(Wrong, "grpc-status %q: %s", code, trailer.Get("Grpc-Message"))
	}
	return nil
}

// grpcText and grpcNumber are a message of field 1 only, in its frame: a flag that
// says that it is not compressed, the length in four bytes, and the message.
func grpcText(text []byte) []byte {
	return grpcFrame(append(binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(text))), text...))
}

func grpcNumber(n int) []byte { return grpcFrame(binary.AppendUvarint([]byte{1 << 3}, uint64(n))) }

func grpcFrame(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// ticks makes streaming calls, one after the other.
func (t *Traffic) ticks(ctx context.Context, service string) {
	g := newGRPC(t.addr, service)
	defer g.close()
	for ctx.Err() == nil {
		begin := time.Now()
		began, f := g.ticks(ctx, finiteTicks)
		if ctx.Err() != nil {
			return
		}
		switch {
		case began:
			t.rec.opened(finite)
			if f != nil {
				t.rec.broke(finite, f)
			}
			t.result("grpc-stream", begin, nil, false)
		default:
			t.result("grpc-stream", begin, f, false)
		}
		if f != nil {
			sleep(ctx, retryAfter)
		}
	}
}

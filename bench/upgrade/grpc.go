package main

import (
	"bytes"
	"encoding/binary"
	"net/http"
)

// grpcContentType is that of gRPC over HTTP/2.
const grpcContentType = "application/grpc"

// grpcClient makes unary gRPC calls on one HTTP/2 connection (the gRPC over HTTP2
// specification in the repository of grpc, doc/PROTOCOL-HTTP2.md). The method
// must answer with the message that it was sent, whose field 1 is bytes or a
// string. Like all clients here it never sends a call again.
type grpcClient struct {
	*http2Client
	method string // "/package.Service/Method"
}

func newGRPC(addr, method string) *grpcClient { return &grpcClient{newHTTP2(addr), method} }

func (g *grpcClient) call(n int) *Failure {
	_, f := g.unary(n)
	return f
}

// unary makes one call and returns the process that answered.
func (g *grpcClient) unary(n int) (pid int, _ *Failure) {
	body := grpcFrame(payload(n))
	a, trailer, f := g.post(g.method, grpcContentType, body)
	if f != nil {
		return 0, f
	}
	if f := judgeGRPC(a, trailer, body); f != nil {
		f.PID, f.LastID = a.pid, g.last
		return a.pid, f
	}
	g.last = a.pid
	return a.pid, nil
}

func judgeGRPC(a *answer, trailer http.Header, want []byte) *Failure {
	if f := judge(a); f != nil {
		return f
	}
	switch status := trailer.Get("Grpc-Status"); {
	case status == "14": // UNAVAILABLE is what a server says when it cannot serve now
		return failed(Status5xx, "grpc-status 14: %s", trailer.Get("Grpc-Message"))
	case status != "0":
		return failed(Wrong, "grpc-status %q: %s", status, trailer.Get("Grpc-Message"))
	case !bytes.Equal(a.body, want):
		return failed(Wrong, "the answer is %.40q, not what was sent", a.body)
	}
	return nil
}

// grpcFrame is a message that is not compressed, in its frame: a flag, the length
// in four bytes, and the message, here of field 1 only.
func grpcFrame(value []byte) []byte {
	message := append(binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(value))), value...)
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return append(frame, message...)
}

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// A caller sends one request that must be echoed. It never sends it again.
type caller interface {
	call(n int) *Failure
	close()
}

// paced calls at a pace.
func (t *Traffic) paced(ctx context.Context, p *pace, name string, c caller) {
	defer c.close()
	for n := 0; ; n++ {
		begin, ok := p.next(ctx)
		if !ok {
			return
		}
		t.result(name, begin, c.call(n), true)
	}
}

// http2Client has one HTTP/2 connection, begun with prior knowledge (RFC 9113,
// 3.3). Its requests have a body that cannot be had twice, so that the transport
// cannot send one again, not even one that the server's GOAWAY says it has not
// seen: such a request is a failure of kind "goaway".
type http2Client struct {
	url       string
	transport *http.Transport
	last      int // process that sent the last answer on this connection; 0 without one
}

func newHTTP2(addr string) *http2Client {
	tr := &http.Transport{Protocols: new(http.Protocols), DialContext: (&net.Dialer{Timeout: requestLimit}).DialContext}
	tr.Protocols.SetUnencryptedHTTP2(true)
	return &http2Client{url: "http://" + addr, transport: tr}
}

func (h *http2Client) close() { h.transport.CloseIdleConnections() }

func (h *http2Client) call(n int) *Failure {
	body := payload(n)
	a, _, f := h.post("/", "application/octet-stream", body)
	if f == nil {
		f = judge(a)
	}
	if f == nil && !bytes.Equal(a.body, body) {
		f = wrongEcho(a, h.last)
	}
	if a != nil {
		h.last = a.pid
	}
	return f
}

// once is a body that has no second copy.
type once struct{ io.Reader }

// open sends one request and reads the head of the answer.
func (h *http2Client) open(ctx context.Context, path, contentType string, body []byte) (*http.Response, *Failure) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url+path, once{bytes.NewReader(body)})
	if err != nil {
		return nil, &Failure{Kind: Wrong, Err: err}
	}
	req.ContentLength = int64(len(body))
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Te", "trailers")
	resp, err := h.transport.RoundTrip(req)
	if err != nil {
		return nil, h.failure(err, false)
	}
	return resp, nil
}

// post sends one request and reads the whole answer and its trailer.
func (h *http2Client) post(path, contentType string, body []byte) (*answer, http.Header, *Failure) {
	ctx, cancel := context.WithTimeout(context.Background(), requestLimit)
	defer cancel()
	resp, f := h.open(ctx, path, contentType, body)
	if f != nil {
		return nil, nil, f
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, nil, h.failure(err, true)
	}
	return &answer{status: resp.StatusCode, pid: pidOf(resp.Header), body: got}, trailerOf(resp), nil
}

// trailerOf is the trailer of an answer that was read. An answer without a body has
// its fields in the header (what gRPC calls Trailers-Only).
func trailerOf(resp *http.Response) http.Header {
	if len(resp.Trailer) == 0 {
		return resp.Header
	}
	return resp.Trailer
}

// failure sorts an error of the transport, which tells HTTP/2's own only by their
// text. What follows is taken to be on another connection.
func (h *http2Client) failure(err error, began bool) *Failure {
	var f *Failure
	var op *net.OpError
	text := err.Error()
	switch {
	case errors.As(err, &op) && op.Op == "dial":
		h.last = 0 // there is no connection
		f = connectFailure(err)
	case strings.Contains(text, "GOAWAY"), strings.Contains(text, "REFUSED_STREAM"),
		strings.Contains(text, "cannot rewind body"): // the transport itself found the connection to be leaving
		f = &Failure{Kind: Refusal, Err: err}
	case strings.Contains(text, "client connection lost"), strings.Contains(text, "could not be established"),
		strings.Contains(text, "INTERNAL_ERROR"), strings.Contains(text, "CANCEL"):
		f = &Failure{Kind: readKind(io.EOF, h.last > 0, began), Err: err}
	default:
		f = readFailure(err, h.last > 0, began)
	}
	f.LastID, h.last = h.last, 0
	return f
}

// speaksHTTP2 tells why a server does not, or nil.
func speaksHTTP2(addr string) error {
	h := newHTTP2(addr)
	defer h.close()
	h.transport.ResponseHeaderTimeout = time.Second
	if f := h.call(0); f != nil {
		return f
	}
	return nil
}

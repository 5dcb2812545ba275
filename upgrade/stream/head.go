package stream

import (
	"bytes"
	"net/http"
	"time"
)

// eventHeaders adds what every event stream says.
func eventHeaders(h http.Header) {
	h.Set("Content-Type", "text/event-stream")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	h.Del("Content-Length")
}

// eventHead is the head of an event stream's response.
func eventHead(h http.Header, chunked bool) []byte {
	h = h.Clone()
	eventHeaders(h)
	version := "HTTP/1.0"
	h.Del("Transfer-Encoding")
	if chunked {
		version = "HTTP/1.1"
		h.Set("Transfer-Encoding", "chunked")
	}
	h.Set("Connection", "close") // the server has lost sight of it
	h.Del("Upgrade")
	return responseHead(version+" 200 OK", h)
}

// responseHead writes a status line and headers. Names and values that would
// break the head are left out or cleaned by [http.Header.Write].
func responseHead(status string, h http.Header) []byte {
	h.Del("Trailer")
	if _, ok := h["Date"]; !ok {
		h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	var b bytes.Buffer
	b.WriteString(status + "\r\n")
	_ = h.Write(&b) // a bytes.Buffer takes everything
	b.WriteString("\r\n")
	return b.Bytes()
}

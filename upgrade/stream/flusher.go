package stream

import (
	"errors"
	"net/http"
	"time"
)

// flusher writes a response body through the server.
type flusher struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	timeout time.Duration
}

// write implements sink. Without p it sends the headers.
func (f *flusher) write(p []byte) error {
	err := f.rc.SetWriteDeadline(deadline(f.timeout))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if len(p) > 0 {
		if _, err := f.w.Write(p); err != nil {
			return writeFailed(err, f.timeout)
		}
	}
	if err := f.rc.Flush(); err != nil {
		return writeFailed(err, f.timeout)
	}
	// The server's own deadline, if any, counts from the request: it is not for
	// streams and is not put back.
	err = f.rc.SetWriteDeadline(time.Time{})
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

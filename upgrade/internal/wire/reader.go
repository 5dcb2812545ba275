package wire

import (
	"errors"
	"fmt"
	"io"
)

// A source is a stream of bytes with descriptors between them.
type source interface {
	// read reads 1 to len(p) bytes. It returns the descriptors that came along
	// with an error too; the caller owns them. The end of the stream is io.EOF.
	read(p []byte) (n int, fds []int, err error)

	// release closes descriptors that read returned.
	release(fds []int)
}

// A frameReader reads messages from a source. It never reads past the end of a
// frame: the kernel hands over descriptors with the first byte that they were
// sent with, so none of the next frame can arrive with this one, and what
// arrives belongs to this one.
type frameReader struct {
	src source
	fds []int // arrived with the frame being read; at most MaxFiles
}

// next returns the next message of a known kind. The caller owns fds. The error
// is io.EOF only between two frames.
func (r *frameReader) next() (m Message, fds []int, err error) {
	for m == nil && err == nil {
		m, fds, err = r.frame()
	}
	return m, fds, err
}

// frame reads one frame. The message is nil if the kind is unknown.
func (r *frameReader) frame() (Message, []int, error) {
	defer r.drop()
	var b [headerSize]byte
	if err := r.fill(b[:]); err != nil {
		return nil, nil, err
	}
	h, err := parseHeader(b[:])
	if err != nil {
		return nil, nil, err
	}
	payload := make([]byte, h.length)
	if err := r.fill(payload); err != nil {
		return nil, nil, unexpected(err)
	}
	if len(r.fds) < h.files {
		return nil, nil, fmt.Errorf("%w: %s announces %d descriptors and has %d", ErrMalformed, h.kind, h.files, len(r.fds))
	}
	if !h.kind.known() {
		return nil, nil, nil
	}
	m, err := decode(h.kind, payload, h.files)
	if err != nil {
		return nil, nil, err
	}
	return m, r.take(h.files), nil
}

// fill reads len(p) bytes. The error is io.EOF only if nothing at all was read.
func (r *frameReader) fill(p []byte) error {
	for read := 0; read < len(p); {
		n, fds, err := r.src.read(p[read:])
		r.keep(fds)
		read += n
		if err != nil {
			if read > 0 {
				return unexpected(err)
			}
			return err
		}
	}
	return nil
}

// keep takes over descriptors, up to what a frame may have.
func (r *frameReader) keep(fds []int) {
	n := min(len(fds), MaxFiles-len(r.fds))
	r.fds = append(r.fds, fds[:n]...)
	r.src.release(fds[n:])
}

func (r *frameReader) take(n int) []int {
	taken := r.fds[:n:n]
	r.fds = r.fds[n:]
	return taken
}

// drop closes what the frame did not announce, or everything after an error.
func (r *frameReader) drop() {
	r.src.release(r.fds)
	r.fds = nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

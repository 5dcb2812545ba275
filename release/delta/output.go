package delta

import (
	"crypto/sha256"
	"errors"
	"io"
)

const (
	blockSize = 256 << 10
	blocks    = 4
)

// output hashes and writes blocks while the next ones are made. Its goroutine
// ends with close.
type output struct {
	free, full chan []byte
	done       chan struct{}
	sum        digest
	err        error // of the writer; read it after done
}

var errStopped = errors.New("output stopped")

func newOutput(w io.Writer, size int64) *output {
	o := &output{free: make(chan []byte, blocks), full: make(chan []byte, blocks), done: make(chan struct{})}
	for range blocks {
		o.free <- make([]byte, 0, min(blockSize, max(size, 1)))
	}
	go o.write(w)
	return o
}

func (o *output) write(w io.Writer) {
	defer close(o.done)
	h := sha256.New()
	for b := range o.full {
		h.Write(b)
		if _, o.err = w.Write(b); o.err != nil {
			return
		}
		o.free <- b
	}
	h.Sum(o.sum[:0])
}

// next returns an empty block, or errStopped when the writer has failed.
func (o *output) next() ([]byte, error) {
	select {
	case b := <-o.free:
		return b, nil
	case <-o.done:
		return nil, errStopped
	}
}

// put hands a block over. There is room for every block there is.
func (o *output) put(b []byte) { o.full <- b }

// close waits until all is written, and returns the digest of it.
func (o *output) close() (digest, error) {
	close(o.full)
	<-o.done
	return o.sum, o.err
}

package delta

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// The streams of a patch, in their order.
const (
	planStream  = iota // what is known of the base
	moveStream         // the address map
	addStream          // of each step how many bytes come from the source,
	freshStream        // how many are new,
	seekStream         // and how far from the end of the last
	gapStream          // bytes predicted rightly before each correction
	valueStream        // what to add to the wrong ones
	streams
)

const (
	// maxControl bounds the compressed streams, which are held in memory.
	maxControl = 6 << 20
	// How far back compressed data may refer, in bytes.
	controlWindow = 1 << 20
	literalWindow = 4 << 20
)

// packStreams writes every stream's length and its compressed length, and
// then all of their bytes. What does not get smaller is stored as it is: its
// two lengths are equal.
func packStreams(ss *[streams][]byte) ([]byte, error) {
	enc, err := newEncoder(nil, controlWindow)
	if err != nil {
		return nil, err
	}
	defer enc.Close()
	var head, body []byte
	for _, s := range ss {
		z := s
		if c := enc.EncodeAll(s, nil); len(c) < len(s) {
			z = c
		}
		head = binary.AppendUvarint(head, uint64(len(s)))
		head = binary.AppendUvarint(head, uint64(len(z)))
		body = append(body, z...)
	}
	return append(head, body...), nil
}

func newEncoder(w io.Writer, window int) (*zstd.Encoder, error) {
	return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(window),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
}

func newDecoder(r io.Reader, window int) (*zstd.Decoder, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(uint64(window)))
}

// stream reads one stream as it is decompressed. After an error it holds
// that, and every number is zero.
type stream struct {
	left uint64
	r    *bufio.Reader
	dec  *zstd.Decoder
	err  error
}

// unpackStreams opens what packStreams wrote. The streams must be closed.
func unpackStreams(b []byte) (ss [streams]*stream, err error) {
	r := &varints{b: b}
	var sizes, packed [streams]uint64
	for i := range sizes {
		sizes[i], packed[i] = r.uint(), r.uint()
	}
	if r.err != nil {
		return ss, r.err
	}
	rest := r.b
	for i := range sizes {
		if packed[i] > uint64(len(rest)) {
			closeStreams(&ss)
			return ss, corrupt("stream too long")
		}
		z := bytes.NewReader(rest[:packed[i]])
		if ss[i], err = openStream(z, packed[i], sizes[i], controlWindow); err != nil {
			closeStreams(&ss)
			return ss, err
		}
		rest = rest[packed[i]:]
	}
	if len(rest) > 0 {
		closeStreams(&ss)
		return ss, corrupt("bytes behind the streams")
	}
	return ss, nil
}

func closeStreams(ss *[streams]*stream) {
	for _, s := range ss {
		if s != nil {
			s.close()
		}
	}
}

// openStream reads a stream of size bytes from packed ones.
func openStream(z io.Reader, packed, size uint64, window int) (*stream, error) {
	s := &stream{left: size}
	if packed != size {
		dec, err := newDecoder(z, window)
		if err != nil {
			return nil, fmt.Errorf("open compressed stream: %w", err)
		}
		s.dec, z = dec, dec
	}
	s.r = bufio.NewReaderSize(z, int(min(max(size, 16), 32<<10)))
	return s, nil
}

func (s *stream) close() {
	if s.dec != nil {
		s.dec.Close()
	}
}

// fail remembers the first error; what a damaged stream meets is damage.
func (s *stream) fail(err error) {
	if s.err == nil {
		s.err = err
	}
	s.left = 0
}

// ReadByte makes a stream a source for encoding/binary.
func (s *stream) ReadByte() (byte, error) {
	if s.left == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	c, err := s.r.ReadByte()
	if err != nil {
		return 0, err
	}
	s.left--
	return c, nil
}

func (s *stream) uint() uint64 {
	v, err := binary.ReadUvarint(s)
	if err != nil {
		s.fail(damage(err))
		return 0
	}
	return v
}

func (s *stream) int() int64 {
	v := s.uint()
	return int64(v>>1) ^ -int64(v&1)
}

// read fills b.
func (s *stream) read(b []byte) {
	if uint64(len(b)) > s.left {
		s.fail(corrupt("stream ends early"))
		return
	}
	if _, err := io.ReadFull(s.r, b); err != nil {
		s.fail(damage(err))
		return
	}
	s.left -= uint64(len(b))
}

// end is the stream's error, or that there is more of it than was used.
func (s *stream) end() error {
	if s.err != nil {
		return s.err
	}
	if s.left > 0 {
		return corrupt("stream not used up")
	}
	if _, err := s.r.ReadByte(); err != io.EOF {
		return corrupt("stream longer than it says")
	}
	return nil
}

// damage turns what decompression says into [ErrCorrupt].
func damage(err error) error {
	if errors.Is(err, ErrCorrupt) {
		return err
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %v", ErrCorrupt, err)
}

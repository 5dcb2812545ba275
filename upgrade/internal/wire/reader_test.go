package wire

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// A script is a source in memory: chunks of bytes, each with descriptors that
// exist only as numbers.
type script struct {
	chunks   []chunk
	given    int   // descriptors handed out, numbered from 0
	released []int // in order
}

type chunk struct {
	data []byte
	fds  int // arrive with the first byte
}

func (s *script) read(p []byte) (int, []int, error) {
	for len(s.chunks) > 0 && len(s.chunks[0].data) == 0 {
		s.chunks = s.chunks[1:]
	}
	if len(s.chunks) == 0 {
		return 0, nil, io.EOF
	}
	c := &s.chunks[0]
	n := copy(p, c.data)
	var fds []int
	for range c.fds {
		fds = append(fds, s.given)
		s.given++
	}
	c.data, c.fds = c.data[n:], 0
	return n, fds, nil
}

func (s *script) release(fds []int) { s.released = append(s.released, fds...) }

// drain reads s to its end and returns the messages, how many descriptors came
// with them, and the error that ended it. Each descriptor must have been
// delivered or released, once.
func drain(t testing.TB, s *script) (all []Message, files []int, err error) {
	t.Helper()
	r := frameReader{src: s}
	seen := map[int]int{}
	for {
		m, fds, err := r.next()
		if err != nil && (m != nil || fds != nil) {
			t.Fatalf("next = %v, %v with error %v", m, fds, err)
		}
		for _, fd := range fds {
			seen[fd]++
		}
		if err != nil {
			for _, fd := range s.released {
				seen[fd]++
			}
			for fd := range s.given {
				if seen[fd] != 1 {
					t.Fatalf("descriptor %d was delivered or closed %d times", fd, seen[fd])
				}
			}
			return all, files, err
		}
		if n := described(m); n >= 0 && n != len(fds) {
			t.Fatalf("%#v has %d descriptors", m, len(fds))
		}
		all, files = append(all, m), append(files, len(fds))
	}
}

func mustEncode(t testing.TB, m Message, files int) []byte {
	t.Helper()
	frame, err := encode(m, files)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func TestReaderByteByByte(t *testing.T) {
	t.Parallel()
	for _, at := range []int{0, 3, headerSize - 1, headerSize, 20} {
		s := &script{}
		for range 3 {
			for i, b := range mustEncode(t, Connection{Listener: "http"}, 1) {
				c := chunk{data: []byte{b}}
				if i == at {
					c.fds = 1
				}
				s.chunks = append(s.chunks, c)
			}
		}
		all, files, err := drain(t, s)
		if len(all) != 3 || err != io.EOF {
			t.Errorf("descriptor at byte %d: %d messages with %v files, %v", at, len(all), files, err)
		}
	}
}

func TestReaderSurplus(t *testing.T) {
	t.Parallel()
	ready := mustEncode(t, Ready{}, 0)
	conn := mustEncode(t, Connection{}, 1)
	s := &script{chunks: []chunk{
		{ready[:3], 2}, {ready[3:], 1}, // announces none
		{conn[:9], 2}, {conn[9:], 200}, // announces one
		{conn, 1},
	}}
	all, files, err := drain(t, s)
	if len(all) != 3 || err != io.EOF || files[0] != 0 || files[1] != 1 || files[2] != 1 {
		t.Errorf("got %v with %v files, %v", all, files, err)
	}
	if len(s.released) != 3+201 {
		t.Errorf("released %d descriptors, want 204", len(s.released))
	}
}

func TestReaderUnknownKind(t *testing.T) {
	t.Parallel()
	unknown := header{length: 5, kind: 99, files: 2}.append(nil)
	unknown[6], unknown[7] = 0xff, 0xff
	unknown = append(unknown, "\x00junk"...)
	s := &script{chunks: []chunk{{unknown, 2}, {mustEncode(t, Ready{}, 0), 0}, {unknown, 3}}}
	all, _, err := drain(t, s)
	if len(all) != 1 || Name(all[0]) != "ready" || err != io.EOF {
		t.Errorf("got %v, %v, want ready and EOF", all, err)
	}
}

func TestReaderMissingFiles(t *testing.T) {
	t.Parallel()
	for _, announced := range []int{1, 2, 64} {
		frame := mustEncode(t, Ready{}, announced)
		all, _, err := drain(t, &script{chunks: []chunk{{frame, announced - 1}}})
		if len(all) != 0 || !errors.Is(err, ErrMalformed) {
			t.Errorf("%d announced: %v, %v, want ErrMalformed", announced, all, err)
		}
	}
}

func TestReaderTruncated(t *testing.T) {
	t.Parallel()
	first := mustEncode(t, Ready{}, 0)
	second := mustEncode(t, Sockets{Sockets: make([]Socket, 2)}, 2)
	for cut := range len(second) {
		s := &script{chunks: []chunk{{first, 0}, {second[:cut], 2}}}
		want := io.ErrUnexpectedEOF
		if cut == 0 {
			want = io.EOF
		}
		if all, _, err := drain(t, s); len(all) != 1 || err != want {
			t.Errorf("cut at %d: %v, %v, want %v", cut, all, err, want)
		}
	}
}

// A frame that claims much costs no more than the limit.
func TestReaderOversize(t *testing.T) {
	t.Parallel()
	for _, h := range []header{{1<<32 - 1, kindAbort, 0}, {MaxPayload + 1, 99, 0}, {MaxStateData + 1, kindStateData, 0}, {2, kindReady, 65}} {
		s := &script{chunks: []chunk{{h.append(nil), 3}, {bytes.Repeat([]byte{'x'}, 100), 0}}}
		if _, _, err := drain(t, s); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%+v: %v, want ErrTooLarge", h, err)
		}
	}
}

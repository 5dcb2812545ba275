package wire

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// FuzzFrames reads a stream that arrives in chunks with descriptors between
// them. The first bytes of pattern say how large each chunk is and how many
// descriptors it has.
func FuzzFrames(f *testing.F) {
	var all []byte
	for _, m := range samples() {
		frame := mustEncode(f, m, max(0, described(m)))
		f.Add(frame, []byte{255, byte(max(0, described(m)))})
		all = append(all, frame...)
	}
	f.Add(all, []byte{7, 1, 3, 0})
	f.Add(header{length: 1 << 20, kind: 99}.append(nil), []byte{1, 64})
	f.Fuzz(func(t *testing.T, stream, pattern []byte) {
		s := &script{}
		for i := 0; len(stream) > 0; i += 2 {
			c := chunk{data: stream}
			if i+1 < len(pattern) {
				c = chunk{stream[:min(len(stream), 1+int(pattern[i]))], int(pattern[i+1])}
			}
			s.chunks, stream = append(s.chunks, c), stream[len(c.data):]
		}
		_, _, err := drain(t, s)
		switch {
		case err == io.EOF, err == io.ErrUnexpectedEOF, errors.Is(err, ErrMalformed), errors.Is(err, ErrTooLarge):
		default:
			t.Fatalf("error %v is none of the documented ones", err)
		}
	})
}

// fuzzMessage decodes payloads as kind k. What is accepted must survive being
// sent on.
func fuzzMessage(f *testing.F, k kind) {
	for _, m := range samples() {
		if m.kind() == k {
			f.Add(mustEncode(f, m, max(0, described(m)))[headerSize:], byte(max(0, described(m))))
		}
	}
	f.Add([]byte(`{"future":[{"a":null}]}`), byte(0))
	f.Fuzz(func(t *testing.T, payload []byte, files byte) {
		m, err := decode(k, payload, int(files))
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("decode: %v, want ErrMalformed", err)
			}
			return
		}
		first, err := encode(m, int(files))
		if errors.Is(err, ErrTooLarge) {
			return
		} else if err != nil {
			t.Fatalf("encode(decode(%q)): %v", payload, err)
		}
		again, err := decode(k, first[headerSize:], int(files))
		if err != nil {
			t.Fatalf("decode(%q): %v", first, err)
		}
		if second := mustEncode(t, again, int(files)); !bytes.Equal(first, second) {
			t.Fatalf("%q became %q", first, second)
		}
	})
}

func FuzzHello(f *testing.F)      { fuzzMessage(f, kindHello) }
func FuzzSockets(f *testing.F)    { fuzzMessage(f, kindSockets) }
func FuzzState(f *testing.F)      { fuzzMessage(f, kindState) }
func FuzzStateData(f *testing.F)  { fuzzMessage(f, kindStateData) }
func FuzzStateEnd(f *testing.F)   { fuzzMessage(f, kindStateEnd) }
func FuzzPrepared(f *testing.F)   { fuzzMessage(f, kindPrepared) }
func FuzzReady(f *testing.F)      { fuzzMessage(f, kindReady) }
func FuzzServe(f *testing.F)      { fuzzMessage(f, kindServe) }
func FuzzServing(f *testing.F)    { fuzzMessage(f, kindServing) }
func FuzzCommit(f *testing.F)     { fuzzMessage(f, kindCommit) }
func FuzzAbort(f *testing.F)      { fuzzMessage(f, kindAbort) }
func FuzzConnection(f *testing.F) { fuzzMessage(f, kindConnection) }
func FuzzTaken(f *testing.F)      { fuzzMessage(f, kindTaken) }
func FuzzBeat(f *testing.F)       { fuzzMessage(f, kindBeat) }
func FuzzDraining(f *testing.F)   { fuzzMessage(f, kindDraining) }
func FuzzStart(f *testing.F)      { fuzzMessage(f, kindStart) }
func FuzzStarted(f *testing.F)    { fuzzMessage(f, kindStarted) }
func FuzzExited(f *testing.F)     { fuzzMessage(f, kindExited) }
func FuzzServed(f *testing.F)     { fuzzMessage(f, kindServed) }
func FuzzStop(f *testing.F)       { fuzzMessage(f, kindStop) }
func FuzzRequest(f *testing.F)    { fuzzMessage(f, kindRequest) }
func FuzzVerdict(f *testing.F)    { fuzzMessage(f, kindVerdict) }
func FuzzProbe(f *testing.F)      { fuzzMessage(f, kindProbe) }
func FuzzAlive(f *testing.F)      { fuzzMessage(f, kindAlive) }

package stream

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// clientFrame is a frame as a client sends it.
func clientFrame(fin bool, op opcode, payload string) []byte {
	key := [4]byte{0xa1, 0x0b, 0xc2, 0xfe}
	out := appendHeader(nil, header{fin: fin, op: op, masked: true, key: key, length: uint64(len(payload))})
	at := len(out)
	out = append(out, payload...)
	unmask(key, out[at:])
	return out
}

func frames(list ...[]byte) []byte { return slices.Concat(list...) }

// parse feeds data in pieces of n bytes; with moving the parser is replaced
// after each piece by one that gets what the old one had not used.
func parse(t testing.TB, data []byte, limit, n int, moving bool) (items []string, end error) {
	p := &parser{limit: limit}
	for {
		for {
			it, ok, err := p.next()
			if err != nil {
				return items, err
			}
			if !ok {
				break
			}
			items = append(items, fmt.Sprintf("%d:%s", it.op, it.data))
		}
		if len(data) == 0 {
			return items, nil
		}
		if moving {
			p, items = replace(t, p, items)
		}
		space := p.space()
		if len(space) == 0 {
			t.Fatal("no space although next wants more")
		}
		k := copy(space[:min(n, len(space))], data)
		p.filled(k)
		data = data[k:]
	}
}

// replace returns a parser in p's place, and the items that it has by then.
func replace(t testing.TB, p *parser, items []string) (*parser, []string) {
	rest := p.unread()
	if most := p.limit + len(p.buf) + 3*maxHeader; len(rest) > most {
		t.Fatalf("%d bytes unread, want at most %d", len(rest), most)
	}
	q := &parser{limit: p.limit}
	for {
		k := copy(q.space(), rest)
		q.filled(k)
		rest = rest[k:]
		it, ok, err := q.next()
		if err != nil {
			t.Fatalf("unread bytes are no good frames: %v", err)
		}
		if ok {
			items = append(items, fmt.Sprintf("%d:%s", it.op, it.data))
		}
		if len(rest) == 0 && !ok {
			return q, items
		}
	}
}

var sample = frames(
	clientFrame(true, opText, "grüße"),
	clientFrame(true, opBinary, ""),
	clientFrame(false, opText, ""),
	clientFrame(true, opPing, "are you there"),
	clientFrame(false, opContinuation, strings.Repeat("ab", 63)), // 126: two bytes of length
	clientFrame(true, opPong, ""),
	clientFrame(false, opContinuation, "é"[:1]),
	clientFrame(true, opContinuation, "é"[1:]+strings.Repeat("c", 70000)), // eight bytes of length
	clientFrame(true, opBinary, "\xff\x00"),
	clientFrame(true, opClose, "\x03\xe8bye"),
)

var sampleItems = []string{"1:grüße", "2:", "9:are you there", "10:",
	"1:" + strings.Repeat("ab", 63) + "é" + strings.Repeat("c", 70000), "2:\xff\x00", "8:\x03\xe8bye"}

func TestParserPieces(t *testing.T) {
	t.Parallel()
	for _, moving := range []bool{false, true} {
		sizes := []int{1, 2, 3, 5, 7, 13, 100, 4095, 4096, 1 << 20}
		if moving {
			sizes = sizes[6:] // each move copies what there is of the message
		}
		for _, n := range sizes {
			got, err := parse(t, sample, 1<<20, n, moving)
			if err != nil || !slices.Equal(got, sampleItems) {
				t.Errorf("pieces of %d, moving %v: %d items, %v", n, moving, len(got), err)
			}
		}
	}
}

// A move at any byte changes nothing.
func TestParserMoveAtEveryByte(t *testing.T) {
	t.Parallel()
	short := frames(clientFrame(true, opText, "grüße"), clientFrame(false, opBinary, "ab"), clientFrame(true, opPing, "p"),
		clientFrame(false, opContinuation, strings.Repeat("x", 300)), clientFrame(true, opContinuation, ""), sample[:300])
	want, wantErr := parse(t, short, 1<<20, len(short), false)
	got, err := parse(t, short, 1<<20, 1, true)
	if !slices.Equal(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
		t.Errorf("got %q, %v; want %q, %v", got, err, want, wantErr)
	}
}

func TestParserPutBack(t *testing.T) {
	t.Parallel()
	p := &parser{limit: 100}
	p.filled(copy(p.space(), frames(clientFrame(true, opText, "one"), clientFrame(true, opText, "two")[:7])))
	it, _, _ := p.next()
	p.putBack(it)
	q := &parser{limit: 100}
	q.filled(copy(q.space(), p.unread()))
	q.filled(copy(q.space(), clientFrame(true, opText, "two")[7:]))
	for _, want := range []string{"one", "two"} {
		if it, ok, err := q.next(); !ok || err != nil || string(it.data) != want {
			t.Errorf("next = %q, %v, %v; want %q", it.data, ok, err, want)
		}
	}
}

var violations = []struct {
	name string
	data []byte
	code int
}{
	{"not masked", []byte{0x81, 0x01, 'x'}, 1002},
	{"reserved bit", []byte{0xc1, 0x80, 0, 0, 0, 0}, 1002},
	{"reserved data opcode", []byte{0x83, 0x80, 0, 0, 0, 0}, 1002},
	{"reserved control opcode", []byte{0x8b, 0x80, 0, 0, 0, 0}, 1002},
	{"fragmented ping", []byte{0x09, 0x80, 0, 0, 0, 0}, 1002},
	{"long ping", []byte{0x89, 0xfe, 0, 126, 0, 0, 0, 0}, 1002},
	{"long form of a short length", []byte{0x82, 0xfe, 0, 125, 0, 0, 0, 0}, 1002},
	{"longest form of a medium length", []byte{0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0}, 1002},
	{"negative length", []byte{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 1002},
	{"huge length", []byte{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, 1009},
	{"continuation of nothing", clientFrame(true, opContinuation, "x"), 1002},
	{"message inside a message", frames(clientFrame(false, opText, "x"), clientFrame(true, opText, "x")), 1002},
	{"invalid text", clientFrame(true, opText, "\xff"), 1007},
	{"text that ends in a character", frames(clientFrame(false, opText, "a\xc3"), clientFrame(true, opContinuation, "")), 1007},
	{"too long", clientFrame(true, opBinary, strings.Repeat("x", 1001)), 1009},
	{"too long in sum", frames(clientFrame(false, opBinary, strings.Repeat("x", 999)), clientFrame(true, opContinuation, "xx")), 1009},
}

func TestParserViolations(t *testing.T) {
	t.Parallel()
	for _, v := range violations {
		for _, n := range []int{1, 1 << 20} {
			items, err := parse(t, v.data, 1000, n, false)
			var c *CloseError
			if !errors.As(err, &c) || c.Code != v.code || !c.Local || len(items) > 0 {
				t.Errorf("%s in pieces of %d: %q, %v; want status %d", v.name, n, items, err, v.code)
			}
		}
	}
	if items, err := parse(t, clientFrame(true, opBinary, strings.Repeat("x", 1000)), 1000, 10, true); err != nil || len(items) != 1 {
		t.Errorf("message as long as the limit: %d items, %v", len(items), err)
	}
}

func TestUnmask(t *testing.T) {
	t.Parallel()
	key := [4]byte{1, 2, 3, 4}
	for n := range 40 {
		for cut := range n + 1 {
			b := bytes.Repeat([]byte{0x55}, n)
			next := unmask(key, b[:cut])
			unmask(next, b[cut:])
			for i := range b {
				if b[i] != 0x55^key[i%4] {
					t.Fatalf("%d bytes in two parts of %d: byte %d is %#x", n, cut, i, b[i])
				}
			}
		}
	}
}

// The same bytes mean the same, however they arrive and whoever goes on.
func FuzzParser(f *testing.F) {
	f.Add(sample[:300], uint16(1))
	f.Add(frames(clientFrame(false, opText, "ab"), clientFrame(true, opPing, ""), clientFrame(true, opContinuation, "c")), uint16(3))
	for _, v := range violations {
		f.Add(v.data, uint16(2))
	}
	f.Fuzz(func(t *testing.T, data []byte, piece uint16) {
		n := int(piece)%64 + 1
		if len(data) > 8<<10 {
			return
		}
		const limit = 1000
		want, wantErr := parse(t, data, limit, len(data)+1, false)
		for _, moving := range []bool{false, true} {
			got, err := parse(t, data, limit, n, moving)
			if !slices.Equal(got, want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Errorf("pieces of %d, moving %v: %q, %v; want %q, %v", n, moving, got, err, want, wantErr)
			}
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte{0x81, 0x85, 1, 2, 3, 4})
	f.Add([]byte{0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := parseHeader(b)
		if err != nil || n == 0 {
			return
		}
		if out := appendHeader(nil, h); n > maxHeader || !bytes.Equal(out, b[:n]) {
			t.Errorf("header %x is written as %x", b[:n], out)
		}
	})
}

func FuzzClose(f *testing.F) {
	f.Add([]byte("\x03\xe8bye"))
	f.Add([]byte{3})
	f.Fuzz(func(t *testing.T, p []byte) {
		c := parseClose(p)
		if !c.Local && len(p) <= maxControl && !bytes.Equal(closePayload(c), p) {
			t.Errorf("payload %x is written as %x", p, closePayload(c))
		}
		if n := len(closePayload(c)); n > maxControl {
			t.Errorf("payload of %d bytes", n)
		}
	})
}

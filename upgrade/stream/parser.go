package stream

import (
	"fmt"
	"unicode/utf8"
)

// parser turns a client's bytes into messages and control frames. It does no
// I/O: bytes go into space, filled says how many, next takes out what is whole.
// At any moment unread gives the bytes that put another parser into its place.
type parser struct {
	limit int // bytes of a message

	buf  [4096]byte // holds any header and any control frame
	r, w int        // buf[r:w] is not parsed yet

	inFrame bool    // a data frame's payload is coming in
	fin     bool    // of that frame
	rest    uint64  // bytes of it that are missing, not 0 between calls
	key     [4]byte // for the next of them

	op  opcode // of the message under way, opContinuation if there is none
	msg []byte // its payload so far

	ready *item // a message that was taken out and put back
}

// item is a whole message (text or binary) or control frame.
type item struct {
	op   opcode
	data []byte
}

// space is where to read into. It is never empty after next asked for more.
func (p *parser) space() []byte {
	if p.r > 0 {
		p.w = copy(p.buf[:], p.window())
		p.r = 0
	}
	return p.buf[p.w:]
}

// filled says that n bytes of space are valid.
func (p *parser) filled(n int) { p.w += n }

func (p *parser) window() []byte { return p.buf[p.r:p.w] }

// next returns the next item, or ok == false if it takes more bytes. The error
// is a *CloseError, after which the parser is of no use.
func (p *parser) next() (it item, ok bool, err error) {
	if p.ready != nil {
		it, p.ready = *p.ready, nil
		return it, true, nil
	}
	for {
		if p.inFrame {
			if !p.payload() {
				return item{}, false, nil
			}
			if p.fin {
				return p.message()
			}
		}
		h, n, err := parseHeader(p.window())
		if err != nil || n == 0 {
			return item{}, false, err
		}
		if h.op.control() {
			return p.control(h, n)
		}
		if err := p.begin(h); err != nil {
			return item{}, false, err
		}
		p.r += n
	}
}

// putBack makes next return it again, before anything else.
func (p *parser) putBack(it item) { p.ready = &it }

// payload takes what there is of the frame; true if that completes it.
func (p *parser) payload() bool {
	n := int(min(p.rest, uint64(p.w-p.r)))
	from := len(p.msg)
	p.msg = append(p.msg, p.buf[p.r:p.r+n]...)
	p.key = unmask(p.key, p.msg[from:])
	p.r += n
	p.rest -= uint64(n)
	p.inFrame = p.rest > 0
	return !p.inFrame
}

// begin starts a data frame.
func (p *parser) begin(h header) error {
	switch {
	case h.op == opContinuation && p.op == opContinuation:
		return violation("continuation without a message")
	case h.op != opContinuation && p.op != opContinuation:
		return violation("new message inside a fragmented one")
	case h.length > uint64(max(p.limit-len(p.msg), 0)):
		return &CloseError{Code: 1009, Reason: fmt.Sprintf("message is longer than %d bytes", p.limit), Local: true}
	}
	if h.op != opContinuation {
		p.op = h.op
	}
	p.inFrame, p.fin, p.rest, p.key = true, h.fin, h.length, h.key
	return nil
}

// message takes out the message that is complete.
func (p *parser) message() (item, bool, error) {
	it := item{op: p.op, data: p.msg}
	p.op, p.msg = opContinuation, nil
	if it.op == opText && !utf8.Valid(it.data) {
		return item{}, false, &CloseError{Code: 1007, Reason: "text is not UTF-8", Local: true}
	}
	return it, true, nil
}

// control takes out a control frame whose header has n bytes.
func (p *parser) control(h header, n int) (item, bool, error) {
	end := n + int(h.length) // at most maxControl: parseHeader has checked
	if len(p.window()) < end {
		return item{}, false, nil
	}
	data := append([]byte(nil), p.window()[n:end]...)
	unmask(h.key, data)
	p.r += end
	return item{op: h.op, data: data}, true, nil
}

// unread returns what was received and not taken out, as client frames. What
// was unmasked already is masked with a key of zeros.
func (p *parser) unread() []byte {
	var out []byte
	if p.ready != nil {
		out = appendClientFrame(out, true, *p.ready)
	}
	if p.op != opContinuation {
		out = appendClientFrame(out, false, item{op: p.op, data: p.msg})
	}
	if p.inFrame {
		out = appendHeader(out, header{fin: p.fin, masked: true, key: p.key, length: p.rest})
	}
	return append(out, p.window()...)
}

func appendClientFrame(dst []byte, fin bool, it item) []byte {
	dst = appendHeader(dst, header{fin: fin, op: it.op, masked: true, length: uint64(len(it.data))})
	return append(dst, it.data...)
}

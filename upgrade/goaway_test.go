package upgrade

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// frame is one of HTTP/2.
func frame(kind, flags byte, stream uint32, payload string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind))
	return append(binary.BigEndian.AppendUint32(append(b, flags), stream), payload...)
}

// readFrame reads one.
func readFrame(r io.Reader) (kind, flags byte, stream uint32, payload []byte, err error) {
	var head [frameHead]byte
	if _, err = io.ReadFull(r, head[:]); err != nil {
		return
	}
	payload = make([]byte, binary.BigEndian.Uint32(head[:4])>>8)
	_, err = io.ReadFull(r, payload)
	return head[3], head[4], binary.BigEndian.Uint32(head[5:]), payload, err
}

// However the server's frames are cut into writes, GOAWAY stands between two of them,
// at most once, not in front of SETTINGS and not within a block of headers.
func TestGoAwayBetweenFrames(t *testing.T) {
	t.Parallel()
	sent := bytes.Join([][]byte{
		frame(4, 0, 0, "settings"), frame(frameHeaders, 0, 1, "part"), frame(frameContinuation, endHeaders, 1, "rest"),
		frame(frameData, 0, 1, strings.Repeat("x", 300)), frame(6, 0, 0, "12345678"), frame(frameData, 1, 1, ""),
		frame(frameHeaders, endHeaders, 3, "h"), frame(frameData, 1, 3, "y"),
	}, nil)
	placed := 0
	for size := 1; size <= len(sent); size++ {
		for demanded := 0; demanded <= len(sent)/size; demanded++ {
			var f frames
			var out bytes.Buffer
			for i := 0; i < len(sent); i += size {
				if i/size == demanded {
					f.due.Store(true)
					if demanded%2 == 0 {
						f.tell(&out)
					}
				}
				p := sent[i:min(i+size, len(sent))]
				if n, err := f.write(&out, p); n != len(p) || err != nil {
					t.Fatal(n, err)
				}
			}
			text := out.Bytes()
			if f.told {
				placed++
			}
			block := false
			for r := bytes.NewReader(text); r.Len() > 0; {
				at := len(text) - r.Len()
				kind, flags, _, _, err := readFrame(r)
				if err != nil {
					t.Fatalf("writes of %d bytes: %v", size, err)
				}
				if kind == 7 && (at == 0 || block) {
					t.Fatalf("writes of %d bytes: GOAWAY at %d", size, at)
				}
				if kind == frameHeaders || kind == frameContinuation {
					block = flags&endHeaders == 0
				}
			}
			if n := bytes.Count(text, goAway); n > 1 || (n == 1) != f.told || !bytes.Equal(bytes.ReplaceAll(text, goAway, nil), sent) {
				t.Fatalf("writes of %d bytes: %d GOAWAY, told %v", size, n, f.told)
			}
		}
	}
	if placed == 0 {
		t.Error("GOAWAY was never written")
	}
}

// rawHTTP2 opens streams on a connection without waiting for anything.
type rawHTTP2 struct {
	t    *testing.T
	c    net.Conn
	next uint32
}

func (r *rawHTTP2) get() {
	r.t.Helper()
	r.next += 2
	headers := "\x82\x86\x84\x41\x01x" // GET, http, /, authority x
	if _, err := r.c.Write(frame(frameHeaders, endHeaders|1, r.next-1, headers)); err != nil {
		r.t.Fatal(err)
	}
}

// await reads until so many streams were answered; last is the stream of a GOAWAY
// among them, 0 without one.
func (r *rawHTTP2) await(answers int) (last uint32) {
	r.t.Helper()
	r.c.SetReadDeadline(time.Now().Add(time.Minute))
	for answers > 0 || answers < 0 && last == 0 {
		kind, flags, _, payload, err := readFrame(r.c)
		switch {
		case err != nil:
			r.t.Fatalf("%d answers are missing: %v", answers, err)
		case kind == 7:
			last = binary.BigEndian.Uint32(payload)
		case kind == frameHeaders && payload[0] != 0x88:
			r.t.Fatalf("the status is not 200: % x", payload)
		case kind <= frameHeaders && flags&1 != 0:
			answers--
		}
	}
	return last
}

// A client's requests that are on their way as GOAWAY comes are all answered, whether
// it comes with an answer or to a client that is idle.
func TestGoAwayLosesNothing(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		for _, idle := range []bool{false, true} {
			t.Run(fmt.Sprint("TLS=", secure, ",idle=", idle), func(t *testing.T) {
				t.Parallel()
				u, l := newListening(t)
				hooked := make(chan net.Conn, 100)
				srv := &http.Server{
					Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if (r.TLS != nil) != secure {
							t.Errorf("TLS = %v", r.TLS)
						}
						io.WriteString(w, "hello")
					}),
					ConnState: func(c net.Conn, _ http.ConnState) { hooked <- c },
				}
				var c net.Conn
				var err error
				if secure {
					srv.TLSConfig = testTLS()
					u.ServeTLS(srv, l, "", "")
				} else {
					srv.Protocols = new(http.Protocols)
					srv.Protocols.SetUnencryptedHTTP2(true)
					u.Serve(srv, l)
				}
				if err := u.Ready(t.Context()); err != nil {
					t.Fatal(err)
				}
				if c, err = net.Dial("tcp", l.Addr().String()); err != nil {
					t.Fatal(err)
				}
				if secure {
					c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
				}
				defer c.Close()
				r := &rawHTTP2{t: t, c: c}
				fmt.Fprint(c, wholePreface)
				c.Write(frame(4, 0, 0, ""))
				r.get()
				if last := r.await(1); last != 0 {
					t.Fatalf("GOAWAY(%d) before the drain", last)
				}
				if _, ok := (<-hooked).(*tls.Conn); ok != secure {
					t.Errorf("the server's hook saw a *tls.Conn: %v", ok)
				}
				ended := make(chan error, 1)
				go func() { ended <- u.Shutdown(context.Background()) }()
				waitFor(t, "the drain", func() bool { return u.leaving.Load() })
				var last uint32
				if idle {
					last = r.await(-1)
				} else {
					for n := 0; last == 0; n++ { // the server may have been answering already
						if n == 1000 {
							t.Fatal("no answer says GOAWAY")
						}
						r.get()
						last = r.await(1)
					}
				}
				if last != 1<<31-1 {
					t.Errorf("the first GOAWAY names stream %d", last)
				}
				for range 100 { // as if it had not been read yet
					r.get()
				}
				r.await(100)
				c.Close()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// newListening makes a process of its own in this one.
func newListening(t *testing.T) (*Upgrader, *Listener) {
	t.Helper()
	u, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := u.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return u, l
}

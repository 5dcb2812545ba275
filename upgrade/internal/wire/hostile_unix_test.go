//go:build unix

package wire

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// throw writes frame with files to the link and ends the stream.
func throw(t *testing.T, c *net.UnixConn, frame []byte, files []*os.File) {
	t.Helper()
	var err error
	if len(files) > 0 {
		_, _, err = c.WriteMsgUnix(frame, unix.UnixRights(numbers(files)...), nil)
	} else {
		_, err = c.Write(frame)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

func TestHostile(t *testing.T) {
	files := tempFiles(t, 200)
	connection := mustEncode(t, Connection{}, 1)
	for _, test := range []struct {
		name  string
		frame []byte
		files int
		want  error
	}{
		{"kind 0", make([]byte, 100), 3, ErrMalformed},
		{"oversize", header{length: MaxPayload + 1, kind: 99}.append(nil), 3, ErrTooLarge},
		{"state data", header{length: MaxStateData + 1, kind: kindStateData}.append(nil), 3, ErrTooLarge},
		{"too many announced", header{length: 2, kind: kindReady, files: 65}.append(nil), 65, ErrTooLarge},
		{"too few", mustEncode(t, Sockets{Sockets: make([]Socket, 4)}, 4), 3, ErrMalformed},
		{"not JSON", append(header{length: 2, kind: kindReady, files: 2}.append(nil), "[]"...), 2, ErrMalformed},
		{"connection of two", append(header{length: 2, kind: kindConnection, files: 2}.append(nil), "{}"...), 2, ErrMalformed},
		{"garbage", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 1, ErrTooLarge},
		{"cut", connection[:len(connection)-1], 1, io.ErrUnexpectedEOF},
		{"surplus", connection, 200, nil},
		{"unknown", append(header{length: 3, kind: 77, files: 2}.append(nil), "abc"...), 5, io.EOF},
	} {
		t.Run(test.name, func(t *testing.T) {
			noLeak(t, func() {
				c, l := rawAndLink(t)
				throw(t, c, test.frame, files[:test.files])
				_, got, err := l.Receive()
				closeAll(got)
				if !errors.Is(err, test.want) {
					t.Fatalf("receive: %v, want %v", err, test.want)
				}
				if ended := test.want != nil && test.want != io.EOF; ended {
					wantEnded(t, l, c, test.want)
				}
				l.Close()
				c.Close()
			})
		})
	}
}

// wantEnded checks that l refuses to go on and has told its peer why.
func wantEnded(t *testing.T, l *Link, peer *net.UnixConn, want error) {
	t.Helper()
	if _, _, err := l.Receive(); !errors.Is(err, want) {
		t.Errorf("next receive: %v, want %v", err, want)
	}
	if err := l.Send(Ready{}); !errors.Is(err, want) {
		t.Errorf("next send: %v, want %v", err, want)
	}
	r := frameReader{src: newSocket(peer)}
	if m, _, err := r.next(); err != nil || !strings.Contains(m.(Abort).Reason, want.Error()) {
		t.Errorf("the peer was told %v, %v, want an abort with %v", m, err, want)
	}
	if m, _, err := r.next(); err != io.EOF {
		t.Errorf("after the abort: %v, %v, want EOF", m, err)
	}
}

func TestTruncatedAtEachByte(t *testing.T) {
	files := tempFiles(t, 2)
	frame := mustEncode(t, Sockets{Sockets: []Socket{{Name: "a"}, {Name: "b"}}}, 2)
	noLeak(t, func() {
		for cut := 1; cut < len(frame); cut++ {
			c, l := rawAndLink(t)
			throw(t, c, frame[:cut], files)
			if m, _, err := l.Receive(); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("cut at %d: %v, %v, want unexpected EOF", cut, m, err)
			}
			l.Close()
			c.Close()
		}
	})
}

func TestRandomBytes(t *testing.T) {
	files := tempFiles(t, 3)
	random := rand.New(rand.NewPCG(1, 2))
	noLeak(t, func() {
		for range 200 {
			junk := make([]byte, 1+random.IntN(500))
			for i := range junk {
				junk[i] = byte(random.Uint32())
			}
			if random.IntN(2) == 0 && len(junk) > 8 { // a header that passes
				copy(junk, header{length: random.IntN(len(junk)), kind: kind(1 + random.IntN(30)), files: random.IntN(4)}.append(nil))
			}
			c, l := rawAndLink(t)
			throw(t, c, junk, files[:random.IntN(4)])
			for {
				_, got, err := l.Receive()
				closeAll(got)
				if err != nil {
					break
				}
			}
			l.Close()
			c.Close()
		}
	})
}

// Descriptors that wait in the kernel when a link is closed go with it.
func TestCloseDropsWhatWaits(t *testing.T) {
	noLeak(t, func() {
		a, b := links(t)
		read, write, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Send(Connection{}, int(write.Fd())); err != nil {
			t.Fatal(err)
		}
		write.Close()
		a.Close()
		b.Close()
		// The copy in flight was the last writer. Linux may drop it a little later.
		if rest, err := io.ReadAll(read); err != nil || !bytes.Equal(rest, nil) {
			t.Errorf("read %q, %v", rest, err)
		}
		read.Close()
	})
}

func TestLongUse(t *testing.T) {
	files := tempFiles(t, 4)
	noLeak(t, func() {
		a, b := links(t)
		for range 500 {
			if err := a.Send(Sockets{Sockets: make([]Socket, 4)}, numbers(files)...); err != nil {
				t.Fatal(err)
			}
			_, got, err := b.Receive()
			if err != nil {
				t.Fatal(err)
			}
			closeAll(got)
		}
		a.Close()
		b.Close()
	})
}

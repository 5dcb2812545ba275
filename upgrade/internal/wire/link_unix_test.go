//go:build unix

package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for i, m := range samples() {
		counts := []int{0, 1, 3, MaxFiles}
		if n := described(m); n >= 0 {
			counts = []int{n}
		}
		for _, n := range counts {
			t.Run(fmt.Sprintf("%d %s %d", i, Name(m), n), func(t *testing.T) {
				t.Parallel()
				a, b := links(t)
				files := tempFiles(t, n)
				if err := a.Send(m, numbers(files)...); err != nil {
					t.Fatal(err)
				}
				got, received, err := b.Receive()
				if err != nil {
					t.Fatal(err)
				}
				wantFiles(t, received, files)
				if !reflect.DeepEqual(got, m) {
					t.Errorf("received %#v, want %#v", got, m)
				}
			})
		}
	}
}

func TestHundredFiles(t *testing.T) {
	t.Parallel()
	a, b := links(t)
	files := tempFiles(t, 100)
	for _, part := range [][]*os.File{files[:64], files[64:]} {
		if err := a.Send(Sockets{Sockets: make([]Socket, len(part))}, numbers(part)...); err != nil {
			t.Fatal(err)
		}
	}
	var received []*os.File
	for range 2 {
		_, some, err := b.Receive()
		if err != nil {
			t.Fatal(err)
		}
		received = append(received, some...)
	}
	wantFiles(t, received, files)
}

// The largest frame does not fit a socket buffer, so it goes in pieces.
func TestLargestFrame(t *testing.T) {
	t.Parallel()
	a, b := links(t)
	files := tempFiles(t, 1)
	unread := make([]byte, 700<<10)
	for i := range unread {
		unread[i] = byte(rand.Uint32())
	}
	sent := make(chan error, 1)
	go func() { sent <- a.Send(Connection{Unread: unread}, numbers(files)...) }()
	m, received, err := b.Receive()
	if err := errors.Join(err, <-sent); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, received, files)
	if !bytes.Equal(m.(Connection).Unread, unread) {
		t.Error("other bytes than those sent")
	}
}

func TestConcurrentSenders(t *testing.T) {
	t.Parallel()
	a, b := links(t)
	const senders, each = 8, 20
	const large = 40 << 10 // does not fit the socket buffer: goes in pieces
	if err := a.conn.SetWriteBuffer(8 << 10); err != nil {
		t.Fatal(err)
	}
	files := tempFiles(t, senders)
	fds := numbers(files)
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for range each {
				err := errors.Join(
					a.Send(Connection{ID: uint64(s), Unread: bytes.Repeat([]byte{byte(s)}, large)}, fds[s]),
					a.Send(StateData{Data: bytes.Repeat([]byte{byte(s)}, MaxStateData)}),
					a.Send(Taken{ID: uint64(s)}))
				if err != nil {
					t.Errorf("sender %d: %v", s, err)
					return
				}
			}
		})
	}
	var connections, data, taken int
	for range senders * each * 3 {
		m, received, err := b.Receive()
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case Connection:
			connections++
			wantFiles(t, received, files[m.ID:m.ID+1])
			if !bytes.Equal(m.Unread, bytes.Repeat([]byte{byte(m.ID)}, large)) {
				t.Error("frames of two senders are mixed")
			}
		case StateData:
			data++
			if !bytes.Equal(m.Data, bytes.Repeat(m.Data[:1], MaxStateData)) {
				t.Error("frames of two senders are mixed")
			}
		case Taken:
			taken++
		}
	}
	wg.Wait()
	if connections != senders*each || data != senders*each || taken != senders*each {
		t.Errorf("received %d, %d, %d of %d each", connections, data, taken, senders*each)
	}
}

func TestEndOfStream(t *testing.T) {
	t.Parallel()
	a, b := links(t)
	if err := a.Send(Abort{Reason: "enough"}); err != nil {
		t.Fatal(err)
	}
	if err := b.Send(Ready{}); err != nil { // a never reads it: its close resets the stream
		t.Fatal(err)
	}
	a.Close()
	for {
		err := b.Send(StateData{Data: make([]byte, MaxStateData)})
		if errors.Is(err, ErrGone) {
			break
		} else if err != nil {
			t.Fatalf("send to a closed peer: %v, want ErrGone", err)
		}
	}
	if err := b.Send(Ready{}); !errors.Is(err, ErrGone) {
		t.Errorf("second send: %v, want ErrGone", err)
	}
	if m, _, err := b.Receive(); !reflect.DeepEqual(m, Abort{Reason: "enough"}) {
		t.Errorf("last words: %v, %v", m, err)
	}
	for range 3 {
		if m, _, err := b.Receive(); err != io.EOF {
			t.Errorf("after the end: %v, %v, want EOF", m, err)
		}
	}
	if err := b.Err(); err != nil {
		t.Errorf("the peer's end has ended the link: %v", err)
	}
}

// A peer that has been killed with frames unread looks like one that closed.
func TestResetIsEnd(t *testing.T) {
	t.Parallel()
	a, b := links(t)
	if err := b.Send(Ready{}); err != nil {
		t.Fatal(err)
	}
	a.Close()
	if m, _, err := b.Receive(); err != io.EOF {
		t.Errorf("receive = %v, %v, want EOF", m, err)
	}
}

func TestSlowPeer(t *testing.T) {
	t.Parallel()
	a, b := links(t)
	a.SetTimeout(20 * time.Millisecond)
	var wg sync.WaitGroup
	for range 4 { // those who wait for their turn fail too
		wg.Go(func() {
			for {
				if err := a.Send(StateData{Data: make([]byte, MaxStateData)}); err != nil {
					if !errors.Is(err, ErrTimeout) {
						t.Errorf("send: %v, want ErrTimeout", err)
					}
					return
				}
			}
		})
	}
	wg.Wait()
	if _, _, err := a.Receive(); !errors.Is(err, ErrTimeout) {
		t.Errorf("receive on a dead link: %v, want ErrTimeout", err)
	}
	if err := a.Err(); !errors.Is(err, ErrTimeout) {
		t.Errorf("Err = %v, want ErrTimeout", err)
	}
	for { // what was sent in whole arrives, then the cut frame
		if _, _, err := b.Receive(); err != nil {
			if !errors.Is(err, io.ErrUnexpectedEOF) && err != io.EOF {
				t.Errorf("peer's end: %v", err)
			}
			return
		}
	}
}

func TestSetTimeout(t *testing.T) {
	t.Parallel()
	a, b := links(t)
	for _, d := range []time.Duration{-1, 0, time.Hour} {
		a.SetTimeout(d)
		if err := a.Send(Ready{}); err != nil {
			t.Errorf("timeout %v: %v", d, err)
		}
		if _, _, err := b.Receive(); err != nil {
			t.Errorf("timeout %v: %v", d, err)
		}
	}
}

func TestCloseEndsCalls(t *testing.T) {
	t.Parallel()
	a, _ := links(t)
	received, sent := make(chan error, 1), make(chan error, 1)
	go func() {
		_, _, err := a.Receive()
		received <- err
	}()
	full := make(chan struct{}, 1)
	go func() {
		for {
			if err := a.Send(StateData{Data: make([]byte, MaxStateData)}); err != nil {
				sent <- err
				return
			}
			select {
			case full <- struct{}{}:
			default:
			}
		}
	}()
	<-full
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := <-received; !errors.Is(err, net.ErrClosed) {
		t.Errorf("receive: %v, want net.ErrClosed", err)
	}
	if err := <-sent; !errors.Is(err, net.ErrClosed) {
		t.Errorf("send: %v, want net.ErrClosed", err)
	}
	if err := a.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if _, _, _, err := a.Peer(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("peer: %v, want net.ErrClosed", err)
	}
}

func TestSendErrorsLeaveTheLink(t *testing.T) {
	t.Parallel()
	a, b := links(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := closed.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for name, err := range map[string]error{
		"descriptor not open": a.Send(Connection{}, maxDescriptor*100),
		"negative descriptor": a.Send(Connection{}, -1),
		"closed socket":       a.SendConn(Connection{}, raw),
		"no socket":           a.SendConn(Connection{}, nil),
		"wrong count":         a.Send(Connection{}),
		"too large":           a.Send(StateData{Data: make([]byte, MaxStateData+1)}),
		"no message":          a.Send(nil),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := a.Send(Ready{}); err != nil {
		t.Fatalf("the link has ended: %v", err)
	}
	if m, files, err := b.Receive(); Name(m) != "ready" || len(files) != 0 {
		t.Errorf("receive = %v, %v, %v, want ready", m, files, err)
	}
}

func TestFromFileRefuses(t *testing.T) {
	for name, open := range map[string]func() (*os.File, error){
		"file": func() (*os.File, error) { return os.Open(os.DevNull) },
		"tcp": func() (*os.File, error) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return nil, err
			}
			defer l.Close()
			return l.(*net.TCPListener).File()
		},
		"datagram": func() (*os.File, error) {
			c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: t.TempDir() + "/s", Net: "unixgram"})
			if err != nil {
				return nil, err
			}
			defer c.Close()
			return c.File()
		},
	} {
		noLeak(t, func() {
			f, err := open()
			if err != nil {
				t.Fatal(err)
			}
			if l, err := FromFile(f); err == nil || !strings.HasPrefix(err.Error(), "link from file") {
				t.Errorf("%s: FromFile = %v, %v, want an error", name, l, err)
			}
		})
	}
}

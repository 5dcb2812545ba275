package stream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

type ticks struct{ Next, Calls int }

// tick sends numbered events for ever, or up to Last.
func tick(pause time.Duration) func(*Events, *ticks) error {
	return func(e *Events, s *ticks) error {
		s.Calls++
		for {
			ev := Event{ID: strconv.Itoa(s.Next), Name: "tick", Data: fmt.Sprintf("number\n%d", s.Next)}
			if err := e.Send(ev); err != nil {
				return err
			}
			s.Next++
			if err := e.Wait(pause); err != nil {
				return err
			}
		}
	}
}

// listen reads the stream as a browser does and counts the ticks, which must
// come one after the other.
type listener struct {
	t    testing.TB
	got  *counter
	body io.Closer
	done chan struct{}
	err  error
}

func listen(t testing.TB, url string) *listener {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	if ct := res.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Errorf("Content-Type = %q", ct)
	}
	l := &listener{t: t, got: newCounter(t), body: res.Body, done: make(chan struct{})}
	go l.loop(res.Body)
	t.Cleanup(l.close)
	return l
}

func (l *listener) close() {
	l.body.Close()
	<-l.done
}

func (l *listener) loop(body io.Reader) {
	defer close(l.done)
	r := bufio.NewReader(body)
	for n := 0; ; n++ {
		want := fmt.Sprintf("id: %d\nevent: tick\ndata: number\ndata: %d\n\n", n, n)
		buf := make([]byte, len(want))
		if _, l.err = io.ReadFull(r, buf); l.err != nil {
			return
		}
		if string(buf) != want {
			l.t.Errorf("event %d = %q, want %q", n, buf, want)
			return
		}
		l.got.add()
	}
}

// twoHosts are two processes that know the same kind of event stream.
func twoHosts[S any](t testing.TB, opts EventOptions, run func(*Events, *S) error) (a, b *fakeHost, serveIt http.HandlerFunc) {
	opts.Log = quiet
	a, b = newHost(t), newHost(t)
	ah := NewEventsWith(a, "k", opts, run)
	NewEventsWith(b, "k", opts, run)
	return a, b, func(w http.ResponseWriter, r *http.Request) {
		var s S
		ah.Serve(w, r, s)
	}
}

func TestEventsThousandMoves(t *testing.T) {
	t.Parallel()
	a, b, h := twoHosts(t, EventOptions{}, tick(20*time.Microsecond))
	l := listen(t, serve(t, h).URL)
	for range 1000 {
		l.got.wait(l.got.value() + 1)
		a.hop(b, 1)
		a, b = b, a
	}
	l.got.wait(l.got.value() + 1)
	l.close()
}

func TestEventsManyStreams(t *testing.T) {
	t.Parallel()
	a, b, h := twoHosts(t, EventOptions{}, tick(time.Millisecond))
	s := serve(t, h)
	const n = 40
	all := make([]*listener, n)
	for i := range all {
		all[i] = listen(t, s.URL)
	}
	for range 10 {
		a.hop(b, n)
		a, b = b, a
		seen := make([]int, n)
		for i, l := range all {
			seen[i] = l.got.value()
		}
		for i, l := range all {
			l.got.wait(seen[i] + 1)
		}
	}
}

func TestEventsMoveRefused(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	inner := tick(time.Millisecond)
	a, b, h := twoHosts(t, EventOptions{}, func(e *Events, s *ticks) error {
		calls.Add(1)
		if s.Calls != int(calls.Load())-1 {
			t.Errorf("call %d sees a state of call %d", calls.Load(), s.Calls)
		}
		return inner(e, s)
	})
	a.reject(errors.New("no room"))
	l := listen(t, serve(t, h).URL)
	l.got.wait(3)
	a.drain(b)
	l.got.wait(l.got.value() + 30) // it goes on here, and is not asked again
	if n := calls.Load(); n != 2 {
		t.Errorf("run was called %d times, want 2", n)
	}
	a.stay()
	a.reject(nil)
	a.hop(b, 1)
	l.got.wait(l.got.value() + 3)
	if n := calls.Load(); n != 3 {
		t.Errorf("run was called %d times, want 3", n)
	}
}

// A stream that waits without limit learns of the next attempt after a refusal.
func TestEventsWaitAfterRefusal(t *testing.T) {
	t.Parallel()
	waiting := make(chan int, 10)
	a, b, h := twoHosts(t, EventOptions{}, func(e *Events, s *ticks) error {
		s.Calls++
		waiting <- s.Calls
		return e.Wait(-1)
	})
	a.reject(errors.New("no room"))
	listen(t, serve(t, h).URL)
	await(t, waiting, "first call")
	a.drain(b)
	await(t, waiting, "second call")
	a.stay()
	a.reject(nil)
	a.hop(b, 1)
	if n := await(t, waiting, "call in the successor"); n != 3 {
		t.Errorf("the successor's call is number %d, want 3", n)
	}
}

// A drain that is called off between run's return and the move ends nothing.
func TestEventsDrainWithdrawn(t *testing.T) {
	t.Parallel()
	moving, resume, again := make(chan bool), make(chan bool), make(chan bool)
	a, b, h := twoHosts(t, EventOptions{}, func(e *Events, s *ticks) error {
		if s.Calls++; s.Calls > 1 {
			close(again)
			return e.Wait(-1)
		}
		err := e.Wait(-1)
		moving <- true
		<-resume
		return err
	})
	l := listen(t, serve(t, h).URL)
	a.drain(b)
	await(t, moving, "offer")
	a.stay()
	resume <- true
	await(t, again, "second call here")
	l.close()
}

func TestEventsUnencodableStateStays(t *testing.T) {
	t.Parallel()
	type state struct {
		N int
		F func() `json:"f"`
	}
	calls := make(chan int, 10)
	a, b, h := twoHosts(t, EventOptions{}, func(e *Events, s *state) error {
		s.N++
		s.F = func() {}
		calls <- s.N
		return e.Wait(-1)
	})
	listen(t, serve(t, h).URL)
	await(t, calls, "first call")
	a.drain(b)
	if n := await(t, calls, "second call"); n != 2 {
		t.Errorf("call %d, want 2", n)
	}
}

func TestEventsClientGone(t *testing.T) {
	t.Parallel()
	cause := make(chan error, 1)
	started := make(chan bool, 2)
	a, b, h := twoHosts(t, EventOptions{}, func(e *Events, s *ticks) error {
		started <- true
		if s.Calls++; s.Calls == 1 {
			return e.Wait(-1)
		}
		<-e.Context().Done()
		cause <- context.Cause(e.Context())
		if err := e.SendData("x"); !errors.Is(err, ErrGone) {
			t.Errorf("Send = %v, want ErrGone", err)
		}
		if err := e.Wait(-1); !errors.Is(err, ErrGone) {
			t.Errorf("Wait = %v, want ErrGone", err)
		}
		return e.Wait(0)
	})
	l := listen(t, serve(t, h).URL)
	await(t, started, "run")
	a.hop(b, 1)
	await(t, started, "run in the successor")
	l.close()
	if err := await(t, cause, "end of the context"); !errors.Is(err, ErrGone) {
		t.Errorf("cause = %v, want ErrGone", err)
	}
}

// Clients that leave while their streams move end them, here or there.
func TestEventsClientGoneWhileMoving(t *testing.T) {
	t.Parallel()
	const n = 100
	a, b, h := twoHosts(t, EventOptions{}, tick(50*time.Microsecond))
	b.ended = a.ended
	s := serve(t, h)
	for i := range n {
		l := listen(t, s.URL)
		l.got.wait(1)
		if i%2 == 0 {
			go l.body.Close()
			a.drain(b)
		} else {
			a.drain(b)
			l.body.Close()
		}
		a.ended.wait(i + 1)
		a.stay()
	}
}

func TestEventsSlowClient(t *testing.T) {
	t.Parallel()
	result := make(chan error, 1)
	a := newHost(t)
	h := NewEventsWith(a, "k", EventOptions{WriteTimeout: 50 * time.Millisecond, Log: quiet}, func(e *Events, s *ticks) error {
		big := strings.Repeat("x", 256<<10)
		for {
			if err := e.SendData(big); err != nil {
				result <- err
				if e.Context().Err() == nil {
					t.Error("context goes on after a failed write")
				}
				return err
			}
		}
	})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) { h.Serve(w, r, ticks{}) })
	res, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := await(t, result, "write timeout"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Send = %v, want a time-out", err)
	}
}

// A client that reads slowly holds a move up but loses nothing.
func TestEventsMoveOfBlockedWrite(t *testing.T) {
	t.Parallel()
	const size, total = 1 << 20, 16
	blocked := newCounter(t)
	a, b, h := twoHosts(t, EventOptions{WriteTimeout: -1}, func(e *Events, s *ticks) error {
		for ; s.Next < total; s.Next++ {
			blocked.add()
			if err := e.SendData(strconv.Itoa(s.Next) + strings.Repeat("x", size)); err != nil {
				return err
			}
		}
		return nil
	})
	res, err := http.Get(serve(t, h).URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	blocked.wait(2)
	a.drain(b)
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("after %d bytes: %v", len(body), err)
	}
	var want strings.Builder
	for i := range total {
		fmt.Fprintf(&want, "data: %d%s\n\n", i, strings.Repeat("x", size))
	}
	if string(body) != want.String() {
		t.Errorf("body of %d bytes differs from what was sent, %d bytes", len(body), want.Len())
	}
	if b.resumed.value() != 1 {
		t.Error("the stream did not move")
	}
}

package topic

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

// read takes n messages and prints them as "id:topic=data".
func read(t *testing.T, s Subscription, n int) string {
	t.Helper()
	var out []string
	for range n {
		m, ok := <-s.C()
		if !ok {
			t.Fatalf("ended after %v: %v", out, s.Err())
		}
		out = append(out, fmt.Sprintf("%d:%s=%s", m.ID, m.Topic, m.Data))
	}
	select {
	case m, ok := <-s.C():
		t.Fatalf("one more than %d: %v, %v", n, m, ok)
	default:
	}
	return strings.Join(out, " ")
}

func TestSubscribe(t *testing.T) {
	h := New(Options{})
	defer h.Close()
	h.Publish("a", []byte("1"))
	h.Publish("b", []byte("2"))
	h.Publish("a", []byte("3"))
	for _, c := range []struct {
		topics []string
		after  int64
		want   string
		gap    bool
	}{
		{[]string{"a"}, -1, "", false},
		{[]string{"a"}, 0, "1:a=1 3:a=3", false},
		{[]string{"b", "a", "b"}, 0, "1:a=1 2:b=2 3:a=3", false},
		{[]string{"a", "b"}, 1, "2:b=2 3:a=3", false},
		{[]string{"a", "b"}, 3, "", false},
		{[]string{"a"}, 900, "1:a=1 3:a=3", true}, // a number of an earlier process
		{[]string{"c"}, 0, "", false},
		{nil, 0, "", false},
	} {
		s := h.Subscribe(c.topics, c.after)
		got := read(t, s, len(strings.Fields(c.want)))
		if got != c.want || s.Gap() != c.gap {
			t.Errorf("Subscribe(%v, %d): %q, gap %v; want %q, %v", c.topics, c.after, got, s.Gap(), c.want, c.gap)
		}
		s.Close()
	}
	if len(h.topics) != 2 {
		t.Errorf("%d topics are kept, want a and b", len(h.topics))
	}
	s := h.Subscribe([]string{"b", "a"}, -1)
	h.Publish("b", []byte("4"))
	h.Publish("c", []byte("5"))
	h.Publish("a", []byte("6"))
	if got, want := read(t, s, 2), "4:b=4 6:a=6"; got != want {
		t.Errorf("live: %q, want %q", got, want)
	}
}

func TestReplayIsBounded(t *testing.T) {
	h := New(Options{Replay: 3})
	defer h.Close()
	for i := range 10 {
		h.Publish("a", fmt.Append(nil, i))
	}
	for after, gap := range map[int64]bool{0: true, 6: true, 7: false, 9: false} {
		s := h.Subscribe([]string{"a"}, after)
		if s.Gap() != gap {
			t.Errorf("Gap() after %d = %v, want %v", after, s.Gap(), gap)
		}
		s.Close()
	}
	s := h.Subscribe([]string{"a"}, 0)
	if got, want := read(t, s, 3), "8:a=7 9:a=8 10:a=9"; got != want {
		t.Errorf("replay %q, want %q", got, want)
	}

	none := New(Options{Replay: -1})
	defer none.Close()
	none.Publish("a", nil)
	if s := none.Subscribe([]string{"a"}, 0); len(s.C()) != 0 || !s.Gap() || len(none.kept) != 0 {
		t.Errorf("without replay: %d messages, gap %v, %d kept", len(s.C()), s.Gap(), len(none.kept))
	}
}

func TestSlowSubscriberIsEnded(t *testing.T) {
	h := New(Options{Buffer: 4})
	defer h.Close()
	slow, other := h.Subscribe([]string{"a", "b"}, -1), h.Subscribe([]string{"a"}, -1)
	for i := range 6 {
		h.Publish("a", fmt.Append(nil, i))
		<-other.C()
	}
	var got int
	for range slow.C() {
		got++
	}
	if got != 4 || !errors.Is(slow.Err(), ErrSlow) {
		t.Errorf("the slow one read %d and ended with %v, want 4 and ErrSlow", got, slow.Err())
	}
	if other.Err() != nil {
		t.Errorf("the other one ended: %v", other.Err())
	}
	slow.Close() // no effect any more
	if !errors.Is(slow.Err(), ErrSlow) {
		t.Errorf("Err() = %v after Close, want ErrSlow", slow.Err())
	}
	if len(h.topics["a"].subs) != 1 || h.topics["b"] != nil {
		t.Errorf("the ended subscriber is still in its topics: %+v", h.topics)
	}
}

func TestClose(t *testing.T) {
	h := New(Options{First: 1000})
	if id := h.Publish("a", nil); id != 1000 {
		t.Errorf("first number %d, want 1000", id)
	}
	s := h.Subscribe([]string{"a"}, 0)
	h.Close()
	h.Close()
	if m, ok := <-s.C(); !ok || m.ID != 1000 {
		t.Errorf("what was in the buffer is gone: %v, %v", m, ok)
	}
	if _, ok := <-s.C(); ok || !errors.Is(s.Err(), ErrClosed) {
		t.Errorf("open after Close: %v", s.Err())
	}
	s.Close()
	late := h.Subscribe([]string{"a"}, 0)
	if _, ok := <-late.C(); ok || !errors.Is(late.Err(), ErrClosed) || h.Publish("a", nil) != 0 {
		t.Error("a closed hub goes on")
	}
}

// A script that makes up a topic per message, and messages of all sizes: the
// account stays right and within its bound.
func TestMemoryIsBounded(t *testing.T) {
	const limit = 100_000
	h := New(Options{Bytes: limit, Replay: 5})
	defer h.Close()
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 50_000 {
		name := fmt.Sprint("topic", i)
		if r.IntN(2) == 0 {
			name = fmt.Sprint("topic", r.IntN(20))
		}
		h.Publish(name, make([]byte, r.IntN(300)))
		if i%1000 == 0 {
			h.Publish(name, make([]byte, limit))
		}
	}
	var bytes int64
	var messages, live int
	for name, ch := range h.topics {
		for _, m := range ch.recent {
			bytes += cost(m)
			messages++
		}
		if len(ch.recent) == 0 {
			t.Errorf("topic %s is empty and kept", name)
		}
	}
	for _, k := range h.kept {
		if h.holds(k) {
			live++
		}
	}
	if bytes != h.bytes || bytes > limit {
		t.Errorf("%d bytes are kept, accounted as %d, limit %d", bytes, h.bytes, limit)
	}
	if live != messages || h.stale != len(h.kept)-live || len(h.kept) > 3*messages {
		t.Errorf("%d messages, %d entries, %d of them live, %d accounted as stale", messages, len(h.kept), live, h.stale)
	}
}

func TestConcurrentUse(t *testing.T) {
	h := New(Options{Buffer: 8})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 500 {
				h.Publish(fmt.Sprint("t", n%5), []byte("x"))
			}
		})
		wg.Go(func() {
			for n := range 100 {
				s := h.Subscribe([]string{fmt.Sprint("t", i), fmt.Sprint("t", n%5)}, int64(n))
				last := int64(n)
				for range 3 {
					if m, ok := <-s.C(); ok {
						if m.ID <= last {
							t.Errorf("number %d after %d", m.ID, last)
						}
						last = m.ID
					} else {
						break
					}
				}
				s.Close()
			}
		})
	}
	done := make(chan struct{})
	go func() { // keeps readers from waiting for ever
		defer close(done)
		for n := 0; ; n++ {
			if h.Publish(fmt.Sprint("t", n%5), nil) == 0 {
				return
			}
		}
	}()
	wg.Wait()
	h.Close()
	<-done
}

func BenchmarkPublish(b *testing.B) {
	h := New(Options{})
	defer h.Close()
	for range 25 {
		s := h.Subscribe([]string{"a"}, -1)
		go func() {
			for range s.C() {
			}
		}()
	}
	data := []byte(`{"id":1}`)
	b.ReportAllocs()
	for b.Loop() {
		h.Publish("a", data)
	}
}

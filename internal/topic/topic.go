// Package topic hands messages from those who emit them to those who listen,
// by topic, within one process.
//
// Start with [New]; [Hub.Publish] never waits for a subscriber, and
// [Hub.Subscribe] replays the latest messages to one that comes back with the
// number of the last it saw. Everything is bounded: a subscriber that falls
// more than its buffer behind is ended and told so, a topic keeps its latest
// messages only, and all topics together keep a number of bytes.
//
// All methods are safe for concurrent use.
package topic

import (
	"cmp"
	"errors"
	"slices"
	"sync"
)

// Options configures a [Hub]. The zero value is ready to use.
type Options struct {
	Buffer int   // messages a subscriber may be behind; zero means 256
	Replay int   // messages kept of each topic; zero means 128, negative none
	Bytes  int64 // kept of all topics, names counted; zero means 16 MiB
	First  int64 // number of the first message; zero means 1. See Message.ID.
}

// A Message is what was published.
type Message struct {
	// ID increases with every message of the hub. A program that wants numbers
	// that go on to increase after a restart sets Options.First to a clock.
	ID    int64
	Topic string
	Data  []byte // shared with other subscribers: not to be changed
}

// Why a subscription ended.
var (
	// ErrSlow means that the subscriber fell further behind than its buffer.
	ErrSlow = errors.New("the subscriber reads too slowly")
	// ErrClosed means that the subscription or its hub was closed.
	ErrClosed = errors.New("closed")
)

// A Hub knows the topics and who listens to them. Make one with [New].
type Hub struct {
	opt Options

	mu     sync.Mutex
	next   int64
	closed bool
	topics map[string]*channel
	kept   []kept // in the order of publishing; entries that left their topic are stale
	stale  int    // of kept
	bytes  int64  // of the messages that topics hold
	lost   int64  // the highest number that a forgotten topic let go
}

// channel is one topic.
type channel struct {
	recent []Message // at most Options.Replay, oldest first
	lost   int64     // the highest number no longer in recent; 0 for none
	subs   map[*subscriber]struct{}
}

// kept says which topic a message that may be replayed belongs to.
type kept struct {
	id    int64
	topic string
}

type subscriber struct {
	hub    *Hub
	c      chan Message
	topics []string
	gap    bool
	err    error // guarded by hub.mu; nil while it lives
}

// A Subscription receives the messages of some topics. It is a handle: copies
// are the same subscription.
type Subscription struct{ s *subscriber }

// New returns a hub without topics.
func New(opt Options) *Hub {
	if opt.Buffer <= 0 {
		opt.Buffer = 256
	}
	if opt.Replay == 0 {
		opt.Replay = 128
	}
	if opt.Bytes == 0 {
		opt.Bytes = 16 << 20
	}
	return &Hub{opt: opt, next: max(opt.First, 1), topics: make(map[string]*channel)}
}

// Publish hands data to the subscribers of a topic, keeps it for replay, and
// returns its number. It keeps data: the caller does not change it any more.
// After Close it returns 0 and does nothing.
func (h *Hub) Publish(topic string, data []byte) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return 0
	}
	m := Message{ID: h.next, Topic: topic, Data: data}
	h.next++
	ch := h.channel(topic)
	h.keep(ch, m)
	for s := range ch.subs {
		select {
		case s.c <- m:
		default:
			h.end(s, ErrSlow)
		}
	}
	h.forget(topic)
	return m.ID
}

// Subscribe listens to the topics. Messages of theirs with a number above after
// that are still kept come first, in order; a negative after asks for new ones
// only. The caller closes the subscription. On a closed hub it is ended from
// the start.
func (h *Hub) Subscribe(topics []string, after int64) Subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &subscriber{hub: h, topics: slices.Compact(slices.Sorted(slices.Values(topics)))}
	if h.closed {
		s.c, s.err = make(chan Message), ErrClosed
		close(s.c)
		return Subscription{s}
	}
	var past []Message
	if after >= 0 {
		past = h.after(s, after)
	}
	s.c = make(chan Message, len(past)+h.opt.Buffer)
	for _, m := range past {
		s.c <- m
	}
	for _, name := range s.topics {
		h.channel(name).subs[s] = struct{}{}
	}
	return Subscription{s}
}

// after returns the kept messages for s above a number, and notes in s whether
// others are gone. A number the hub never gave is one of an earlier process:
// all that is kept comes after it. h.mu is held.
func (h *Hub) after(s *subscriber, after int64) []Message {
	s.gap = after >= h.next || h.lost > after
	if after >= h.next {
		after = 0
	}
	var past []Message
	for _, name := range s.topics {
		ch := h.topics[name]
		if ch == nil {
			continue
		}
		s.gap = s.gap || ch.lost > after
		for i, m := range ch.recent {
			if m.ID > after {
				past = append(past, ch.recent[i:]...)
				break
			}
		}
	}
	slices.SortFunc(past, func(a, b Message) int { return cmp.Compare(a.ID, b.ID) })
	return past
}

// Close ends every subscription. Later calls of Publish do nothing. It may be
// called twice.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, ch := range h.topics {
		for s := range ch.subs {
			h.end(s, ErrClosed)
		}
	}
	h.topics, h.kept, h.stale, h.bytes = nil, nil, 0, 0
}

// end takes s out of its topics and closes its channel. h.mu is held.
func (h *Hub) end(s *subscriber, why error) {
	if s.err != nil {
		return
	}
	s.err = why
	close(s.c)
	for _, name := range s.topics {
		if ch := h.topics[name]; ch != nil {
			delete(ch.subs, s)
			h.forget(name)
		}
	}
}

// C returns the channel of messages. It is closed when the subscription ends;
// what was in the buffer then can still be read.
func (s Subscription) C() <-chan Message { return s.s.c }

// Gap reports whether messages between the number given to Subscribe and the
// first one replayed are, or may be, lost.
func (s Subscription) Gap() bool { return s.s.gap }

// Err returns why the subscription ended: ErrSlow or ErrClosed. It is nil while
// it has not.
func (s Subscription) Err() error {
	s.s.hub.mu.Lock()
	defer s.s.hub.mu.Unlock()
	return s.s.err
}

// Close ends the subscription. It may be called twice.
func (s Subscription) Close() {
	s.s.hub.mu.Lock()
	defer s.s.hub.mu.Unlock()
	s.s.hub.end(s.s, ErrClosed)
}

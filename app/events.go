package app

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// keptEvents is how many past events of each type a late subscriber can still
// read. Each type has room of its own: a busy log does not push out the updates.
const keptEvents = 512

// Events is a bounded log of what happened, with live subscriptions. It is safe
// for concurrent use; the zero value is ready.
type Events struct {
	mu   sync.Mutex
	last int64
	kept map[string][]Event // by type; at most keptEvents each, oldest first
	subs map[*Subscription]struct{}
}

// A Subscription receives events. A subscriber that falls more than its buffer
// behind is ended: its channel is closed and Lagged reports true; it may
// subscribe again after the last event it saw.
type Subscription struct {
	C <-chan Event

	events *Events
	c      chan Event
	lagged bool // guarded by events.mu
}

// Publish numbers e, stamps its time when that is zero, and hands it to every
// subscriber without blocking. It returns the event's number.
func (s *Events) Publish(e Event) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	e.ID = s.last
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if s.kept == nil {
		s.kept = make(map[string][]Event)
	}
	ring := s.kept[e.Type]
	if len(ring) >= keptEvents {
		n := copy(ring, ring[keptEvents/4:])
		clear(ring[n:]) // their data may hold much
		ring = ring[:n]
	}
	s.kept[e.Type] = append(ring, e)
	for sub := range s.subs {
		select {
		case sub.c <- e:
		default:
			sub.lagged = true
			s.drop(sub)
		}
	}
	return e.ID
}

// Subscribe returns a subscription to the events after number after; those that
// are still kept are delivered first. A negative after means only new events.
// The caller must Close the subscription.
func (s *Events) Subscribe(after int64) *Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	var past []Event
	if after >= 0 {
		past = s.past(func(e Event) bool { return e.ID > after })
	}
	c := make(chan Event, len(past)+256)
	for _, e := range past {
		c <- e
	}
	sub := &Subscription{C: c, c: c, events: s}
	if s.subs == nil {
		s.subs = make(map[*Subscription]struct{})
	}
	s.subs[sub] = struct{}{}
	return sub
}

// Recent returns the last n events that keep reports true for, oldest first. A
// nil keep takes all.
func (s *Events) Recent(n int, keep func(Event) bool) []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	if keep == nil {
		keep = func(Event) bool { return true }
	}
	out := s.past(keep)
	return out[max(len(out)-n, 0):]
}

// past returns the kept events that keep reports true for, in order. s.mu is held.
func (s *Events) past(keep func(Event) bool) []Event {
	var out []Event
	for _, ring := range s.kept {
		for _, e := range ring {
			if keep(e) {
				out = append(out, e)
			}
		}
	}
	slices.SortFunc(out, func(a, b Event) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// drop ends a subscription. s.mu is held.
func (s *Events) drop(sub *Subscription) {
	if _, ok := s.subs[sub]; ok {
		delete(s.subs, sub)
		close(sub.c)
	}
}

// Close ends the subscription and closes its channel. It may be called twice.
func (sub *Subscription) Close() {
	sub.events.mu.Lock()
	defer sub.events.mu.Unlock()
	sub.events.drop(sub)
}

// Lagged reports whether the subscription was ended because it fell behind.
func (sub *Subscription) Lagged() bool {
	sub.events.mu.Lock()
	defer sub.events.mu.Unlock()
	return sub.lagged
}

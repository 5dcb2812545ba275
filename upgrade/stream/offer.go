package stream

import (
	"sync"
	"time"
)

// recheck is how often a call that blocks asks for a new channel after a move
// has failed. It is no deadline: calls that don't block ask each time.
const recheck = time.Second

// offer says when a connection is to move, during one call of run.
type offer struct {
	c       Conn            // nil: never
	refused <-chan struct{} // the channel whose move failed

	mu    sync.Mutex
	given <-chan struct{} // the last that channel returned
	told  bool            // an earlier one was closed
}

// channel is closed when the connection is to move; nil: not for now.
func (o *offer) channel() <-chan struct{} {
	if o.c == nil {
		return nil
	}
	ch := o.c.Moving()
	if ch == o.refused {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if ch != o.given {
		o.told = o.told || closed(o.given)
		o.given = ch
	}
	return ch
}

// stands reports whether the connection is to move now.
func (o *offer) stands() bool { return closed(o.channel()) }

// made reports whether the connection was to move at some time, even if the
// process has changed its mind since: then run was right to return.
func (o *offer) made() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.told || closed(o.given)
}

// next is the offer for the next call of run; refused is the channel of a move
// that failed, nil if none did.
func (o *offer) next(refused <-chan struct{}) *offer {
	if refused == nil {
		refused = o.refused
	}
	return &offer{c: o.c, refused: refused}
}

// again fires when channel should be asked again.
func (o *offer) again() <-chan time.Time {
	if o.refused == nil {
		return nil
	}
	return time.After(recheck)
}

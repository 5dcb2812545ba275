package stream

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

// past interrupts a blocked read.
var past = time.Unix(1, 0)

// watcher notices that the client of an event stream leaves. What the client
// sends is discarded: the response said that the connection closes after it.
type watcher struct {
	c    Conn
	quit chan struct{}
	done chan struct{}
	once sync.Once
}

// watch starts a watcher that calls end when the client is gone.
func watch(c Conn, end context.CancelCauseFunc) *watcher {
	w := &watcher{c: c, quit: make(chan struct{}), done: make(chan struct{})}
	go w.loop(end)
	return w
}

func (w *watcher) loop(end context.CancelCauseFunc) {
	defer close(w.done)
	buf := make([]byte, 512)
	for !closed(w.quit) {
		if _, err := w.c.Read(buf); err != nil {
			if !interrupted(w.quit, err) {
				end(gone(err))
			}
			return
		}
	}
}

// stop ends the watcher and waits for it. The connection is as it was.
func (w *watcher) stop() { w.once.Do(func() { halt(w.c, w.quit, w.done) }) }

// halt ends the goroutine that reads c until quit is closed, waits for it, and
// leaves c without a read deadline.
func halt(c Conn, quit, done chan struct{}) {
	close(quit)
	// An error means that the connection is closed, and then reads end too.
	_ = c.SetReadDeadline(past)
	<-done
	_ = c.SetReadDeadline(time.Time{})
}

// interrupted reports whether a read failed because of halt.
func interrupted(quit <-chan struct{}, err error) bool {
	return closed(quit) && errors.Is(err, os.ErrDeadlineExceeded)
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

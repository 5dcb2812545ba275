package admin

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/theseus-run/theseus/app"
)

const (
	replayKeep  = 24 * time.Hour
	replayLimit = 1000 // keys
)

// replays remembers how requests with an idempotency key ended, so that one that
// is sent again is not done again. It is safe for concurrent use.
type replays struct {
	limit  int
	life   context.Context // of the requests under way; ends with close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	entries map[string]*list.Element // of order, by key
	order   *list.List               // of *replay, least recently used first
}

// replay is one request. What follows done is written before it is closed.
type replay struct {
	key   string
	print string
	start time.Time
	done  chan struct{}

	update app.Update
	err    error
}

func newReplays() *replays {
	life, cancel := context.WithCancel(context.Background())
	return &replays{limit: replayLimit, life: life, cancel: cancel, entries: make(map[string]*list.Element), order: list.New()}
}

// do runs fn for the first request with a key, and waits for it until ctx ends;
// fn goes on. Later requests wait for the same result. A request that was
// neither done nor refused is forgotten and may be made again. A key that stands
// for a request with another print is errKeyReused.
func (c *replays) do(ctx context.Context, key, print string, fn func(context.Context) (app.Update, error)) (u app.Update, replayed bool, err error) {
	r, first, err := c.claim(key, print)
	if err != nil {
		return app.Update{}, false, err
	}
	if first {
		go c.run(context.WithoutCancel(ctx), r, fn)
	}
	select {
	case <-r.done:
		return r.update, !first, r.err
	case <-ctx.Done():
		return app.Update{}, false, fmt.Errorf("the change goes on; ask again with the same key: %w", ctx.Err())
	}
}

// claim finds the request with the key, or enters a new one and counts it in wg.
func (c *replays) claim(key, print string) (r *replay, first bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, false, errClosing
	}
	now := time.Now()
	if at, ok := c.entries[key]; ok {
		r := at.Value.(*replay)
		if now.Sub(r.start) < replayKeep || !r.ended() {
			if r.print != print {
				return nil, false, errKeyReused
			}
			c.order.MoveToBack(at)
			return r, false, nil
		}
		c.drop(at)
	}
	if !c.makeRoom(now) {
		return nil, false, errBusy
	}
	r = &replay{key: key, print: print, start: now, done: make(chan struct{})}
	c.entries[key] = c.order.PushBack(r)
	c.wg.Add(1)
	return r, true, nil
}

// run carries out a request and publishes its result.
func (c *replays) run(ctx context.Context, r *replay, fn func(context.Context) (app.Update, error)) {
	defer c.wg.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.life, cancel)()
	r.update, r.err = guarded(ctx, fn)
	if refused := (*app.RefusedError)(nil); r.err != nil && !errors.As(r.err, &refused) {
		c.mu.Lock()
		if at, ok := c.entries[r.key]; ok && at.Value == r {
			c.drop(at)
		}
		c.mu.Unlock()
	}
	close(r.done)
}

// guarded turns a panic of fn into an error: it has no caller to panic to.
func guarded(ctx context.Context, fn func(context.Context) (app.Update, error)) (u app.Update, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the change panicked: %v", v)
		}
	}()
	return fn(ctx)
}

// makeRoom drops what is too old or, beyond the limit, least recently used, but
// never what is under way. It reports whether one more fits. c.mu is held.
func (c *replays) makeRoom(now time.Time) bool {
	for at := c.order.Front(); at != nil; {
		next := at.Next()
		r := at.Value.(*replay)
		if r.ended() && (c.order.Len() >= c.limit || now.Sub(r.start) >= replayKeep) {
			c.drop(at)
		}
		at = next
	}
	return c.order.Len() < c.limit
}

// drop forgets a request. c.mu is held.
func (c *replays) drop(at *list.Element) {
	delete(c.entries, at.Value.(*replay).key)
	c.order.Remove(at)
}

func (r *replay) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// close cancels what is under way and waits for it.
func (c *replays) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
}

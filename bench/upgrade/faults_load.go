package main

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"
)

// A miss is a request that failed, with what it takes to find out whose doing it was.
type miss struct {
	Failure
	port  int // of the client; 0 if it did not come to a connection
	began time.Time
	ended time.Time
}

func (m *miss) String() string {
	return fmt.Sprintf("%s: %v (from port %d, %s to %s)", m.Client, m.Err, m.port,
		m.began.Format("15:04:05.000"), m.ended.Format("15:04:05.000"))
}

// A meter applies a small load to a subject and keeps what fails, with the port
// that the client had. No client sends a request again. Its clients:
//
//	keep   POST on a connection that is kept, without looking whether it was closed
//	fresh  POST on a new connection each time
//	slow   ask for answers that take 200 ms, without a pause
type meter struct {
	addr   string
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex
	requests int
	misses   []miss
}

// A crowd says how many clients there are and what each pauses between requests.
type crowd struct {
	keep, fresh, slow int
	pause             time.Duration
}

var (
	busy  = crowd{keep: 8, fresh: 3, slow: 2, pause: 40 * time.Millisecond}
	quiet = crowd{fresh: 5, pause: 500 * time.Millisecond} // the look that every service is given
)

// measure applies load until it is stopped.
func measure(ctx context.Context, addr string, c crowd) *meter {
	ctx, cancel := context.WithCancel(ctx)
	m := &meter{addr: addr, cancel: cancel}
	for i := range c.keep + c.fresh {
		name := "keep"
		if i >= c.keep {
			name = "fresh"
		}
		m.wg.Go(func() {
			cl := newClient(addr)
			defer cl.close()
			sleep(ctx, c.pause*time.Duration(i)/time.Duration(c.keep+c.fresh))
			for n := 0; ctx.Err() == nil; n++ {
				m.request(cl, name, "/", payload(n))
				if name == "fresh" {
					cl.close()
				}
				sleep(ctx, c.pause)
			}
		})
	}
	for range c.slow {
		m.wg.Go(func() {
			cl := newClient(addr)
			defer cl.close()
			for ctx.Err() == nil {
				if m.request(cl, "slow", "/slow?ms=200", nil) != nil {
					sleep(ctx, retryAfter)
				}
			}
		})
	}
	return m
}

// stop ends the load; requests under way end first.
func (m *meter) stop() {
	m.cancel()
	m.wg.Wait()
}

// request sends one request and takes down how it went.
func (m *meter) request(c *client, name, path string, body []byte) *Failure {
	began, port := time.Now(), 0
	f := c.connect(context.Background(), began.Add(requestLimit))
	if f == nil {
		port = clientPort(c)
		var a *answer
		if a, f = c.do(context.Background(), path, body); f == nil && body != nil && !bytes.Equal(a.body, body) {
			f = wrongEcho(a, c.last)
			c.close()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests++
	if f != nil {
		f.Client = name
		m.misses = append(m.misses, miss{*f, port, began, time.Now()})
	}
	return f
}

// seen returns what there is so far.
func (m *meter) seen() (requests int, misses []miss) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.requests, append([]miss(nil), m.misses...)
}

// holderOf returns the process that had the connection of a client last before a
// moment; 0 if none says that it had it.
func holderOf(list []holder, port int, before time.Time) int {
	var latest holder
	for _, h := range list {
		if h.port == port && !h.at.After(before) && h.at.After(latest.at) {
			latest = h
		}
	}
	return latest.pid
}

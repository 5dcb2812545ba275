package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/theseus-run/theseus/internal/load"
)

// window is the load of those who only look: nothing they do is kept in the data
// of scripts, of which the old process and the one on probation have a copy each.
func window() load.Profile {
	return load.Profile{Session: func(n int) load.Session { return &looker{next: n} }}
}

var looks = []string{"/products", "/products/rope", "/price/rope?qty=12", "/stock", "/version", "/"}

type looker struct{ next int }

// Next implements [load.Session].
func (l *looker) Next(*rand.Rand) load.Step {
	l.next++
	return load.Step{Method: "GET", Path: looks[l.next%len(looks)], Check: func(r *load.Response) error {
		if r.Status != http.StatusOK {
			return fmt.Errorf("status %d", r.Status)
		}
		return nil
	}}
}

// A kept is an open connection that is idle between requests and never opened
// again: when the process that accepted it has ended and it still answers, it has
// moved to another one.
type kept struct {
	conn net.Conn
	in   *bufio.Reader
}

// keep opens connections and sends a request on each.
func keep(ctx context.Context, host string, n int) (list []*kept, err error) {
	for range n {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", host)
		if err != nil {
			closeKept(list)
			return nil, err
		}
		list = append(list, &kept{conn, bufio.NewReader(conn)})
	}
	if _, err := askKept(list); err != nil {
		closeKept(list)
		return nil, err
	}
	return list, nil
}

// askKept sends a request on each connection, and returns how many were answered,
// and an error of one that was not.
func askKept(list []*kept) (answered int, err error) {
	errs := make(chan error, len(list))
	for _, k := range list {
		go func() { errs <- k.ask() }()
	}
	for range list {
		switch e := <-errs; {
		case e == nil:
			answered++
		case err == nil:
			err = e
		}
	}
	return answered, err
}

// ask sends a request that net/http would not send twice, and reads its answer.
func (k *kept) ask() error {
	_ = k.conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(k.conn, "GET /version HTTP/1.1\r\nHost: shop\r\n\r\n"); err != nil {
		return err
	}
	r, err := http.ReadResponse(k.in, nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r.Body)
	r.Body.Close()
	switch {
	case err != nil:
		return err
	case r.StatusCode != http.StatusOK:
		return fmt.Errorf("status %s", r.Status)
	case r.Close:
		return errors.New("the server wants the connection closed")
	}
	return nil
}

func closeKept(list []*kept) {
	for _, k := range list {
		k.conn.Close()
	}
}

// listeners hold event streams open, and open those again that the server ends.
type listeners struct {
	url    string
	client *http.Client
	wg     sync.WaitGroup

	mu    sync.Mutex
	state listening
}

// listening counts.
type listening struct {
	open     int
	ended    int           // by the server, in order
	returned int           // of those, open again
	away     time.Duration // the longest that one took to be open again
	messages int64
	errors   []string // streams that broke, and numbers that were missing
}

// listen opens n streams that stay open until ctx ends; then wait is to be called.
func listen(ctx context.Context, url string, n int) *listeners {
	l := &listeners{url: url, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	for range n {
		l.wg.Go(func() { l.run(ctx) })
	}
	return l
}

func (l *listeners) wait() { l.wg.Wait() }

// now returns the counts.
func (l *listeners) now() listening {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state
}

func (l *listeners) count(f func(*listening)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(&l.state)
}

// run holds one stream open.
func (l *listeners) run(ctx context.Context) {
	var ended time.Time // zero for a stream that has not been open yet
	for ctx.Err() == nil {
		open, err := l.hold(ctx, ended)
		if ctx.Err() != nil {
			return
		}
		ended = time.Now()
		l.count(func(s *listening) {
			if open {
				s.open--
			}
			if err == nil {
				s.ended++
				return
			}
			if len(s.errors) < 10 {
				s.errors = append(s.errors, err.Error())
			}
		})
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
}

// hold reads one stream to its end; nil means that the server ended it in order.
func (l *listeners) hold(ctx context.Context, before time.Time) (open bool, err error) {
	req, err := http.NewRequestWithContext(ctx, "GET", l.url, nil)
	if err != nil {
		return false, err
	}
	req.Header.Set("Accept", "text/event-stream")
	r, err := l.client.Do(req)
	if err != nil {
		return false, err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return false, fmt.Errorf("GET %s: status %s", l.url, r.Status)
	}
	last := int64(0)
	for in := bufio.NewScanner(r.Body); ; {
		if !in.Scan() {
			return open, in.Err()
		}
		if !open {
			open = true
			l.opened(before)
		}
		id, ok := strings.CutPrefix(in.Text(), "id: ")
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil || last > 0 && n != last+1 {
			return open, fmt.Errorf("message %q of a stream after message %d", id, last)
		}
		last = n
		l.count(func(s *listening) { s.messages++ })
	}
}

// opened counts a stream that has begun to send.
func (l *listeners) opened(before time.Time) {
	l.count(func(s *listening) {
		s.open++
		if !before.IsZero() {
			s.returned++
			s.away = max(s.away, time.Since(before))
		}
	})
}

//go:build linux

package upgrade

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A visitor is a client that never retries; it keeps its connection while it may.
type visitor struct {
	in *instance
	c  net.Conn
	r  *bufio.Reader
}

func (v *visitor) dial() error {
	if v.c != nil {
		return nil
	}
	c, err := net.Dial(v.in.config.Network, v.in.addr)
	if err != nil {
		return err
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	v.c, v.r = c, bufio.NewReader(c)
	return nil
}

func (v *visitor) hangUp() {
	if v.c != nil {
		v.c.Close()
		v.c = nil
	}
}

// answer reads n answers and wants each to be ok.
func (v *visitor) answer(n int, ok func(string) bool) error {
	for i := range n {
		resp, err := http.ReadResponse(v.r, nil)
		if err == nil && resp.StatusCode == http.StatusContinue {
			resp, err = http.ReadResponse(v.r, nil)
		}
		if err != nil {
			return fmt.Errorf("answer %d: %w", i, err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || !ok(string(text)) {
			return fmt.Errorf("answer %d: %s, %d bytes, %v", i, resp.Status, len(text), err)
		}
		if resp.Close {
			v.hangUp()
			if i < n-1 {
				return fmt.Errorf("closed after answer %d of %d", i+1, n)
			}
		}
	}
	v.pause()
	return nil
}

func (v *visitor) pause() { time.Sleep(time.Duration(rand.IntN(20_000)) * time.Microsecond) }

func (v *visitor) say(pieces ...string) error {
	for i, p := range pieces {
		if i > 0 {
			v.pause()
		}
		if _, err := io.WriteString(v.c, p); err != nil {
			return err
		}
	}
	return nil
}

func hello(text string) bool { return text == "hello" }
func whatever(string) bool   { return true }

// visits are the kinds of requests that clients make.
var visits = map[string]func(v *visitor) error{
	"POST": func(v *visitor) error {
		return errors.Join(v.say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"), v.answer(1, hello))
	},
	"HTTP/1.0": func(v *visitor) error {
		return errors.Join(v.say("POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello"), v.answer(1, hello))
	},
	"HTTP/1.0 once": func(v *visitor) error {
		defer v.hangUp()
		return errors.Join(v.say("GET / HTTP/1.0\r\n\r\n"), v.answer(1, whatever))
	},
	"Expect": func(v *visitor) error {
		return errors.Join(v.say("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", "hello"), v.answer(1, hello))
	},
	"trickled": func(v *visitor) error {
		return errors.Join(v.say("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chu", "nked\r\n\r\n", "2\r\nhe\r\n", "3", "\r\nllo\r\n", "0\r\n\r\n"), v.answer(1, hello))
	},
	"slow head": func(v *visitor) error {
		return errors.Join(v.say("P", "OST / HTT", "P/1.1\r\nHost: x\r\nContent-Length: 5\r\n", "\r\n", "hello"), v.answer(1, hello))
	},
	"big": func(v *visitor) error {
		return errors.Join(v.say("GET /big?n=16 HTTP/1.1\r\nHost: x\r\n\r\n"), v.answer(1, func(s string) bool { return len(s) == 16*32<<10 }))
	},
	"half-closed": func(v *visitor) error {
		defer v.hangUp()
		return errors.Join(v.say("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"), v.c.(*net.TCPConn).CloseWrite(), v.answer(1, hello))
	},
	"never sends": func(v *visitor) error {
		defer v.hangUp()
		v.pause()
		return nil
	},
	"a request per connection": func(v *visitor) error {
		defer v.hangUp()
		return errors.Join(v.say("POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"), v.answer(1, hello))
	},
	"pipelined": func(v *visitor) error {
		one := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
		return errors.Join(v.say(one+one+one[:20], one[20:]), v.answer(3, hello))
	},
}

// crowd lets n clients of each kind visit until the returned function is called,
// which says how many visits there were.
func (in *instance) crowd(n int, kinds ...string) func() int64 {
	var stop atomic.Bool
	var served atomic.Int64
	var wg sync.WaitGroup
	for _, kind := range kinds {
		for range n {
			wg.Go(func() {
				v := &visitor{in: in}
				defer v.hangUp()
				for !stop.Load() {
					err := v.dial()
					if err == nil {
						v.c.SetDeadline(time.Now().Add(time.Minute))
						err = visits[kind](v)
					}
					if err != nil {
						in.t.Errorf("%s: %v", kind, err)
						return
					}
					served.Add(1)
				}
			})
		}
	}
	return func() int64 {
		stop.Store(true)
		wg.Wait()
		return served.Load()
	}
}

// Clients of all kinds do not notice upgrades, with the time-outs of the server set
// and without.
func TestClients(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]lab{
		"no time-outs":  {},
		"time-outs":     {ReadTimeout: time.Minute, ReadHeaderTimeout: time.Minute, IdleTimeout: time.Minute},
		"read time-out": {ReadTimeout: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := startService(t, config{Probation: 50 * time.Millisecond, Lab: b})
			var kinds []string
			for k := range visits {
				kinds = append(kinds, k)
			}
			end := in.crowd(2, kinds...)
			for range upgradesFor(6) {
				in.swap()
			}
			t.Logf("%d visits", end())
		})
	}
}

func upgradesFor(n int) int {
	if testing.Short() {
		return 2
	}
	return n
}

// Two hundred clients send at any moment of twenty upgrades.
func TestHammer(t *testing.T) {
	t.Parallel()
	n := 200
	if testing.Short() {
		n = 20
	}
	in := startService(t, config{Probation: 50 * time.Millisecond})
	end := in.crowd(n, "POST")
	for range upgradesFor(20) {
		if _, err := in.upgrade(""); err != nil {
			t.Error(err)
		}
		old := in.pid()
		waitFor(t, "the commit", func() bool { return in.pid() != old || len(descendants(t, in)) == 1 })
	}
	t.Logf("%d visits", end())
}

// The server's time-outs hold for connections that moved, and for those that could
// not.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	second := free.Addr().String()
	free.Close()
	in := startService(t, config{Drain: time.Hour, Idle: time.Hour, Lab: lab{IdleTimeout: 3 * time.Second, Named: []string{"second|tcp|" + second}}})
	moved := in.dial()
	other := *in
	other.addr = second
	stays, fresh := other.dial(), other.dial()
	for _, c := range []*rawClient{moved, stays} {
		c.send(getRoot)
		c.answer()
	}
	in.set(func(c *config) { c.Lab.Named = nil })
	old := in.pid()
	r, err := in.upgrade("")
	if err != nil {
		t.Fatal(err)
	}
	moved.moves(fmt.Sprint(r.PID))
	for what, c := range map[string]*rawClient{"moved": moved, "stays": stays} {
		c.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := c.r.ReadByte(); err != io.EOF {
			t.Errorf("%s: %v, want the end of an idle connection", what, err)
		}
	}
	fresh.Close()
	waitFor(t, "the old process to end", func() bool { return !alive(old) })
}

// HTTP/2 streams, with TLS and without, end as they should over ten upgrades, and
// no request fails.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint("TLS=", secure), func(t *testing.T) {
			t.Parallel()
			in := startService(t, config{Probation: 50 * time.Millisecond, TLS: secure, Idle: time.Second})
			protocols := new(http.Protocols)
			protocols.SetHTTP2(secure)
			protocols.SetUnencryptedHTTP2(!secure)
			tr := &http.Transport{Protocols: protocols, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, "tcp", in.addr)
				}}
			defer tr.CloseIdleConnections()
			client := &http.Client{Transport: tr, Timeout: time.Minute}
			url := map[bool]string{false: "http://service", true: "https://service"}[secure]
			var stop atomic.Bool
			var served [2]atomic.Int64
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					for !stop.Load() {
						if err := stream(client, url, i%2 == 0); err != nil {
							t.Errorf("stream %v: %v", i%2 == 0, err)
							return
						}
						served[i%2].Add(1)
					}
				})
			}
			for range upgradesFor(10) {
				old := in.pid()
				syscall.Kill(old, syscall.SIGUSR2)
				waitFor(t, "the upgrade", func() bool { return in.pid() != old })
			}
			stop.Store(true)
			wg.Wait()
			t.Logf("%d streams, %d requests", served[0].Load(), served[1].Load())
		})
	}
}

// stream gets a stream of 30 ticks, or posts a small body.
func stream(client *http.Client, url string, long bool) error {
	if !long {
		resp, err := client.Post(url+"/", "", strings.NewReader("hello"))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || string(text) != "hello" || resp.ProtoMajor != 2 {
			return fmt.Errorf("%q %s %v", text, resp.Proto, err)
		}
		time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
		return nil
	}
	resp, err := client.Get(url + "/ticks?n=30")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if lines := strings.Count(string(text), "\n"); err != nil || lines != 30 {
		return fmt.Errorf("%d lines, %v", lines, err)
	}
	return nil
}

// A process that is killed leaves no zombie in the one that started it.
func TestZombies(t *testing.T) {
	t.Parallel()
	in := startService(t, config{Heartbeat: 30 * time.Millisecond})
	pid := in.pid()
	for range 3 {
		in.set(func(c *config) { c.Broken = "exit" })
		in.upgrade("force=1")
		in.set(func(c *config) { c.Broken = "unhealthy" })
		in.upgrade("force=1")
	}
	if z := zombies(pid); len(z) > 0 {
		t.Errorf("zombies: %v", z)
	}
	if entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)); err != nil || len(entries) > 100 {
		t.Errorf("%d threads, %v", len(entries), err)
	}
}

// An answer that takes longer than the grace for idle connections ends whole, and
// its connection goes on: it moves, or is told to go first.
func TestLongAnswer(t *testing.T) {
	t.Parallel()
	in := startService(t, config{Idle: 200 * time.Millisecond, Drain: time.Hour})
	old := in.pid()
	c, quiet := in.dial(), in.dial()
	c.send("GET /ticks?n=100 HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := c.r.Peek(1); err != nil { // the header is out, and does not say goodbye
		t.Fatal(err)
	}
	r, err := in.upgrade("")
	if err != nil {
		t.Fatal(err)
	}
	if text, pid, _ := c.answer(); strings.Count(text, "\n") != 100 || pid != fmt.Sprint(old) {
		t.Errorf("%d ticks by %s", strings.Count(text, "\n"), pid)
	}
	c.moves(fmt.Sprint(r.PID))
	quiet.moves(fmt.Sprint(r.PID))
	waitFor(t, "the old process to end", func() bool { return !alive(old) })
}

// The same on TLS: after a long answer the connection can not move, so it is closed
// once it has been idle for the grace, and not before.
func TestLongAnswerTLS(t *testing.T) {
	t.Parallel()
	in := startService(t, config{TLS: true, Idle: 300 * time.Millisecond, Drain: time.Hour})
	old := in.pid()
	raw, err := tls.Dial("tcp", in.addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	c := &rawClient{t, raw, bufio.NewReader(raw)}
	c.send("GET /ticks?n=100 HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := c.r.Peek(1); err != nil {
		t.Fatal(err)
	}
	syscall.Kill(old, syscall.SIGUSR2)
	waitFor(t, "the upgrade", func() bool { return in.pid() != old })
	if text, _, _ := c.answer(); strings.Count(text, "\n") != 100 {
		t.Errorf("%d ticks", strings.Count(text, "\n"))
	}
	if _, err := c.r.ReadByte(); err != io.EOF {
		t.Errorf("after the grace: %v, want EOF", err)
	}
	waitFor(t, "the old process to end", func() bool { return !alive(old) })
}

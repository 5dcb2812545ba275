//go:build linux

package upgrade

import (
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"
)

// An upgrade never waits for an old drain: several processes drain at a time, the
// status lists them, connections pass through all of them, and when there are too
// many the oldest ends.
func TestChain(t *testing.T) {
	t.Parallel()
	in := startService(t, config{Drain: time.Hour, Probation: 30 * time.Millisecond, Lab: lab{MaxDraining: 3}})
	status := func() (s Status) {
		text, _ := in.get("/status")
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Error(err)
		}
		return s
	}
	var slow, half []*rawClient
	var pids []int
	for n := range 3 {
		pids = append(pids, in.pid())
		s, h := in.dial(), in.dial()
		s.send("GET /slow?for=1h HTTP/1.1\r\nHost: x\r\n\r\n")
		h.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
		slow, half = append(slow, s), append(half, h)
		waitFor(t, "the requests to run", func() bool { return status().Inflight == 3 })
		r, err := in.upgrade("")
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the commit", func() bool { return in.pid() == r.PID })
		waitFor(t, "the list of those that drain", func() bool {
			d := status().Draining
			if len(d) != n+1 {
				return false
			}
			for i, p := range d {
				if p.PID != pids[i] || p.Generation != i || p.Inflight != 2 || p.Deadline.Before(time.Now()) {
					return false
				}
			}
			return true
		})
	}
	for i, c := range half { // the oldest's goes through three processes
		c.send("cd")
		if text, pid, closing := c.answer(); text != "abcd" || pid != strconv.Itoa(pids[i]) || closing {
			t.Errorf("connection %d: %q by %s, closing %v", i, text, pid, closing)
		}
		c.moves(strconv.Itoa(in.pid()))
	}
	r, err := in.upgrade("")
	if err != nil {
		t.Fatal(err)
	}
	if text, _, _ := slow[0].answer(); text != "drain time-out\n" {
		t.Errorf("the oldest: %q", text)
	}
	waitFor(t, "the oldest to end", func() bool { return !alive(pids[0]) })
	for _, pid := range pids[1:] {
		if !alive(pid) {
			t.Errorf("process %d has ended too", pid)
		}
	}
	for i, c := range half {
		c.send(getRoot)
		if _, pid, _ := c.answer(); pid != strconv.Itoa(r.PID) && i > 0 {
			c.moves(fmt.Sprint(r.PID))
		}
	}
	for _, c := range slow[1:] {
		c.Close() // the context of a request ends with its client
	}
	waitFor(t, "one process", func() bool { return len(descendants(t, in)) == 1 })
	in.works(r.PID)
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// A faultCase is one bad release at one moment.
type faultCase struct {
	*fault
	bad  string
	good [2]string
	row  FaultRow

	s     *subject
	load  *meter
	old   int // the process that must go on to serve
	base  held
	drain *keeper
}

// keeper is a request that keeps an earlier process from ending until its body is
// whole.
type keeper struct {
	pid    int
	client *client
	body   []byte
}

func (c *faultCase) timing() timing {
	t := faultTiming
	if c.patience > 0 {
		t.probation = c.patience
	}
	return t
}

func (c *faultCase) run(ctx context.Context, dir string) (err error) {
	if c.s, err = launch(ctx, c.good[0], dir, c.timing()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.s.stop()) }()
	who := quiet
	if c.row.Moment == whenBusy {
		who = busy
	}
	if c.row.Moment == whenDraining {
		err := c.keepDraining(ctx)
		if c.drain != nil {
			defer c.drain.client.close()
		}
		if err != nil {
			return err
		}
	}
	if c.old, err = c.s.pid(); err != nil {
		return err
	}
	c.load = measure(ctx, c.s.addr, who)
	defer c.load.stop()
	sleep(ctx, 300*time.Millisecond)
	c.base = holdings(c.old, portOf(c.s.addr))
	served := c.misfortune(ctx)
	c.recovery(ctx, served)
	return ctx.Err()
}

// keepDraining lets the first process hand over to a second while it still has a
// request.
func (c *faultCase) keepDraining(ctx context.Context) error {
	first, err := c.s.pid()
	if err != nil {
		return err
	}
	k := &keeper{pid: first, client: newClient(c.s.addr), body: payload(1)}
	if f := k.client.connect(ctx, time.Now().Add(10*settleLimit)); f != nil {
		return f
	}
	c.drain = k
	text := request(c.s.addr, "/", k.body)
	if _, err := k.client.conn.Write(text[:len(text)-len(k.body)/2]); err != nil {
		return err
	}
	if err := c.s.replace(c.good[1]); err != nil {
		return err
	}
	v := c.s.order(ctx, settleLimit)
	if v.PID == 0 {
		return fmt.Errorf("the first upgrade: %s", v.Error)
	}
	return c.s.awaitNamed(ctx, v.PID)
}

// finish completes the request, which the process that has it must answer.
func (k *keeper) finish() error {
	if _, err := k.client.conn.Write(k.body[len(k.body)-len(k.body)/2:]); err != nil {
		return err
	}
	resp, err := http.ReadResponse(k.client.in, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	switch pid := pidOf(resp.Header); {
	case err != nil:
		return err
	case pid != k.pid || !bytes.Equal(got, k.body):
		return fmt.Errorf("process %d answered %.40q", pid, got)
	}
	return nil
}

// misfortune upgrades to the bad release, and returns the process that serves then.
func (c *faultCase) misfortune(ctx context.Context) int {
	row, t := &c.row, c.timing()
	if err := c.s.replace(c.bad); err != nil {
		row.wrong("%v", err)
		return c.old
	}
	limit := t.ready + t.probation + missed*t.heartbeat + handBack + verdictSlack
	v := c.s.order(ctx, limit)
	row.Verdict, row.After = v.Error, ms(v.Took)
	switch {
	case v.PID != 0:
		row.Verdict = "it is the service now"
		row.wrong("it became the service, with nothing said")
		_ = c.s.awaitNamed(ctx, v.PID)
	case v.Status == 0:
		row.wrong("no verdict within %v", limit)
	case !strings.Contains(v.Error, c.want):
		row.wrong("the verdict does not say %q", c.want)
	}
	pid, err := c.s.pid()
	if err != nil {
		row.wrong("%v", err)
		return c.old
	}
	if v.PID == 0 && pid != c.old {
		row.wrong("the PID file names %d, not the old process %d", pid, c.old)
	}
	for range 5 {
		if who, f := c.s.ask(ctx); f != nil || who != pid {
			row.wrong("process %d answers after the verdict, %v", who, f)
			break
		}
	}
	return pid
}

// missed heartbeats make a process dead, and handBack is what one that has served
// gets to give its connections back (package upgrade).
const (
	missed   = 3
	handBack = 3 * time.Second
)

// recovery checks what is left of the bad release, and that a good one works.
func (c *faultCase) recovery(ctx context.Context, served int) {
	row, s := &c.row, c.s
	expected := []int{served}
	if c.drain != nil {
		expected = append(expected, c.drain.pid)
		if !running(c.drain.pid) {
			row.wrong("the drain of process %d was over before", c.drain.pid)
		}
	}
	leftLimit := settleLimit
	if c.kind == "fork bomb" { // they live for two minutes
		leftLimit = 5 * time.Second
	}
	left := s.only(ctx, leftLimit, expected...)
	if row.Left = len(left); row.Left > 0 && !strings.Contains(row.Verdict, "left") {
		row.wrong("it left %d processes that nobody was told of", row.Left)
	}
	next := c.good[1]
	if c.drain != nil {
		next = c.good[0]
	}
	if err := s.replace(next); err != nil {
		row.wrong("%v", err)
	}
	begin := time.Now()
	v := s.order(ctx, settleLimit)
	row.NextMS = ms(time.Since(begin))
	if v.PID == 0 {
		row.wrong("the next good upgrade: %s", v.Error)
		v.PID = served
	} else if err := s.awaitNamed(ctx, v.PID); err != nil {
		row.wrong("%v", err)
	}
	if c.drain != nil {
		if err := c.drain.finish(); err != nil {
			row.wrong("the request that kept process %d: %v", c.drain.pid, err)
		}
	}
	if more := s.only(ctx, settleLimit, append(left, v.PID)...); len(more) > 0 {
		row.wrong("processes %v are left in the end", more)
	}
	c.descriptors(ctx, v.PID)
	c.load.stop()
	c.blame()
}

// descriptors waits until the process that serves in the end has as many as the one
// that did in the beginning, clients' connections apart.
func (c *faultCase) descriptors(ctx context.Context, pid int) {
	deadline := time.Now().Add(settleLimit)
	for {
		now := holdings(pid, portOf(c.s.addr))
		if now.listeners == c.base.listeners && now.others <= c.base.others {
			return
		}
		if time.Now().After(deadline) || !sleep(ctx, 10*time.Millisecond) {
			c.row.wrong("descriptors: %d listeners and %d others, in the beginning %d and %d", now.listeners, now.others, c.base.listeners, c.base.others)
			return
		}
	}
}

// blame finds out whose doing each failed request was.
func (c *faultCase) blame() {
	row := &c.row
	var misses []miss
	row.Requests, misses = c.load.seen()
	bad := c.culprits()
	list := c.s.holders()
	for i := range misses {
		m := &misses[i]
		holder := holderOf(list, m.port, m.ended)
		switch {
		case bad[m.PID]:
			row.Answered++
		case bad[holder] && c.dies:
			row.Held++
		case holder == 0 && m.port != 0 && c.dies:
			row.Unknown++
		default:
			row.Lost++
			row.wrong("%s", m.String())
		}
	}
}

// culprits are the processes that the bad release was.
func (c *faultCase) culprits() map[int]bool {
	set := map[int]bool{}
	for _, h := range c.s.happenings(0) {
		if h.Msg == "upgrade: failed" && h.Peer != 0 {
			set[h.Peer] = true
		}
	}
	return set
}

package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	idleConns = 1000
	// fewConns is how many of them may have moved at the moment from which the
	// time of moving counts, with the descriptors that a process needs anyway.
	fewConns = 40
	// idleLimit is how long after the new process serves its connections may
	// still arrive, an old process that stands by included.
	idleLimit = 10 * time.Second
)

// An IdleRow is what became of kept connections that said nothing during an
// upgrade.
type IdleRow struct {
	Peer    string  `json:"peer"`
	Conns   int     `json:"connections"`
	Moved   int     `json:"moved"`      // answered by the new process on the same connection
	Stayed  int     `json:"stayed"`     // answered by the old process
	Closed  int     `json:"closed"`     // found closed, or ended under the request
	Failed  int     `json:"failed"`     // another failure
	Serving float64 `json:"serving_ms"` // from the trigger until the new process served
	// Moving is the time between the last look at the new process at which it had
	// few descriptors and the first at which it had one for each connection.
	Moving   float64 `json:"moving_ms"`
	AllMoved float64 `json:"all_moved_ms"` // from the trigger until then; both are 0 when that did not come
}

// idle upgrades a service that has a thousand kept connections and no requests.
func (b *bench) idle(ctx context.Context, p *Peer) (row *IdleRow, err error) {
	if p.service != "" {
		return nil, nil // HTTP/2 connections are told to go, and do
	}
	good, err := b.goodPrograms(ctx, p)
	if err != nil {
		return nil, err
	}
	svc, _, err := start(ctx, p, good[0], b.newDir())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, svc.stop()) }()
	row = &IdleRow{Peer: p.Name, Conns: idleConns}
	clients, err := openIdle(ctx, svc.addr, row.Conns)
	defer func() {
		for _, c := range clients {
			c.close()
		}
	}()
	if err != nil {
		return nil, err
	}
	if err := svc.replace(good[1]); err != nil {
		return nil, err
	}
	old, at, err := svc.trigger()
	if err != nil {
		return nil, err
	}
	m := moves{svc: svc, old: old, conns: row.Conns}
	if err := m.follow(ctx); err != nil {
		return nil, err
	}
	row.Serving = ms(m.served.Sub(at))
	if !m.all.IsZero() {
		row.Moving, row.AllMoved = ms(m.all.Sub(m.few)), ms(m.all.Sub(at))
	}
	row.ask(ctx, clients, old, m.now)
	return row, ctx.Err()
}

// openIdle opens connections and uses each once.
func openIdle(ctx context.Context, addr string, n int) ([]*client, error) {
	var list []*client
	for range n {
		c := newClient(addr)
		list = append(list, c)
		if _, f := c.do(ctx, "/", nil); f != nil {
			return list, fmt.Errorf("open %d idle connections: %w", n, f)
		}
		if c.conn == nil {
			return list, errors.New("the server does not keep connections")
		}
	}
	return list, nil
}

// moves looks at a service while connections move from one process to the next.
type moves struct {
	svc   *Service
	old   int
	conns int

	now    int       // the process that serves
	served time.Time // when its first answer came
	few    time.Time // when it was last seen with few descriptors
	all    time.Time // when it first had one for each connection; zero if it never did
}

// follow returns when all connections have moved, or cannot any more.
func (m *moves) follow(ctx context.Context) error {
	m.few = time.Now()
	deadline := m.few.Add(servingLimit)
	for {
		m.look()
		if m.served.IsZero() {
			if who, f := m.svc.ask(ctx); f == nil && who != m.old {
				m.now, m.served = who, time.Now()
				deadline = m.served.Add(idleLimit)
			}
		}
		over := time.Now().After(deadline) || !running(m.old)
		switch {
		case m.served.IsZero() && over:
			return fmt.Errorf("no new process serves after %v", servingLimit)
		case !m.served.IsZero() && (!m.all.IsZero() || over):
			return nil
		case !sleep(ctx, pollEvery/4):
			return ctx.Err()
		}
	}
}

// look counts the descriptors of the processes that are not the old one.
func (m *moves) look() {
	begin := time.Now()
	most := 0
	if m.now != 0 {
		most = descriptors(m.now)
	} else {
		for _, pid := range members(m.svc.group.id) {
			if pid != m.old {
				most = max(most, descriptors(pid))
			}
		}
	}
	switch {
	case most < fewConns:
		m.few = begin
	case most > m.conns && m.all.IsZero():
		m.all = time.Now()
	}
}

// ask sends a request on every connection and counts who answers.
func (row *IdleRow) ask(ctx context.Context, clients []*client, old, now int) {
	for _, c := range clients {
		if closedByPeer(c.conn) {
			row.Closed++
			continue
		}
		a, f := c.do(ctx, "/", nil)
		switch {
		case f == nil && a.pid == now:
			row.Moved++
		case f == nil && a.pid == old:
			row.Stayed++
		case f != nil && (f.Kind == EOFKept || f.Kind == ResetKept):
			row.Closed++
		default:
			row.Failed++
		}
	}
}

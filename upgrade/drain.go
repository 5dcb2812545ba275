package upgrade

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// pause stops accepting, and leaves the sockets open.
func (u *Upgrader) pause(ctx context.Context) {
	listeners, _ := u.sockets()
	u.pauseSockets(ctx, listeners, nil)
}

// standBy pauses the sockets that the successor accepts from.
func (u *Upgrader) standBy(ctx context.Context, next *successor) {
	listeners, packets := u.sockets()
	listeners = slices.DeleteFunc(listeners, func(l *Listener) bool { return !next.claimed(l.name) })
	packets = slices.DeleteFunc(packets, func(p *PacketConn) bool { return !next.claimed(p.name) })
	u.pauseSockets(ctx, listeners, packets)
}

func (u *Upgrader) pauseSockets(ctx context.Context, listeners []*Listener, packets []*PacketConn) {
	var wg sync.WaitGroup
	for _, l := range listeners {
		wg.Go(func() {
			limited, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			_ = l.pause(ctx, limited) // who does not call Accept has nothing to lose
		})
	}
	for _, p := range packets {
		p.pause(true)
	}
	wg.Wait()
}

// resume accepts again.
func (u *Upgrader) resume() {
	if u.meeting != nil {
		u.meeting.own()
	}
	listeners, packets := u.sockets()
	for _, l := range listeners {
		l.resume()
	}
	for _, p := range packets {
		p.pause(false)
	}
}

func (u *Upgrader) sockets() ([]*Listener, []*PacketConn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]*Listener(nil), u.listeners...), append([]*PacketConn(nil), u.packets...)
}

// drain finishes what the process has: idle connections move to the successor or
// end, requests are answered, hijacked connections move or end by themselves. At
// the deadline the rest is canceled, and a second later cut.
func (u *Upgrader) drain(ctx context.Context) {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, u.opt.DrainTimeout, ErrDrainTimeout)
	defer cancel()
	u.mu.Lock()
	u.shutdown = cancel
	if u.hurry {
		cancel()
	}
	u.mu.Unlock()
	u.emit(Event{Name: "draining"})
	u.finishQueues(ctx)
	u.closeSockets(false)
	reporting := u.reportDrain(ctx)
	u.idle = idleWait()
	u.leaving.Store(true)
	for _, c := range u.conns() {
		c.leave()
	}
	u.offerMoves()
	var wg sync.WaitGroup
	u.mu.Lock()
	servers, pools := u.servers, u.pools
	u.mu.Unlock()
	for _, s := range servers {
		wg.Go(func() { s.drain(ctx) })
	}
	for _, p := range pools {
		if p.Retire != nil {
			wg.Go(func() { p.Retire(ctx) })
		}
	}
	wg.Wait()
	u.finishPackets(ctx)
	u.waitConns(ctx, func(*conn) bool { return true })
	cut := u.cut(ctx)
	u.awaitPredecessor(ctx)
	reporting()
	u.awaitAnnounced()
	u.closeSockets(true)
	u.enter(Ended)
	u.emit(Event{Name: "drained", Took: time.Since(began), Cut: cut})
	if u.pred != nil {
		u.pred.link.Close()
		u.pred.old.forget()
	}
	if next := u.running.Load(); next != nil {
		next.link.Close()
		next.forget()
	}
	u.sup.leave()
	close(u.over)
}

// cut closes the connections that have outlived the deadline, once their handlers
// had time to see their contexts end.
func (u *Upgrader) cut(ctx context.Context) int {
	if ctx.Err() == nil {
		return 0
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelGrace)
	defer cancel()
	u.waitConns(last, func(*conn) bool { return true })
	left := u.conns()
	for _, c := range left {
		c.Close()
	}
	return len(left)
}

// finishQueues stops accepting. What queued up on a socket that no other process has
// is accepted first, since nobody else will.
func (u *Upgrader) finishQueues(ctx context.Context) {
	u.pause(ctx)
	listeners, packets := u.sockets()
	for _, l := range listeners {
		if u.heir.Load() != nil && !u.shared(l.name, l.former) {
			limited, cancel := context.WithTimeout(ctx, time.Second)
			l.finish(limited)
			cancel()
		}
	}
	for _, p := range packets {
		if u.shared(p.name, p.former) {
			p.pause(true)
		}
	}
}

// finishPackets stops reading datagrams. What waits on a socket that no other
// process has is read first, and what was read is answered.
func (u *Upgrader) finishPackets(ctx context.Context) {
	_, packets := u.sockets()
	for _, p := range packets {
		p.finish(ctx, !u.shared(p.name, p.former))
	}
}

// shared reports whether the process that goes on takes what comes in at a socket.
func (u *Upgrader) shared(name, former string) bool {
	switch next := u.running.Load(); {
	case next != nil:
		return next.claimed(name)
	case u.heir.Load() != nil:
		return former != "" // it goes back to the predecessor
	}
	return false
}

// closeSockets closes what the process does not accept from any more, and
// removes the files of Unix sockets if the service ends here. A server of another
// kind closes its own, and answers to datagrams may still be sent: these sockets
// are closed when all is done. What a server of ours has not taken yet it still gets.
func (u *Upgrader) closeSockets(all bool) {
	listeners, packets := u.sockets()
	last := u.heir.Load() == nil
	for _, l := range listeners {
		if _, foreign := l.server.(*funcServer); foreign && !all {
			continue
		}
		if last && !l.isClosed() {
			l.file.remove()
		}
		if _, ours := l.server.(*httpServer); ours && !all {
			_ = l.shut()
			continue
		}
		l.Close()
	}
	for _, p := range packets {
		if !all {
			continue
		}
		if last && !p.isClosed() {
			p.file.remove()
		}
		p.Close()
	}
}

// awaitPredecessor keeps the process while an older one drains, since what that
// hands over comes through here.
func (u *Upgrader) awaitPredecessor(ctx context.Context) {
	if u.pred == nil || u.running.Load() == nil {
		return
	}
	select {
	case <-u.pred.ended:
	case <-ctx.Done():
	}
}

// awaitAnnounced keeps the process until the successor has told the world, by the
// PID file and the service manager, who is the service: when this process ends,
// whoever watched it looks there.
func (u *Upgrader) awaitAnnounced() {
	next := u.running.Load()
	if next == nil || next.link.Send(wire.Probe{}) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), announceTimeout)
	defer cancel()
	_, _ = await[wire.Alive](ctx, next, "answer") // it answers when it has done what Commit asked
}

// announceTimeout is longer than a slow disk takes to write a PID file.
const announceTimeout = 5 * time.Second

// reportDrain tells the successor how the drain goes, until the returned function
// is called.
func (u *Upgrader) reportDrain(ctx context.Context) func() {
	next := u.running.Load()
	if next == nil {
		return func() {}
	}
	deadline, _ := ctx.Deadline()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			if next.link.Send(wire.Draining{Processes: u.draining(deadline)}) != nil {
				return
			}
			select {
			case <-tick.C:
			case <-u.drainsChanged:
			case <-stop:
				return
			}
		}
	}()
	return func() {
		close(stop)
		select {
		case <-stopped:
		case <-ctx.Done(): // the successor reads nothing: a write may be blocked
			next.link.Close()
			<-stopped
		}
	}
}

// setDrains notes what the predecessor tells of those that drain, and passes it on
// at once: makeRoom must not count processes that have ended.
func (u *Upgrader) setDrains(all []wire.Process) {
	u.mu.Lock()
	u.drains = all
	u.mu.Unlock()
	select {
	case u.drainsChanged <- struct{}{}:
	default:
	}
}

// makeRoom ends the drain of the oldest process when there are too many.
func (u *Upgrader) makeRoom() {
	u.mu.Lock()
	full := len(u.drains) >= u.opt.MaxDraining
	u.mu.Unlock()
	if full && u.pred != nil {
		_ = u.pred.link.Send(wire.Stop{})
	}
}

// stopOldest passes the order to end on to the oldest process, which may be this
// one.
func (u *Upgrader) stopOldest() {
	if u.pred != nil {
		select {
		case <-u.pred.ended:
		default:
			if u.pred.link.Send(wire.Stop{}) == nil {
				return
			}
		}
	}
	u.stopNow()
}

// countConns counts the open connections by kind.
func (u *Upgrader) countConns() map[string]int {
	count := map[string]int{}
	for _, c := range u.conns() {
		count[c.kind()]++
	}
	return count
}

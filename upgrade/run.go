package upgrade

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// Ready says that the process is initialised, and returns when it serves. In the
// first process that is at once; in a successor when the predecessor says so, or
// has died. An error means that it must not serve and has to exit.
func (u *Upgrader) Ready(ctx context.Context) error {
	if err := u.warmPools(ctx); err != nil {
		return u.Refuse(fmt.Errorf("warm up: %w", err))
	}
	u.opt.point("warmed")
	if !u.enter(Ready, Starting) {
		return fmt.Errorf("ready: the process is already %s", u.State())
	}
	if u.pred == nil {
		return u.begin(ctx)
	}
	p := u.pred
	if err := u.checkPIDFile(); err != nil {
		return u.Refuse(err)
	}
	_ = p.link.Send(wire.Ready{Sockets: u.claimedNames(), Heartbeat: u.opt.Heartbeat}) // a dead predecessor is noticed below
	u.opt.point("ready")
	var order wire.Serve
	var ordered bool
	select {
	case order, ordered = <-p.serve:
	case <-ctx.Done():
		return u.Refuse(context.Cause(ctx))
	}
	if !ordered {
		why := "it ended the upgrade"
		if r := p.aborted.Load(); r != nil {
			why = *r
		}
		return fmt.Errorf("the old process does not let this one serve: %s", why)
	}
	u.opt.point("ordered")
	return u.beginAfter(ctx, order)
}

// begin makes the first process serve.
func (u *Upgrader) begin(ctx context.Context) error {
	if err := u.acquireAll(ctx, nil); err != nil {
		return err
	}
	u.growPools()
	u.enter(Serving, Ready)
	u.resume()
	u.announce()
	u.emit(Event{Name: "serving", Why: "the first process"})
	go rehearse()
	return nil
}

// beginAfter makes a successor serve, on probation unless its predecessor is dead.
func (u *Upgrader) beginAfter(ctx context.Context, order wire.Serve) error {
	p := u.pred
	if err := u.acquireAll(ctx, order.Singletons); err != nil {
		return u.Refuse(err)
	}
	u.opt.point("acquired")
	u.enter(Probation, Ready)
	if p.aborted.Load() != nil {
		return u.abandoned()
	}
	u.resume()
	_ = p.link.Send(wire.Serving{})
	u.opt.point("serving")
	go p.beat(context.WithoutCancel(ctx))
	p.inherit()
	return nil
}

// Refuse tells the predecessor why this process does not come to the point of
// serving, which is what it reports then, and returns err. The process has to
// exit. In a first process it does nothing else.
func (u *Upgrader) Refuse(err error) error {
	if u.pred != nil {
		_ = u.pred.link.Send(wire.Abort{Reason: err.Error(), Stopped: errors.Is(err, errGivenUp)})
	}
	return err
}

// claimedNames returns the predecessor's names of the sockets in use here.
func (u *Upgrader) claimedNames() []string {
	listeners, packets := u.sockets()
	var names []string
	for _, l := range listeners {
		if l.former != "" {
			names = append(names, l.former)
		}
	}
	for _, p := range packets {
		if p.former != "" {
			names = append(names, p.former)
		}
	}
	return names
}

// Run makes the process serve and returns when it has ended: after ctx or one of
// SIGTERM and SIGINT it drains, on SIGUSR2 it upgrades, and when a successor has
// taken over it drains too. It returns nil when it drained. A second SIGTERM or
// SIGINT ends the drain.
func (u *Upgrader) Run(ctx context.Context) error {
	signal.Notify(u.signals, append(stopSignals(), upgradeSignals()...)...)
	defer signal.Stop(u.signals)
	var early os.Signal
	if u.State() == Starting {
		var err error
		if early, err = u.readyOrStopped(ctx); err != nil {
			return err
		}
	}
	gone := u.ended()
	working, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var failure error
	done := ctx.Done()
	signaled := func(s os.Signal) {
		switch {
		case isUpgrade(s):
			go u.upgradeOnSignal(working)
		case u.State() == Draining:
			u.stopNow()
		default:
			cancel(fmt.Errorf("stopped by signal %s", s))
			go u.Shutdown(context.WithoutCancel(ctx))
		}
	}
	if early != nil {
		signaled(early)
	}
	for {
		select {
		case <-u.over:
			if u.takenBack() {
				return u.abandoned()
			}
			return failure
		case <-gone:
			if u.takenBack() && u.State() != Draining {
				return u.abandoned()
			}
			gone = nil
		case failure = <-u.failed:
			cancel(failure)
			go u.Shutdown(context.WithoutCancel(ctx))
		case <-done:
			done = nil
			go u.Shutdown(context.WithoutCancel(ctx))
		case s := <-u.signals:
			signaled(s)
		}
	}
}

// readyOrStopped is Ready until a signal says stop. Early is the signal that came too
// soon to be obeyed, nil if none did: one to upgrade, or one to stop that no part of
// Ready has looked at.
func (u *Upgrader) readyOrStopped(ctx context.Context) (early os.Signal, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	result := make(chan error, 1)
	go func() { result <- u.Ready(ctx) }()
	stopped := false
	for {
		select {
		case err := <-result:
			return early, err
		case s := <-u.signals:
			switch {
			case isUpgrade(s) && !stopped:
				early = s
			case isUpgrade(s):
			case stopped: // told twice
				return nil, context.Cause(ctx)
			default:
				early, stopped = s, true
				cancel(fmt.Errorf("stopped by signal %s", s))
			}
		}
	}
}

// upgradeOnSignal upgrades. The outcome of an attempt is an event; what does not
// come to one is logged.
func (u *Upgrader) upgradeOnSignal(ctx context.Context) {
	_, err := u.Upgrade(ctx, Request{})
	var failed *FailedError
	var rejected *RejectedError
	if err != nil && !errors.As(err, &failed) && !errors.As(err, &rejected) {
		u.opt.Log.Warn("upgrade: the signal had no effect", "error", err)
	}
}

// ended returns a channel that is closed when the link to the predecessor has
// ended; nil where there is none.
func (u *Upgrader) ended() <-chan struct{} {
	if u.pred == nil {
		return nil
	}
	return u.pred.ended
}

// takenBack reports whether the predecessor is the service again.
func (u *Upgrader) takenBack() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.pred != nil && u.pred.aborted.Load() != nil && !u.stopped
}

// abandoned is why a process on probation has to exit.
func (u *Upgrader) abandoned() error {
	return fmt.Errorf("the old process took the service back: %s", *u.pred.aborted.Load())
}

// Shutdown drains the process, without a successor unless one has taken over, and
// returns when it is done. An upgrade under way is given up.
//
// On probation the process gives the service back to its predecessor, which goes
// on.
func (u *Upgrader) Shutdown(ctx context.Context) error {
	u.mu.Lock()
	u.stopped = true
	u.mu.Unlock()
	u.giveUp()
	if u.State() == Probation {
		_ = u.Refuse(errGivenUp)
		u.handBack()
	}
	if u.enter(Draining, Serving, Probation, Ready, Starting) {
		u.stopping()
		u.mu.Lock()
		u.servers = append(u.servers, ending{u})
		u.mu.Unlock()
		u.drain(ctx)
	}
	select {
	case <-u.over:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ListenAndServe serves srv at the TCP address addr, with zero-downtime upgrades
// on SIGUSR2, until ctx ends or the process is told to stop. It is [New] with the
// default options and [slog.Default] as log, and [Upgrader.ListenAndServe].
func ListenAndServe(ctx context.Context, addr string, srv *http.Server) error {
	u, err := New(Options{Log: slog.Default()})
	if err != nil {
		return err
	}
	return u.ListenAndServe(ctx, addr, srv)
}

// ListenAndServe is [Upgrader.Listen] at the TCP address addr, [Upgrader.Serve] and
// [Upgrader.Run] for who has one server.
func (u *Upgrader) ListenAndServe(ctx context.Context, addr string, srv *http.Server) error {
	l, err := u.Listen("tcp", addr)
	if err != nil {
		return u.Refuse(err)
	}
	u.Serve(srv, l)
	return u.Run(ctx)
}

package upgrade

import (
	"context"
	"os"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/beat"
)

// beatVariable names the descriptor of the memory that a worker beats into.
const beatVariable = "THESEUS_BEAT_FD"

// unwell is the status of a process whose Options.Health fails.
const unwell beat.Status = 1

// beatInto tells a supervisor through memory that the process is alive, and how it
// fares, as long as it is. A function for the health that hangs is seen as that.
func (u *Upgrader) beatInto(memory *os.File) error {
	defer memory.Close()
	w, err := beat.NewWriter(memory)
	if err != nil {
		return err
	}
	go func() {
		defer w.Close()
		tick := time.NewTicker(u.opt.Heartbeat)
		defer tick.Stop()
		for {
			if err := w.Beat(u.fares()); err != nil {
				u.opt.Log.Error("upgrade: no heartbeat any more", "error", err)
				return
			}
			select {
			case <-tick.C:
			case <-u.over:
				return
			}
		}
	}()
	return nil
}

// fares asks for the health of a process that serves. Before and after that there
// is nothing to ask.
func (u *Upgrader) fares() beat.Status {
	switch u.State() {
	case Probation, Serving, Upgrading:
	default:
		return beat.Healthy
	}
	if u.health(context.Background()) != nil {
		return unwell
	}
	return beat.Healthy
}

// health asks for the health once.
func (u *Upgrader) health(ctx context.Context) error {
	if u.opt.Health == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, u.opt.Heartbeat)
	defer cancel()
	return u.opt.Health(ctx)
}

package app

import (
	"context"

	"github.com/theseus-run/theseus/internal/watch"
)

// watch applies stable changes of the disk until ctx ends.
func (a *App) watch(ctx context.Context) {
	err := watch.Run(ctx, watch.Options{
		Dir: a.path, Quiet: a.opt.Quiet, Poll: a.opt.Poll, ForcePoll: a.opt.Poll > 0, Seen: a.seen(), Log: a.log,
		Mode: func(mode string) {
			if !a.opt.Watch {
				mode = "off" // what is noticed is not applied
			}
			a.mode.Store(&mode)
		},
		Held: func() { a.notice("changed on disk, held back by " + watch.LockName) },
		Scan: func() (string, error) {
			t, err := a.scan()
			if err != nil {
				return "", err
			}
			return t.Digest(), nil
		},
		Changed: func(string) {
			if !a.opt.Watch {
				a.notice("changed on disk, not applied: `theseus reload` does")
				return
			}
			// The outcome is in the log, the history and the events.
			_, _ = a.Reload(ctx, Change{Trigger: "watch", Who: "watch"})
		},
	})
	off := "off"
	a.mode.Store(&off)
	if err != nil && ctx.Err() == nil {
		a.log.Error("the watcher ended: changes on disk are not applied any more; use `theseus reload`", "error", err)
	}
}

package upgrade

import (
	"context"
	"log/slog"
	"os"
	"time"
)

// An Event is one step in the life of a process.
type Event struct {
	Name    string        // "step", "serving", "committed", "failed", "draining", "drained", or "alone" when the predecessor has drained
	Step    string        // of an upgrade; see [FailedError]
	Peer    int           // process ID of the other process; 0 if there is none
	Took    time.Duration // of the step, or of all that the event ends
	Release Release       // of the successor
	Why     string
	Cut     int // connections that were closed at the deadline of a drain
	Err     error
}

// emit logs an event and tells it to who wants to know.
func (u *Upgrader) emit(e Event) {
	u.events.Lock()
	defer u.events.Unlock()
	level := slog.LevelInfo
	attrs := []slog.Attr{slog.Int("pid", os.Getpid()), slog.Int("generation", u.generation)}
	add := func(ok bool, a slog.Attr) {
		if ok {
			attrs = append(attrs, a)
		}
	}
	add(e.Step != "", slog.String("step", e.Step))
	add(e.Peer != 0, slog.Int("peer", e.Peer))
	add(e.Took != 0, slog.Duration("took", e.Took))
	add(e.Why != "", slog.String("why", e.Why))
	add(e.Cut != 0, slog.Int("cut", e.Cut))
	add(e.Release.Digest != "", slog.String("digest", e.Release.Digest))
	switch e.Name {
	case "step":
		level = slog.LevelDebug
	case "failed":
		level = slog.LevelError
		attrs = append(attrs, slog.Any("error", e.Err))
	}
	u.opt.Log.LogAttrs(context.Background(), level, "upgrade: "+e.Name, attrs...)
	if u.opt.OnEvent != nil {
		u.opt.OnEvent(e)
	}
}

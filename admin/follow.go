package admin

import (
	"context"
	"slices"
	"time"

	"github.com/theseus-run/theseus/app"
)

// follow is what a stream of events is asked for.
type follow struct {
	after    *int64 // nil for new events only
	instance string // that after is from; empty for this one
	types    []string
}

func (f follow) validate() error {
	if f.after != nil && *f.after < 0 {
		return invalid("after is %d: events count from 1, 0 is all that are kept", *f.after)
	}
	if len(f.types) > maxTypes {
		return invalid("%d types are asked for: %d are the most", len(f.types), maxTypes)
	}
	return nil
}

// moment is one thing to send on a stream.
type moment struct {
	event  *app.Event // nil at the start and for a sign of life
	cursor int64      // resume after it
	missed int64      // events lost before this one
}

// follow sends events until ctx ends, the server closes, the caller falls behind
// (a laggedError) or send fails. The first moment has no event and is sent at
// once, when nothing published from then on can be missed.
func (s *Server) follow(ctx context.Context, f follow, send func(moment) error) error {
	events := s.app.Events()
	var cursor int64
	if f.after == nil {
		if last := events.Recent(1, nil); len(last) > 0 {
			cursor = last[0].ID
		}
	} else if f.instance == "" || f.instance == s.instance {
		cursor = *f.after
	}
	sub := events.Subscribe(cursor)
	defer sub.Close()
	if err := send(moment{cursor: cursor}); err != nil {
		return err
	}
	tick := time.NewTicker(s.heartbeat)
	defer tick.Stop()
	var missed int64
	for first := true; ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closing:
			return errClosing
		case <-tick.C:
			if err := send(moment{cursor: cursor}); err != nil {
				return err
			}
		case e, ok := <-sub.C:
			if !ok {
				return &laggedError{after: cursor}
			}
			if first && e.ID > cursor+1 {
				missed = e.ID - cursor - 1
			}
			first = false
			cursor = e.ID
			if len(f.types) > 0 && !slices.Contains(f.types, e.Type) {
				continue
			}
			if err := send(moment{event: &e, cursor: cursor, missed: missed}); err != nil {
				return err
			}
			missed = 0
		}
	}
}

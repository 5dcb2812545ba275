package upgrade

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// missable is how many heartbeats in succession may be missing or unhealthy.
const missable = 3

// errHung is why a process is killed at once, without a last word.
var errHung = errors.New("no heartbeat")

// judged is how many answers the error rate needs before it counts.
const judged = 20

// probation watches the successor, and returns why it is to be taken back, or
// nil when it has proved itself.
func (a *attempt) probation(ctx context.Context) error {
	o := a.u.opt
	if o.Probation == 0 {
		return a.probe(ctx)
	}
	limit := o.MaxMemory
	if limit == 0 {
		limit = 4*residentMemory(0) + 512<<20
	}
	proved := time.NewTimer(o.Probation)
	defer proved.Stop()
	beat := time.NewTicker(a.next.heartbeat)
	defer beat.Stop()
	missed, unwell := 0, 0
	quiet := a.next.silence()
	var latest, early wire.Beat
	half := time.Now().Add(o.Probation / 2)
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-a.next.exited:
			if why := a.next.lastWord(ctx); why != nil {
				return why
			}
			return fmt.Errorf("it ended %s after it began to serve%s", time.Since(a.last).Round(time.Millisecond), a.next.how())
		case m, open := <-a.next.inbox:
			if !open {
				return a.next.ended(ctx)
			}
			if abort, ok := m.(wire.Abort); ok {
				return reason(abort)
			}
			return errors.New("it spoke out of turn")
		case b := <-a.next.beats:
			missed, latest = 0, b
			quiet.hear()
			if time.Now().Before(half) {
				early = b
			}
			if unwell++; b.Healthy {
				unwell = 0
			}
			if unwell >= missable {
				return fmt.Errorf("unhealthy: %s", b.Reason)
			}
			if rate := float64(b.Errors) / float64(max(b.Requests, 1)); o.MaxErrorRate > 0 && b.Requests >= judged && rate >= o.MaxErrorRate {
				return fmt.Errorf("%d of its first %d answers were errors", b.Errors, b.Requests)
			}
		case <-beat.C:
			// A ticker drops the ticks that a stalled process misses, so only time in
			// which this process ran is counted.
			quiet.tick(a.next.heartbeat)
			if missed++; missed >= missable {
				return quiet.reason(time.Duration(missed) * a.next.heartbeat)
			}
			if used := residentMemory(a.next.pid); limit > 0 && used > limit {
				return fmt.Errorf("it uses %d MiB of memory; the limit is %d MiB", used>>20, limit>>20)
			}
		case <-proved.C:
			if err := a.probe(ctx); err != nil {
				return err
			}
			return a.judge(early, latest)
		}
	}
}

// few is how many answers, or requests without one, speak against a process at
// the end of its probation.
const few = 3

// judge looks at what was answered, as of the last heartbeat and of one in the
// first half of the probation.
func (a *attempt) judge(early, latest wire.Beat) error {
	switch {
	case a.u.opt.MaxErrorRate < 0:
	case latest.Requests >= few && latest.Errors == latest.Requests:
		return fmt.Errorf("all of its %d answers were errors", latest.Errors)
	case early.Arrived >= few && latest.Requests == 0:
		return fmt.Errorf("none of the first %d requests was answered", early.Arrived)
	}
	return nil
}

// probe asks for a last sign of life: a heartbeat that lies in the queue says only
// that the process lived when it was sent.
func (a *attempt) probe(ctx context.Context) error {
	limit := missable * a.next.heartbeat
	quiet := a.next.silence()
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := a.next.link.Send(wire.Probe{}); err != nil {
		return a.broken(ctx, err)
	}
	_, err := await[wire.Alive](limited, a.next, "answer")
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		quiet.tick(limit)
		return fmt.Errorf("%w, and no answer to the last question", quiet.reason(limit))
	}
	return err
}

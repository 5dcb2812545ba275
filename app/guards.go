package app

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/theseus-run/theseus/app/manifest"
	"github.com/theseus-run/theseus/script"
	"github.com/theseus-run/theseus/update"
)

// Guards are those of the manifest that is to become live: who changes the ceilings
// changes them for that very change, so that none can shut the door behind itself.
// The history shows it. A rollback waits for no guard; see package update.

// guards returns those that hold the staged generation. Where nothing is served by
// this process yet there is nothing to guard.
func (s *staging) guards() *update.Guards {
	if t := s.up.u.Trigger; t == "start" || t == "apply" {
		return nil
	}
	return guardsOf(s.gen.manifest)
}

func guardsOf(m *manifest.Manifest) *update.Guards {
	r := m.Rollout
	return &update.Guards{MaxLoad: r.Guards.MaxLoad, MaxLatency: r.Guards.MaxLatency.Std(), Patience: r.Patience.Std()}
}

// guardsNow are those of the update that runs.
func (a *App) guardsNow() update.Guards {
	if g := a.guards.Load(); g != nil {
		return *g
	}
	return update.Guards{}
}

// facts measures what guards look at. A load that cannot be measured any more is
// below no ceiling.
func (a *App) facts() update.Facts {
	f := update.Facts{Latency: a.recent.p99()}
	var err error
	if f.Load, err = a.opt.Load(); err != nil {
		f.Load = math.NaN()
	}
	if a.opt.Workers != nil {
		f.Workers = a.opt.Workers()
	}
	return f
}

// checkGuards refuses a guard whose value cannot be measured here.
func checkGuards(m *manifest.Manifest, load func() (float64, error)) error {
	if m.Rollout.Guards.MaxLoad == 0 || load == nil {
		return nil
	}
	if _, err := load(); err != nil {
		return m.Problem(script.Refused, "max_load: the load cannot be measured here: "+err.Error(),
			"leave it out; max_latency works everywhere", "rollout", "guards", "max_load")
	}
	return nil
}

// heldUp turns the error of a change into a problem, if a guard or a hook is why it
// was refused.
func (s *staging) heldUp(err error) (Problem, bool) {
	if w, ok := errors.AsType[*update.WaitingError](err); ok {
		p := Problem{Kind: "guard", Message: fmt.Sprintf("%s: %s, which it did not come to within %s", w.Guard, w.For, w.Patience),
			Hint: "apply it again when there is less to do: `theseus reload`; a rollback waits for no guard"}
		if w.Guard != update.GuardWorkers {
			if p.Line, p.Column = s.gen.manifest.At("rollout", "guards", w.Guard); p.Line > 0 {
				p.File = manifest.File
			}
		}
		return p, true
	}
	if h, ok := errors.AsType[*update.HookError](err); ok {
		return hookProblem(h), true
	}
	return Problem{}, false
}

// Doing returns what the change under way is at.
func (a *App) Doing() Doing {
	d := a.runner.Doing()
	out := Doing{Step: d.String(), Since: d.Since, Waiting: d.Waiting}
	if d.Hook != "" {
		out.Waiting = cmp.Or(out.Waiting, out.Step)
	}
	return out
}

// recentSeconds is how far back the latency goes that a guard looks at.
const recentSeconds = 10

// recent counts the answers of the last seconds, by how long they took. A request
// pays nothing for it: it is made once a second of what was counted anyway.
type recent struct {
	mu      sync.Mutex
	seconds [recentSeconds][latencyBuckets]int64
	next    int
}

// push adds a second, and forgets the oldest.
func (r *recent) push(second *[latencyBuckets]int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seconds[r.next] = *second
	r.next = (r.next + 1) % recentSeconds
}

// p99 returns the 99th percentile, 0 if there were too few answers for a verdict.
func (r *recent) p99() time.Duration {
	var sum [latencyBuckets]int64
	var total int64
	r.mu.Lock()
	for i := range r.seconds {
		for b, n := range r.seconds[i] {
			sum[b] += n
			total += n
		}
	}
	r.mu.Unlock()
	if total < trialSample {
		return 0
	}
	return time.Duration(quantile(&sum, total, .99) * float64(time.Millisecond))
}

// interruptWaiting ends the update that runs if it waits for a guard or a hook, and
// reports whether it does.
func (a *App) interruptWaiting(why error) bool {
	d := a.runner.Doing()
	if d.Waiting == "" && d.Hook == "" {
		return false
	}
	a.interruptUpdate(why)
	return true
}

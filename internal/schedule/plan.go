package schedule

import (
	"hash/fnv"
	"time"
)

// clock is one look at both clocks.
type clock struct {
	mono time.Time // carries a monotonic reading
	wall time.Time // does not
}

const (
	// stepBack is how far the wall clock may be set back before the time it
	// showed is taken for an error, and cron jobs start over.
	stepBack = 3 * time.Hour

	// stepNoise is the difference between the clocks that is not a step.
	stepNoise = time.Second

	// maxCatchUp is how many missed cron slots are counted one by one.
	maxCatchUp = 10_000
)

// A plan is the row of slots of one schedule. It is not safe for concurrent use.
type plan struct {
	name string
	spec Spec
	cal  *calendar // nil for an interval

	anchor clock // when the schedule began
	number int64 // of the slot that comes next
	slot   time.Time
	fire   time.Time // slot with jitter; slot and fire are monotonic for an interval
	seen   time.Time // wall clock at the last look
}

// newPlan returns the plan of a spec; call begin before anything else.
func newPlan(name string, spec Spec) (*plan, error) {
	cal, err := spec.compile()
	if err != nil {
		return nil, err
	}
	return &plan{name: name, spec: spec, cal: cal}, nil
}

// begin makes now the beginning of the schedule.
func (p *plan) begin(now clock) {
	p.anchor, p.seen = now, now.wall
	if p.cal == nil {
		p.moveTo(1)
		return
	}
	p.number = 1
	p.setSlot(p.cal.next(now.wall))
}

// moveTo makes slot n of an interval the next one.
func (p *plan) moveTo(n int64) {
	p.number = n
	p.slot = p.anchor.mono.Add(time.Duration(n) * p.spec.Every)
	p.fire = p.slot.Add(p.jitter(n, p.spec.Jitter))
}

// setSlot makes t the next slot of a cron line.
func (p *plan) setSlot(t time.Time) {
	p.slot = t
	bound := p.spec.Jitter
	if bound > 0 && !t.IsZero() {
		if after := p.cal.next(t); !after.IsZero() {
			bound = min(bound, after.Sub(t))
		}
	}
	p.fire = t.Add(p.jitter(p.number, bound))
}

// jitter returns the delay of slot n, less than bound.
func (p *plan) jitter(n int64, bound time.Duration) time.Duration {
	if bound <= 0 {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(p.name))
	var b [8]byte
	for i := range b {
		b[i] = byte(n >> (8 * i))
	}
	h.Write(b[:])
	x := h.Sum64() // FNV's high bits lag behind; mix them in
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x ^= x >> 33
	return time.Duration(x % uint64(bound))
}

// take returns the tick that has come due, if one has, and moves on to the slot
// after it. When several are due it is the latest; missed counts the others.
func (p *plan) take(now clock) (t Tick, missed int64, ok bool) {
	if p.cal == nil {
		return p.takeInterval(now)
	}
	return p.takeCron(now)
}

func (p *plan) takeInterval(now clock) (t Tick, missed int64, ok bool) {
	if now.mono.Before(p.fire) {
		return Tick{}, 0, false
	}
	due := p.number
	if last := int64(now.mono.Sub(p.anchor.mono) / p.spec.Every); last > due {
		p.moveTo(last)
		if now.mono.Before(p.fire) { // its jitter has not passed
			last--
		}
		p.moveTo(last)
	}
	missed = p.number - due
	t = Tick{Job: p.name, Scheduled: p.wallOf(p.slot, now), Number: p.number}
	p.moveTo(p.number + 1)
	return t, missed, true
}

func (p *plan) takeCron(now clock) (t Tick, missed int64, ok bool) {
	back := p.seen.Sub(now.wall) > stepBack
	p.seen = now.wall
	if back || p.slot.IsZero() {
		p.setSlot(p.cal.next(now.wall))
		return Tick{}, 0, false
	}
	if now.wall.Before(p.fire) {
		return Tick{}, 0, false
	}
	for {
		t = Tick{Job: p.name, Scheduled: p.slot, Number: p.number}
		p.number++
		p.setSlot(p.cal.next(p.slot))
		if p.slot.IsZero() || now.wall.Before(p.fire) {
			return t, missed, true
		}
		if missed == maxCatchUp {
			p.setSlot(p.cal.next(now.wall))
			return t, missed, true
		}
		missed++
	}
}

// wait returns how long to wait for the next slot. It may be negative.
func (p *plan) wait(now clock) time.Duration {
	if p.cal == nil {
		return p.fire.Sub(now.mono)
	}
	if p.slot.IsZero() {
		return time.Minute
	}
	return min(p.fire.Sub(now.wall), time.Minute)
}

// wallOf returns t, a time of this plan, by the wall clock as it is set now.
func (p *plan) wallOf(t time.Time, now clock) time.Time {
	if p.cal != nil {
		return t
	}
	wall := p.anchor.wall.Add(t.Sub(p.anchor.mono))
	step := now.wall.Sub(p.anchor.wall) - now.mono.Sub(p.anchor.mono)
	if step.Abs() >= stepNoise {
		wall = wall.Add(step)
	}
	return wall
}

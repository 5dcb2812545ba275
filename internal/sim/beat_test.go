package sim

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/theseus-run/theseus/internal/schedule"
)

// A line is a job of the simulation. For cron it is said again in a form that can be
// checked minute by minute.
type line struct {
	name    string
	spec    schedule.Spec
	overlap schedule.Overlap
	minutes []int
	hours   []int // empty means each: a rhythm
	days    []time.Weekday
}

var lines = []line{
	{name: "skip", spec: schedule.Spec{Every: 90 * time.Second}, overlap: schedule.Skip},
	{name: "queue", spec: schedule.Spec{Every: 4 * time.Minute}, overlap: schedule.Queue},
	{name: "allow", spec: schedule.Spec{Every: 11 * time.Minute}, overlap: schedule.Allow},
	{name: "rhythm", spec: schedule.Spec{Cron: "*/15 * * * *", TZ: "Europe/Berlin"}, minutes: []int{0, 15, 30, 45}},
	{name: "night", spec: schedule.Spec{Cron: "30 2 * * *", TZ: "Europe/Berlin"}, minutes: []int{30}, hours: []int{2}},
	{name: "early", spec: schedule.Spec{Cron: "0,30 1-3 * * *", TZ: "Europe/Berlin"}, minutes: []int{0, 30}, hours: []int{1, 2, 3}},
	{name: "work", spec: schedule.Spec{Cron: "0 9 * * 1-5"}, minutes: []int{0}, hours: []int{9}, days: []time.Weekday{1, 2, 3, 4, 5}},
}

// A beat is the scheduler of one process, and what it did.
type beat struct {
	w     *world
	sched *schedule.Scheduler
	row   *row
	over  chan struct{}

	mono  time.Time
	wall  time.Time
	jumps int  // of the clock, at the beginning
	moved bool // the schedule came from, or went to, another process
	ticks map[string][]schedule.Tick

	mu      sync.Mutex
	posted  []post
	running map[string]int
}

// A row is the slots that were ticks, of all processes that handed the schedule on.
type row struct {
	seen map[string]bool
	last map[string]time.Time // of cron jobs
}

// A post tells of one tick: it began, or was skipped, or ended.
type post struct {
	at   time.Time // virtual
	wall time.Time
	tick schedule.Tick
	what string // "begins", "skipped", "ok", "failed"
	bad  string // what must not be
}

// newBeat starts a scheduler with all jobs; one that rests waits for Resume.
func (w *world) newBeat(rests bool) *beat {
	b := &beat{w: w, row: &row{map[string]bool{}, map[string]time.Time{}}, over: make(chan struct{}), mono: time.Now(), wall: w.clock.now(),
		jumps: w.clock.jumps, moved: rests, ticks: map[string][]schedule.Tick{}, running: map[string]int{}}
	b.sched = schedule.New(schedule.Options{Now: w.clock.now, Suspended: rests, Done: b.done})
	var jobs []schedule.Job
	for _, l := range lines {
		jobs = append(jobs, schedule.Job{Name: l.name, Spec: l.spec, Overlap: l.overlap, Run: b.run})
	}
	if err := b.sched.Apply(jobs); err != nil {
		w.fail("apply: %v", err)
	}
	go func() {
		defer close(b.over)
		_ = b.sched.Run(context.Background())
	}()
	synctest.Wait()
	return b
}

func (b *beat) post(p post) {
	p.at, p.wall = time.Now(), b.w.clock.now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.posted = append(b.posted, p)
}

// run is each job: how long it takes, and how it ends, depends on the tick alone.
func (b *beat) run(ctx context.Context, t schedule.Tick) error {
	b.mu.Lock()
	b.running[t.Job]++
	n := b.running[t.Job]
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.running[t.Job]--
		b.mu.Unlock()
	}()
	p := post{tick: t, what: "begins"}
	if n > 1 && t.Job != "allow" {
		p.bad = fmt.Sprint(n, " run at once")
	}
	b.post(p)
	h := fnv.New32a()
	fmt.Fprint(h, b.w.seed, t.Job, t.Number)
	x := h.Sum32()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(time.Duration(x%400)*time.Second + time.Duration(1+x%997)*time.Microsecond): // never when another tick is due
	}
	switch x >> 16 % 8 {
	case 0:
		return errPlanned
	case 1:
		panic("as planned")
	}
	return nil
}

func (b *beat) done(r schedule.Result) {
	p := post{tick: r.Tick, what: string(r.Status)}
	if r.Duration < 0 {
		p.bad = fmt.Sprint("it took ", r.Duration)
	}
	if r.Status == schedule.Skipped && !errors.Is(r.Err, schedule.ErrOverlap) && !errors.Is(r.Err, schedule.ErrStopped) {
		p.bad = fmt.Sprint("skipped: ", r.Err)
	}
	b.post(p)
}

// collect waits until nothing more happens at this moment, and looks at what did.
func (b *beat) collect() (ended int) {
	synctest.Wait()
	b.mu.Lock()
	posted := b.posted
	b.posted = nil
	b.mu.Unlock()
	slices.SortFunc(posted, func(x, y post) int {
		return cmp.Or(x.at.Compare(y.at), strings.Compare(x.tick.Job, y.tick.Job), cmp.Compare(x.tick.Number, y.tick.Number), strings.Compare(x.what, y.what))
	})
	for _, p := range posted {
		b.w.trace("job %s %d of %s %s", p.tick.Job, p.tick.Number, p.tick.Scheduled.UTC().Format(time.RFC3339), p.what)
		if p.bad != "" {
			b.w.fail("job %s, tick %d %s: %s", p.tick.Job, p.tick.Number, p.what, p.bad)
		}
		if p.what == "begins" || p.what == "skipped" {
			b.tick(p)
		} else {
			ended++
		}
	}
	return ended
}

// tick checks one that is new.
func (b *beat) tick(p post) {
	t := p.tick
	key := fmt.Sprint(t.Job, " ", t.Number)
	cron := lineOf(t.Job).spec.Cron != ""
	switch {
	case b.row.seen[key]:
		b.w.fail("job %s ran twice", key)
	case cron && !t.Scheduled.After(b.row.last[t.Job]):
		b.w.fail("job %s: %s came again after %s", key, t.Scheduled, b.row.last[t.Job])
	case cron && p.wall.Before(t.Scheduled):
		b.w.fail("job %s of %s began at %s", key, t.Scheduled, p.wall)
	}
	b.row.seen[key], b.row.last[t.Job] = true, t.Scheduled
	b.ticks[t.Job] = append(b.ticks[t.Job], t)
}

func lineOf(name string) line {
	return lines[slices.IndexFunc(lines, func(l line) bool { return l.name == name })]
}

// account compares the ticks with what the scheduler says, and, unless the clock was
// set or the schedule moved, with a calendar of our own.
func (b *beat) account() {
	b.collect()
	now, wall := time.Now(), b.w.clock.now()
	for _, j := range b.sched.Jobs() {
		ticks := b.ticks[j.Name]
		if !b.moved && j.Ticks != int64(len(ticks)+j.Queued) {
			b.w.fail("job %s has %d ticks and says %+v", j.Name, len(ticks), j)
		}
		l := lineOf(j.Name)
		switch {
		case b.moved:
		case l.spec.Every > 0: // the clock on the wall is nothing to it
			if want := int64(now.Sub(b.mono) / l.spec.Every); j.Ticks != want || j.Missed != 0 {
				b.w.fail("job %s has had %d ticks of %d, missed %d", j.Name, j.Ticks, want, j.Missed)
			}
		case b.jumps == b.w.clock.jumps:
			var got []time.Time
			for _, t := range ticks {
				got = append(got, t.Scheduled.UTC())
			}
			if want := l.slots(b.wall, wall); !slices.EqualFunc(got, want, time.Time.Equal) {
				b.w.fail("job %s ran at %v, and was due at %v", j.Name, got, want)
			}
		}
	}
}

// slots lists the slots after from and up to a time: the calendar minute by minute.
func (l line) slots(from, to time.Time) (all []time.Time) {
	loc, err := time.LoadLocation(l.spec.TZ)
	if err != nil {
		panic(err)
	}
	shown := func(t time.Time) time.Time { // as if it were UTC
		_, offset := t.In(loc).Zone()
		return t.UTC().Add(time.Duration(offset) * time.Second)
	}
	for t := from.Truncate(time.Minute).Add(time.Minute); !t.After(to); t = t.Add(time.Minute) {
		now, before := shown(t), shown(t.Add(-time.Minute))
		due := l.matches(now)
		if len(l.hours) > 0 {
			if shown(t.Add(-time.Hour)).Equal(now) {
				due = false // the hour that comes twice
			}
			for s := before.Add(time.Minute); s.Before(now); s = s.Add(time.Minute) {
				due = due || l.matches(s) // the hour that does not come
			}
		}
		if due {
			all = append(all, t)
		}
	}
	return all
}

func (l line) matches(t time.Time) bool {
	return slices.Contains(l.minutes, t.Minute()) && (l.hours == nil || slices.Contains(l.hours, t.Hour())) && (l.days == nil || slices.Contains(l.days, t.Weekday()))
}

// stop ends the scheduler with its process.
func (b *beat) stop() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = b.sched.Stop(ctx)
	<-b.over
}

// suspend stops the ticking and returns where it stands, as it goes to another
// process.
func (b *beat) suspend() schedule.State {
	b.account()
	var st schedule.State
	data, err := json.Marshal(b.sched.Suspend())
	if err == nil {
		err = json.Unmarshal(data, &st)
	}
	if err != nil {
		b.w.fail("suspend: %v", err)
	}
	b.moved = true
	return st
}

// adopt goes on from where another process stood.
func (b *beat) adopt(st schedule.State, row *row) {
	if err := b.sched.Adopt(st); err != nil {
		b.w.fail("adopt: %v", err)
	}
	b.row = row
	b.sched.Resume(false)
	b.collect()
}

// resume takes the schedule back from another process.
func (b *beat) resume() {
	b.sched.Resume(true)
	b.collect()
}

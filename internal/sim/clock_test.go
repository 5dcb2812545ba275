package sim

import (
	"sync"
	"time"
)

// A wallClock is what the machine shows: virtual time, set forward or back, or
// stopped. Safe for concurrent use.
type wallClock struct {
	mu     sync.Mutex
	by     time.Duration
	frozen time.Time // what it shows when it is stopped; zero means that it runs
	jumps  int
}

func (c *wallClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.frozen.IsZero() {
		return c.frozen
	}
	return time.Now().Round(0).Add(c.by).UTC()
}

// jump sets the clock.
func (c *wallClock) jump(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.jumps++
	c.by += by
	if !c.frozen.IsZero() {
		c.frozen = c.frozen.Add(by)
	}
}

// stop stops the clock, or lets it go on from where it stands.
func (c *wallClock) stop(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	real := time.Now().Round(0).Add(c.by).UTC()
	switch {
	case on && c.frozen.IsZero():
		c.frozen, c.jumps = real, c.jumps+1
	case !on && !c.frozen.IsZero():
		c.by, c.frozen, c.jumps = c.by-real.Sub(c.frozen), time.Time{}, c.jumps+1
	}
}

// jumpsOf are by how much the clock is set.
var jumpsOf = []time.Duration{time.Second, -time.Second, time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour, 10 * year, -10 * year, 7 * time.Minute, -7 * time.Minute}

const year = 8766 * time.Hour

// beginnings are when a run begins by the wall clock: some are shortly before the
// clocks of Berlin change.
var beginnings = []time.Time{
	time.Date(2026, 3, 28, 22, 40, 0, 0, time.UTC),
	time.Date(2026, 10, 24, 22, 10, 0, 0, time.UTC),
	time.Date(2026, 10, 25, 0, 20, 0, 0, time.UTC),
	time.Date(2028, 2, 28, 20, 0, 0, 0, time.UTC),
	time.Date(2026, 6, 1, 7, 59, 59, 0, time.UTC),
}

package schedule

import (
	"fmt"
	"time"

	"github.com/netresearch/go-cron"
)

// A calendar maps a cron line to instants. The line is evaluated on local times
// that are written down as if they were UTC ("as shown on the clock"), where
// every day has 24 hours; what a zone does to them is decided here alone. The
// package documentation states the rules.
type calendar struct {
	line   *cron.SpecSchedule // in UTC
	loc    *time.Location
	rhythm bool // every hour of the day matches
}

// everyHour has a bit for each hour.
const everyHour = 1<<24 - 1

func newCalendar(text string, line *cron.SpecSchedule, loc *time.Location) (*calendar, error) {
	line.Location = time.UTC
	c := &calendar{line: line, loc: loc, rhythm: line.Hour&everyHour == everyHour}
	if line.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("cron %q: no day ever matches", text)
	}
	return c, nil
}

// next returns the first slot after t, in UTC; the zero time when there is none
// within searchYears.
func (c *calendar) next(t time.Time) time.Time {
	if c.rhythm {
		return c.nextShown(t)
	}
	shown := c.shown(t)
	for {
		if shown = c.line.Next(shown); shown.IsZero() {
			return time.Time{}
		}
		if at := c.instant(shown); at.After(t) {
			return at.UTC()
		}
	}
}

// nextShown returns the first instant after t whose local time matches.
func (c *calendar) nextShown(t time.Time) time.Time {
	for {
		shown := c.line.Next(c.shown(t))
		if shown.IsZero() {
			return time.Time{}
		}
		_, offset := t.In(c.loc).Zone()
		at := shown.Add(-time.Duration(offset) * time.Second)
		_, end := t.In(c.loc).ZoneBounds()
		if end.IsZero() || at.Before(end) {
			return at
		}
		// The offset ends before that. What the clock shows at end may match.
		if s := c.shown(end); c.line.Next(s.Add(-time.Second)).Equal(s) {
			return end.UTC()
		}
		t = end
	}
}

// shown returns the local time at t, as UTC.
func (c *calendar) shown(t time.Time) time.Time {
	t = t.In(c.loc)
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// instant returns when the clock shows the local time: the first time it does,
// or the end of the gap that skips it.
func (c *calendar) instant(shown time.Time) time.Time {
	y, m, d := shown.Date()
	h, min, s := shown.Clock()
	at := time.Date(y, m, d, h, min, s, 0, c.loc)
	if !c.shown(at).Equal(shown) { // in a gap; at is off to one side of it
		start, end := at.ZoneBounds()
		if c.shown(at).After(shown) {
			return start
		}
		return end
	}
	// The same local time may have been shown before the last change of offset.
	start, _ := at.ZoneBounds()
	if start.IsZero() {
		return at
	}
	_, before := start.Add(-time.Nanosecond).Zone()
	if earlier := shown.Add(-time.Duration(before) * time.Second); earlier.Before(start) {
		return earlier
	}
	return at
}

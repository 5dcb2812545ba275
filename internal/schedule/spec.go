package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // zones on machines without a database of them

	"github.com/netresearch/go-cron"
)

// A Spec says when a job ticks: exactly one of Every and Cron is set. Specs
// that are equal by == are the same schedule.
type Spec struct {
	// Every is the interval, at least a millisecond. Tick k comes due at
	// k*Every after the schedule first appeared.
	Every time.Duration

	// Cron is a crontab line: minute, hour, day of month, month, day of week;
	// or one of @hourly, @daily, @weekly, @monthly, @yearly. Lists, ranges and
	// steps work, names of months and weekdays too, L and W for days of the month, and
	// FRI#2 and FRI#L for the second and the last Friday of a month. When both
	// days are restricted, either is enough, as POSIX says.
	Cron string

	// TZ is the zone of Cron, such as "Europe/Berlin"; "Local" is the
	// machine's. Empty means UTC.
	TZ string

	// Jitter delays each tick by 0 ≤ d < Jitter. The delay depends on the job's
	// name and the tick's number only. It must be less than Every, and never
	// reaches the slot that follows.
	Jitter time.Duration
}

// minEvery is the shortest interval: below it a timer is all a machine does.
const minEvery = time.Millisecond

// Check reports what is wrong with the spec.
func (s Spec) Check() error {
	_, err := s.compile()
	return err
}

// String returns "every 5s", or the cron line with its zone.
func (s Spec) String() string {
	var b strings.Builder
	if s.Cron == "" {
		b.WriteString("every " + short(s.Every))
	} else {
		b.WriteString(s.Cron + " " + s.zone())
	}
	if s.Jitter > 0 {
		b.WriteString(", jitter " + short(s.Jitter))
	}
	return b.String()
}

// short prints a duration without the zero units at its end.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// zone returns TZ with its default.
func (s Spec) zone() string {
	if s.TZ == "" {
		return "UTC"
	}
	return s.TZ
}

// compile checks the spec and returns its calendar, nil for an interval.
func (s Spec) compile() (*calendar, error) {
	switch {
	case s.Jitter < 0:
		return nil, fmt.Errorf("jitter %v is negative", s.Jitter)
	case s.Every != 0 && s.Cron != "":
		return nil, errors.New("every and cron are both set: keep one of them")
	case s.Every == 0 && s.Cron == "":
		return nil, errors.New("neither every nor cron is set: set one of them, such as every: 5s")
	case s.Cron != "":
		return s.compileCron()
	case s.TZ != "":
		return nil, errors.New("tz has no meaning for every: remove it, or use cron")
	case s.Every < minEvery:
		return nil, fmt.Errorf("every %v is too short: at least %v", s.Every, minEvery)
	case s.Jitter >= s.Every:
		return nil, fmt.Errorf("jitter %v is not less than every %v", s.Jitter, s.Every)
	}
	return nil, nil
}

// searchYears is how far ahead a tick may lie. Within 40 years every
// combination of a date and a weekday has come, the 29th of February too.
const searchYears = 40

func (s Spec) compileCron() (*calendar, error) {
	loc, err := time.LoadLocation(s.TZ)
	if err != nil {
		return nil, fmt.Errorf("tz %q is not a known time zone: use a name such as Europe/Berlin", s.TZ)
	}
	line := strings.TrimSpace(s.Cron)
	switch {
	case strings.HasPrefix(line, "TZ=") || strings.HasPrefix(line, "CRON_TZ="):
		return nil, fmt.Errorf("cron %q: a zone does not belong into the line: use tz", s.Cron)
	case strings.HasPrefix(line, "@every"):
		return nil, fmt.Errorf("cron %q: use every for an interval", s.Cron)
	}
	p, err := cron.TryNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow |
		cron.Descriptor | cron.Extended | cron.DowOrDom)
	if err != nil {
		return nil, fmt.Errorf("cron parser: %w", err)
	}
	parsed, err := p.WithMaxSearchYears(searchYears).Parse(line)
	if err != nil {
		return nil, fmt.Errorf("cron %q: %v: the fields are minute, hour, day of month, month, day of week", s.Cron, err)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("cron %q is not a table of times", s.Cron)
	}
	return newCalendar(s.Cron, spec, loc)
}

package schedule

import (
	"strings"
	"testing"
	"time"
)

// slots lists the n slots of a cron line after from, as local times with their offset.
func slots(t *testing.T, line, zone, from string, n int) []string {
	t.Helper()
	cal, err := Spec{Cron: line, TZ: zone}.compile()
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.RFC3339, from)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for range n {
		if at = cal.next(at); at.IsZero() {
			break
		}
		out = append(out, at.In(cal.loc).Format("01-02T15:04Z07"))
	}
	return out
}

func TestCalendar(t *testing.T) {
	const berlin, newYork = "Europe/Berlin", "America/New_York"
	for _, c := range []struct{ name, line, zone, from, want string }{
		{"weekdays", "0 9 * * MON-FRI", berlin, "2026-01-02T00:00:00+01:00", "01-02T09:00+01 01-05T09:00+01 01-06T09:00+01"},
		{"utc by default", "30 4 * * *", "", "2026-01-02T00:00:00Z", "01-02T04:30Z 01-03T04:30Z"},
		{"strictly after", "30 4 * * *", "", "2026-01-02T04:30:00Z", "01-03T04:30Z"},
		{"either day as POSIX says", "0 0 13 * FRI", "", "2026-01-01T12:00:00Z", "01-02T00:00Z 01-09T00:00Z 01-13T00:00Z 01-16T00:00Z"},
		{"last Friday", "0 0 * * FRI#L", "", "2026-01-01T00:00:00Z", "01-30T00:00Z 02-27T00:00Z"},
		{"last day", "0 0 L * *", "", "2026-01-31T12:00:00Z", "02-28T00:00Z 03-31T00:00Z"},
		{"leap day", "0 0 29 2 *", "", "2026-01-01T00:00:00Z", "02-29T00:00Z"},
		{"descriptor", "@daily", newYork, "2026-01-01T12:00:00-05:00", "01-02T00:00-05"},

		{"Berlin gap", "30 2 * * *", berlin, "2026-03-28T00:00:00+01:00", "03-28T02:30+01 03-29T03:00+02 03-30T02:30+02"},
		{"Berlin gap, asked in its last second", "30 2 * * *", berlin, "2026-03-29T00:59:59Z", "03-29T03:00+02 03-30T02:30+02"},
		{"Berlin gap, asked at its end", "30 2 * * *", berlin, "2026-03-29T01:00:00Z", "03-30T02:30+02"},
		{"Berlin gap swallows several", "*/20 2 * * *", berlin, "2026-03-29T00:00:00+01:00", "03-29T03:00+02 03-30T02:00+02"},
		{"Berlin gap meets the next", "0 2,3 * * *", berlin, "2026-03-29T00:00:00+01:00", "03-29T03:00+02 03-30T02:00+02"},
		{"Berlin gap, rhythm", "*/30 * * * *", berlin, "2026-03-29T01:00:00+01:00", "03-29T01:30+01 03-29T03:00+02 03-29T03:30+02"},
		{"Berlin gap, rhythm past the hour", "15 * * * *", berlin, "2026-03-29T01:00:00+01:00", "03-29T01:15+01 03-29T03:15+02"},
		{"Berlin overlap", "30 2 * * *", berlin, "2026-10-24T12:00:00+02:00", "10-25T02:30+02 10-26T02:30+01"},
		{"Berlin overlap, asked in the second pass", "30 2 * * *", berlin, "2026-10-25T02:10:00+01:00", "10-26T02:30+01"},
		{"Berlin overlap at its edges", "0 2,3 * * *", berlin, "2026-10-25T00:00:00+02:00", "10-25T02:00+02 10-25T03:00+01 10-26T02:00+01"},
		{"Berlin overlap, rhythm", "30 * * * *", berlin, "2026-10-25T01:00:00+02:00", "10-25T01:30+02 10-25T02:30+02 10-25T02:30+01 10-25T03:30+01"},
		{"Berlin overlap, rhythm at the change", "0 * * * *", berlin, "2026-10-25T01:30:00+02:00", "10-25T02:00+02 10-25T02:00+01 10-25T03:00+01"},

		{"New York gap", "30 2 * * *", newYork, "2026-03-07T12:00:00-05:00", "03-08T03:00-04 03-09T02:30-04"},
		{"New York overlap", "30 1 * * *", newYork, "2026-10-31T12:00:00-04:00", "11-01T01:30-04 11-02T01:30-05"},
		{"New York overlap, second pass", "30 1 * * *", newYork, "2026-11-01T01:00:00-05:00", "11-02T01:30-05"},
		{"New York, rhythm", "0 * * * *", newYork, "2026-11-01T00:30:00-04:00", "11-01T01:00-04 11-01T01:00-05 11-01T02:00-05"},

		{"midnight that is not", "0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", "11-04T01:00-02 11-05T00:00-02"},
		{"half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "10-04T02:30+11 10-05T02:15+11"},
		{"a day that is not", "0 9 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", "12-29T09:00-10 12-31T00:00+14 12-31T09:00+14"},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := strings.Fields(c.want)
			got := slots(t, c.line, c.zone, c.from, len(want))
			if strings.Join(got, " ") != c.want {
				t.Errorf("slots(%q, %s) = %v, want %v", c.line, c.zone, got, want)
			}
		})
	}
}

// Every day of three years has exactly one tick of a daily line, whatever its
// time and zone.
func TestCalendarOncePerDay(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "UTC"} {
		for _, line := range []string{"0 0 * * *", "59 0 * * *", "30 1 * * *", "0 2 * * *", "30 2 * * *", "59 2 * * *", "0 3 * * *", "59 23 * * *"} {
			cal, err := Spec{Cron: line, TZ: zone}.compile()
			if err != nil {
				t.Fatal(err)
			}
			at := time.Date(2024, 12, 31, 23, 59, 59, 0, cal.loc)
			day := at
			for range 3 * 365 {
				day = time.Date(day.Year(), day.Month(), day.Day()+1, 12, 0, 0, 0, cal.loc)
				at = cal.next(at)
				y, m, d := at.In(cal.loc).Date()
				if y != day.Year() || m != day.Month() || d != day.Day() {
					t.Fatalf("%q in %s: tick at %v, want one on %s", line, zone, at.In(cal.loc), day.Format(time.DateOnly))
				}
			}
		}
	}
}

func TestSpecCheck(t *testing.T) {
	for _, c := range []struct {
		name string
		spec Spec
		want string // part of the error; empty for none
	}{
		{"every", Spec{Every: time.Second}, ""},
		{"every with jitter", Spec{Every: time.Second, Jitter: time.Second - 1}, ""},
		{"neither", Spec{}, "neither every nor cron"},
		{"both", Spec{Every: 1, Cron: "* * * * *"}, "both set"},
		{"negative", Spec{Every: -time.Second}, "too short"},
		{"too short", Spec{Every: time.Microsecond}, "too short"},
		{"jitter too long", Spec{Every: time.Second, Jitter: time.Second}, "not less than"},
		{"jitter negative", Spec{Every: time.Second, Jitter: -1}, "negative"},
		{"zone without cron", Spec{Every: time.Second, TZ: "Europe/Berlin"}, "tz has no meaning"},
		{"unknown zone", Spec{Cron: "* * * * *", TZ: "Mars/Phobos"}, "not a known time zone"},
		{"zone that is a path", Spec{Cron: "* * * * *", TZ: "../etc/passwd"}, "not a known time zone"},
		{"zone in the line", Spec{Cron: "TZ=Europe/Berlin * * * * *"}, "use tz"},
		{"interval in the line", Spec{Cron: "@every 5s"}, "use every"},
		{"six fields", Spec{Cron: "0 0 9 * * *"}, "fields are"},
		{"empty fields", Spec{Cron: "   "}, "cron"},
		{"out of range", Spec{Cron: "60 * * * *"}, "60"},
		{"never", Spec{Cron: "0 0 30 2 *"}, "no day ever matches"},
		{"rubbish", Spec{Cron: "\x00\xff"}, "cron"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.spec.Check()
			switch {
			case c.want == "" && err != nil:
				t.Errorf("Check(%+v) = %v, want nil", c.spec, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("Check(%+v) = %v, want an error with %q", c.spec, err, c.want)
			}
		})
	}
}

func TestSpecString(t *testing.T) {
	for _, c := range []struct {
		spec Spec
		want string
	}{
		{Spec{Every: 5 * time.Second}, "every 5s"},
		{Spec{Every: 90 * time.Minute, Jitter: time.Minute}, "every 1h30m, jitter 1m"},
		{Spec{Every: 2 * time.Hour}, "every 2h"},
		{Spec{Cron: "0 9 * * MON-FRI", TZ: "Europe/Berlin"}, "0 9 * * MON-FRI Europe/Berlin"},
		{Spec{Cron: "@daily"}, "@daily UTC"},
	} {
		if got := c.spec.String(); got != c.want {
			t.Errorf("%+v prints %q, want %q", c.spec, got, c.want)
		}
	}
}

func FuzzSpec(f *testing.F) {
	f.Add("*/5 1-3 L * FRI#2", "Europe/Berlin", int64(1774746000))
	f.Add("0 0 29 2 MON", "America/New_York", int64(0))
	f.Add("59 23 31W 12 7", "Asia/Kathmandu", int64(-1))
	f.Fuzz(func(t *testing.T, line, zone string, unix int64) {
		cal, err := Spec{Cron: line, TZ: zone}.compile()
		if err != nil {
			return
		}
		at, began := time.Unix(unix%(1<<36), 0), time.Now()
		defer func() {
			if took := time.Since(began); took > time.Second {
				t.Fatalf("five slots of %q in %s after %d took %v", line, zone, unix, took)
			}
		}()
		for range 5 {
			next := cal.next(at)
			if next.IsZero() {
				return
			}
			if !next.After(at) {
				t.Fatalf("next(%v) = %v for %q in %s", at, next, line, zone)
			}
			at = next
		}
	})
}

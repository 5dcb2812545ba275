package beat

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// Each letter is an interval: "." no new beat, "+" one, "!" one that is not healthy,
// "?" memory that cannot be read. The states are those after each.
func TestJudge(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		missed, lost int
		in           string
		want         string // o ok, d degraded, l lost, - none yet
	}{
		"steady":            {3, 6, "+++++++", "-oooooo"},
		"starts late":       {3, 6, "..+..+.+", "--oooooo"},
		"never starts":      {3, 6, "........", "---dddll"},
		"one late":          {3, 6, "++.+..+.", "-ooooooo"},
		"three missed":      {3, 6, "++...+", "-ooodo"},
		"lost, comes back":  {3, 6, "++.......+", "-ooodddllo"},
		"not healthy":       {3, 6, "++!!+", "-oddo"},
		"not healthy, dies": {3, 6, "+!......", "-ddddddl"},
		"stale, unhealthy":  {3, 6, "!..+", "---o"},
		"unreadable":        {3, 6, "++??????", "-ooodddl"},
		"unreadable once":   {3, 6, "++?+", "-ooo"},
		"lost at once":      {3, 3, "++...", "-oool"},
		"first miss":        {1, 2, "++..+", "-odlo"},
	} {
		j := judge{opts: MonitorOptions{Interval: 1, Missed: tt.missed, Lost: tt.lost}}
		var got strings.Builder
		var b Beat
		for _, c := range tt.in {
			var err error
			switch c {
			case '+', '!':
				b.Sequence++
				b.Status = Healthy
				if c == '!' {
					b.Status = 7
				}
			case '?':
				err = ErrCorrupt
			}
			before, status := j.state, j.status
			change, ok := j.step(b, err)
			if ok != (j.state != before || j.status != status) || ok && (change.State != j.state || change.Err != err || change.Missed != j.missed) {
				t.Errorf("%s: step() = %+v, %v from %q to %q", name, change, ok, before, j.state)
			}
			got.WriteString(map[State]string{"": "-", OK: "o", Degraded: "d", Lost: "l"}[j.state])
		}
		if got.String() != tt.want {
			t.Errorf("%s: %q gives %q, want %q", name, tt.in, got.String(), tt.want)
		}
	}
}

func TestMonitorOptions(t *testing.T) {
	t.Parallel()
	r := new(Reader)
	for _, opts := range []MonitorOptions{{}, {Interval: -1}, {Interval: 1, Missed: -1}, {Interval: 1, Lost: -1}} {
		if m, err := NewMonitor(r, opts); m != nil || !errors.Is(err, os.ErrInvalid) {
			t.Errorf("NewMonitor(%+v) = %v, %v, want os.ErrInvalid", opts, m, err)
		}
	}
	for _, tt := range []struct{ in, want MonitorOptions }{
		{MonitorOptions{Interval: time.Second}, MonitorOptions{time.Second, 3, 6}},
		{MonitorOptions{Interval: time.Second, Missed: 5}, MonitorOptions{time.Second, 5, 10}},
		{MonitorOptions{Interval: time.Second, Lost: 3}, MonitorOptions{time.Second, 3, 3}},
	} {
		if m, err := NewMonitor(r, tt.in); err != nil || m.opts != tt.want {
			t.Errorf("NewMonitor(%+v) = %+v, %v, want %+v", tt.in, m, err, tt.want)
		}
	}
}

func TestRunEnds(t *testing.T) {
	t.Parallel()
	m, err := NewMonitor(new(Reader), MonitorOptions{Interval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	never := func(c Change) { t.Errorf("notified of %+v", c) }
	if err := m.Run(context.Background(), never); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Run() on a closed reader = %v, want os.ErrClosed", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	m.read = func() (Beat, error) {
		cancel(errors.New("enough"))
		return Beat{}, ErrNone
	}
	if err := m.Run(ctx, never); err == nil || err.Error() != "enough" {
		t.Errorf("Run() = %v, want the cause of the context", err)
	}
}

package watch

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// These tests run on a clock of their own: the tree is made up, and looked at by
// polling.

func TestTreeThatNeverSettles(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "app")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 61*time.Second)
		defer cancel()
		log := &logs{}
		scans := 0
		err := Run(ctx, Options{
			Dir: missing, ForcePoll: true, Log: slog.New(slog.NewTextHandler(log, nil)),
			Scan:    func() (string, error) { scans++; return fmt.Sprint(scans), nil },
			Changed: func(d string) { t.Errorf("%s is reported though nothing is stable", d) },
		})
		if err != context.DeadlineExceeded {
			t.Errorf("Run = %v, want the end of the context", err)
		}
		if n := strings.Count(log.String(), "keep changing"); n < 10 || n > 13 {
			t.Errorf("%d warnings in a minute, want one every 5 s", n)
		}
		if scans > 61*20 {
			t.Errorf("%d scans in a minute, want at most one a quiet period", scans)
		}
	})
}

func TestTwoEqualDigestsOneQuietPeriodApart(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "app")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		begin := time.Now()
		state := func() string { // changes at 1 s and 1.05 s, then stays
			switch since := time.Since(begin); {
			case since < time.Second:
				return "a"
			case since < 1050*time.Millisecond:
				return "half"
			}
			return "b"
		}
		var got []string
		Run(ctx, Options{
			Dir: missing, ForcePoll: true, Quiet: 60 * time.Millisecond, Poll: 100 * time.Millisecond,
			Scan: func() (string, error) { return state(), nil },
			Changed: func(d string) {
				got = append(got, d)
				if d == "b" {
					if took := time.Since(begin); took > 1300*time.Millisecond {
						t.Errorf("reported after %v, want within a poll and two quiet periods", took)
					}
					cancel()
				}
			},
		})
		if fmt.Sprint(got) != "[a b]" {
			t.Errorf("reported %v, want a and b without what lay between", got)
		}
	})
}

// A tree that takes long to scan is looked at less often.
func TestPollingIsBoundedByItsCost(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "app")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		scans := 0
		Run(ctx, Options{
			Dir: missing, ForcePoll: true, Seen: "x", Changed: func(string) {},
			Scan: func() (string, error) { scans++; time.Sleep(time.Second); return "x", nil },
		})
		if scans > 11 {
			t.Errorf("%d scans of a second each in a minute, want at most 11", scans)
		}
	})
}

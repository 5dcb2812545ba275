package app_test

import (
	"testing"

	"github.com/theseus-run/theseus/app"
)

func TestEventsKeepEachTypeApart(t *testing.T) {
	var events app.Events
	events.Publish(app.Event{Type: "update", Message: "first"})
	for range 5000 {
		events.Publish(app.Event{Type: "log"})
	}
	events.Publish(app.Event{Type: "update", Message: "second"})
	sub := events.Subscribe(0)
	defer sub.Close()
	var last int64
	updates, n := 0, len(sub.C)
	for range n {
		e := <-sub.C
		if e.ID <= last {
			t.Fatalf("event %d after %d", e.ID, last)
		}
		if last = e.ID; e.Type == "update" {
			updates++
		}
	}
	if updates != 2 || last != 5002 || n > 1100 {
		t.Errorf("%d updates among %d events, the last is %d", updates, n, last)
	}
	if got := events.Recent(1, func(e app.Event) bool { return e.Type == "update" }); len(got) != 1 || got[0].Message != "second" {
		t.Errorf("recent %+v", got)
	}
}

func TestSlowSubscriberIsEnded(t *testing.T) {
	var events app.Events
	sub := events.Subscribe(-1)
	for range 1000 {
		events.Publish(app.Event{Type: "log"})
	}
	n := 0
	for range sub.C { // closed once it has fallen behind
		n++
	}
	if !sub.Lagged() || n == 0 || n >= 1000 {
		t.Errorf("lagged %v after %d events", sub.Lagged(), n)
	}
	sub.Close()
	sub.Close()
}

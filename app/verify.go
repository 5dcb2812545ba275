package app

import (
	"fmt"

	"github.com/theseus-run/theseus/internal/store"
)

// A verification reads what is live from disk, beside the work on an update: what the
// update would go back to must be there, and what both have in common is written anew
// where it is damaged.
type verification struct {
	number  int
	done    chan struct{}
	damaged []error // once done is closed
}

// verify begins one; nil if nothing is live.
func (a *App) verify() *verification {
	v := &verification{number: a.liveNumber(), done: make(chan struct{})}
	if v.number == 0 {
		return nil
	}
	go func() {
		defer close(v.done)
		v.damaged = a.store.Verify(v.number)
	}()
	return v
}

// wait returns what is damaged.
func (v *verification) wait() []error {
	if v == nil {
		return nil
	}
	<-v.done
	return v.damaged
}

// verified waits for the verification of what is live, and verifies the candidate
// meanwhile. Only what is wrong with the candidate is an error.
func (s *staging) verified() error {
	err := s.gen.tree.Verify()
	if damaged := s.live.wait(); len(damaged) > 0 {
		s.up.u.Warnings = append(s.up.u.Warnings, Problem{Kind: "store", Message: s.up.app.tellDamage(s.live.number, damaged),
			Hint: "what this update has in common with it is written anew; `theseus fsck --full` tells what is left"})
	}
	if err != nil {
		return &store.Error{Op: "verify", Path: s.up.app.path, Err: err, Hint: "apply it again; if it comes back, check the memory of this machine"}
	}
	return nil
}

// tellDamage tells that a generation is damaged on disk, and returns the text.
func (a *App) tellDamage(number int, damaged []error) string {
	text := fmt.Sprintf("gen %d, which is live, is damaged on disk: %v", number, damaged[0])
	if more := len(damaged) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	a.log.Error(text, "generation", number)
	a.events.Publish(Event{Type: "generation", Level: "error", Message: text, Generation: number})
	return text
}

// verifyLater does so for what has just become live again from memory: a rollback waits
// for no disk.
func (a *App) verifyLater(number int) {
	a.loops.Go(func() {
		if damaged := a.store.Verify(number); len(damaged) > 0 && !a.closing.Load() {
			a.tellDamage(number, damaged)
		}
	})
}

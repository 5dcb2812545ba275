package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/theseus-run/theseus/app"
)

// request is a change that somebody asks for.
type request struct {
	method     string // Reload or Rollback
	generation int32
	message    string
	expect     int32
	key        string
	final      bool // data may be changed for good
	who        string
	force      bool
}

// validate returns what is wrong with the request itself.
func (r request) validate() error {
	switch {
	case r.expect < 0:
		return invalid("expected_generation is %d: generations count from 1, 0 skips the check", r.expect)
	case len(r.message) > maxMessage:
		return invalid("message has %d bytes: %d are the most", len(r.message), maxMessage)
	case len(r.key) > maxKey:
		return invalid("idempotency_key has %d bytes: %d are the most", len(r.key), maxKey)
	}
	return nil
}

// print tells whether two requests with one key ask for the same.
func (r request) print() string {
	return fmt.Sprintf("%s\x00%d\x00%d\x00%t\x00%t\x00%s", r.method, r.generation, r.expect, r.final, r.force, r.message)
}

// change carries out a request, once per key, and leaves a record in the log. A
// request with a key runs on when its caller is gone, so that asking again with
// the key finds the result; one without ends with its caller. Replayed is true
// for the result of an earlier request. The error is one that connect sends.
func (s *Server) change(ctx context.Context, r request, do func(context.Context, app.Change) (app.Update, error)) (u app.Update, replayed bool, err error) {
	if err := r.validate(); err != nil {
		return app.Update{}, false, err
	}
	run := func(ctx context.Context) (app.Update, error) {
		// Line breaks would forge lines in the history.
		message := strings.Join(strings.Fields(valid(r.message)), " ")
		start := time.Now()
		u, err := do(ctx, app.Change{Trigger: "api", Who: r.who, Message: message, Expect: int(r.expect), Force: r.force, Irreversible: r.final})
		s.audit(r, message, time.Since(start), u, err)
		return u, err
	}
	if r.key == "" {
		u, err = run(ctx)
	} else {
		u, replayed, err = s.replays.do(ctx, r.key, r.print(), run)
	}
	if err != nil {
		return app.Update{}, false, s.rpcError(err)
	}
	return u, replayed, nil
}

// audit logs who changed what, and how it ended.
func (s *Server) audit(r request, message string, took time.Duration, u app.Update, err error) {
	if refused := (*app.RefusedError)(nil); errors.As(err, &refused) {
		u = refused.Update
	}
	if u.Generation == 0 {
		u.Generation = u.From // what serves on
	}
	attrs := []any{"method", r.method, "who", r.who, "message", message, "expect", r.expect,
		"update", u.ID, "outcome", u.Outcome, "generation", u.Generation, "took", took}
	if r.generation != 0 {
		attrs = append(attrs, "to", r.generation)
	}
	switch {
	case u.Outcome == app.OutcomeRefused: // why is in the update's own line
		s.log.Warn("admin change refused", attrs...)
	case err != nil:
		s.log.Warn("admin change failed", append(attrs, "error", err)...)
	default:
		s.log.Info("admin change", attrs...)
	}
}

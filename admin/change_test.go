package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/app"
)

// Each way a change fails has its own code, HTTP status and detail.
func TestErrorMapping(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		code connect.Code
		http int
	}{
		"refused":   {&app.RefusedError{Update: app.Update{ID: "u9", Problems: []app.Problem{{Message: "boom", File: "a.js", Line: 3, Frame: "> 3 |"}}}}, connect.CodeFailedPrecondition, 400},
		"conflict":  {fmt.Errorf("x: %w", app.ErrConflict), connect.CodeAborted, 409},
		"not found": {fmt.Errorf("x: %w", app.ErrNotFound), connect.CodeNotFound, 404},
		"closed":    {app.ErrClosed, connect.CodeUnavailable, 503},
		"other":     {errors.New("disk full"), connect.CodeInternal, 500},
		"bad text":  {errors.New("file \xff"), connect.CodeInternal, 500},
	} {
		t.Run(name, func(t *testing.T) {
			r := serve(t, newFake(), Options{Token: testToken})
			r.app.set(func(f *fakeApp) { f.err = tt.err })
			c := r.dial(t)
			_, err := c.Reload(t.Context(), connect.NewRequest(&adminv1.ReloadRequest{}))
			if connect.CodeOf(err) != tt.code {
				t.Fatalf("Reload = %v, want %v", err, tt.code)
			}
			if code, _, body := r.do(t, http.MethodPost, rpcPath+"Rollback", "{}", nil); code != tt.http {
				t.Errorf("Rollback = %d %s, want %d", code, body, tt.http)
			}
			u, refused := RefusalOf(err)
			live, conflict := ConflictOf(err)
			if refused != (name == "refused") || conflict != (name == "conflict") {
				t.Errorf("refused %v, conflict %v", refused, conflict)
			}
			if refused && (u.ID != "u9" || u.Problems[0].Line != 3 || u.Problems[0].Frame != "> 3 |") {
				t.Errorf("refusal = %+v", u)
			}
			if conflict && live != 3 {
				t.Errorf("live = %d, want 3", live)
			}
		})
	}
}

// The reads report what is not kept.
func TestNotFound(t *testing.T) {
	r := serve(t, newFake(), Options{Token: testToken})
	for path, body := range map[string]string{
		"GetGeneration": `{"number":99}`, "DiffGenerations": `{"from":1,"to":99}`, "GetRun": `{"id":"x"}`, "Rollback": `{"generation":99}`,
	} {
		if code, _, out := r.do(t, http.MethodPost, rpcPath+path, body, nil); code != 404 || !strings.Contains(out, "not found") {
			t.Errorf("%s = %d %s, want 404", path, code, out)
		}
	}
}

// A change that expects another generation to be live does nothing.
func TestExpectedGeneration(t *testing.T) {
	r := serve(t, newFake(), Options{Token: testToken})
	c := r.dial(t)
	if _, err := c.Rollback(t.Context(), connect.NewRequest(&adminv1.RollbackRequest{ExpectedGeneration: 2})); connect.CodeOf(err) != connect.CodeAborted {
		t.Errorf("expecting 2 while 3 is live = %v, want aborted", err)
	}
	res, err := c.Rollback(t.Context(), connect.NewRequest(&adminv1.RollbackRequest{ExpectedGeneration: 3, Message: "two\nlines\x1b[0m"}))
	if err != nil || res.Msg.Update.Message != "two lines\x1b[0m" || res.Msg.Update.Trigger != "api" {
		t.Errorf("expecting 3 = %v, %v", res, err)
	}
	if !strings.Contains(r.log.String(), "method=Rollback") || strings.Count(r.log.String(), "\n") != 2 {
		t.Errorf("the log has not one line per change:\n%s", r.log)
	}
}

// A key makes a change happen once, however often and by whichever way it is asked for.
func TestIdempotency(t *testing.T) {
	r := serve(t, newFake(), Options{Token: testToken})
	c, ctx := r.dial(t), t.Context()
	ask := func(key, message string) (*adminv1.ReloadResponse, error) {
		res, err := c.Reload(ctx, connect.NewRequest(&adminv1.ReloadRequest{IdempotencyKey: key, Message: message}))
		if err != nil {
			return nil, err
		}
		return res.Msg, nil
	}
	first, err := ask("k", "m")
	if err != nil || first.Replayed || first.Update.Generation != 4 {
		t.Fatalf("first = %v, %v", first, err)
	}
	again, err := ask("k", "m")
	if err != nil || !again.Replayed || again.Update.Id != first.Update.Id {
		t.Fatalf("again = %v, %v", again, err)
	}
	if _, err := ask("k", "other"); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("key with another message = %v, want invalid_argument", err)
	}
	if _, err := c.Rollback(ctx, connect.NewRequest(&adminv1.RollbackRequest{IdempotencyKey: "k", Message: "m"})); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("key with another method = %v, want invalid_argument", err)
	}

	// A refusal is a result; a conflict or a failure is none, and may be tried again.
	r.app.set(func(f *fakeApp) { f.broken = []app.Problem{{Message: "boom"}} })
	for range 2 {
		if _, err := ask("bad", ""); connect.CodeOf(err) != connect.CodeFailedPrecondition {
			t.Errorf("refused = %v", err)
		}
	}
	r.app.set(func(f *fakeApp) { f.broken, f.err = nil, errors.New("disk full") })
	if _, err := ask("retry", ""); connect.CodeOf(err) != connect.CodeInternal {
		t.Errorf("failed = %v", err)
	}
	r.app.set(func(f *fakeApp) { f.err = nil })
	if res, err := ask("retry", ""); err != nil || res.Replayed {
		t.Errorf("tried again = %v, %v", res, err)
	}
	if n := len(r.app.changes()); n != 4 {
		t.Errorf("the app was changed %d times, want 4", n)
	}
}

// A caller that gives up finds the result of a keyed change later; the change
// of one without a key ends with it.
func TestDeadline(t *testing.T) {
	r := serve(t, newFake(), Options{Token: testToken})
	r.app.set(func(f *fakeApp) { f.block, f.entered = make(chan struct{}), make(chan struct{}, 9) })
	c := r.dial(t)
	for _, key := range []string{"", "k"} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err := c.Reload(ctx, connect.NewRequest(&adminv1.ReloadRequest{IdempotencyKey: key}))
		cancel()
		if connect.CodeOf(err) != connect.CodeDeadlineExceeded {
			t.Errorf("key %q: %v, want deadline_exceeded", key, err)
		}
		<-r.app.entered
	}
	if code, _, body := r.do(t, http.MethodPost, rpcPath+"Reload", "{}", func(q *http.Request) { q.Header.Set("Connect-Timeout-Ms", "20") }); code != http.StatusGatewayTimeout {
		t.Errorf("Connect-Timeout-Ms = %d %s, want 504", code, body)
	}
	close(r.app.block)
	res, err := c.Reload(t.Context(), connect.NewRequest(&adminv1.ReloadRequest{IdempotencyKey: "k"}))
	if err != nil || !res.Msg.Replayed || res.Msg.Update.Generation != 4 {
		t.Errorf("asking again = %v, %v", res, err)
	}
	if n := len(r.app.changes()); n != 1 {
		t.Errorf("%d changes were made, want 1", n)
	}
	r.app.set(func(f *fakeApp) { f.hung = true })
	if code, _, body := r.do(t, http.MethodPost, rpcPath+"Plan", "{}", func(q *http.Request) { q.Header.Set("Connect-Timeout-Ms", "20") }); code != http.StatusGatewayTimeout {
		t.Errorf("Plan = %d %s, want 504", code, body)
	}
}

// Stopping the server cancels a change that nobody waits for.
func TestCloseCancelsChanges(t *testing.T) {
	f := newFake()
	f.block, f.entered = make(chan struct{}), make(chan struct{}, 1)
	s := New(f, Options{Token: testToken})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-f.entered; cancel() }()
	_, _, err := s.change(ctx, request{method: "Reload", key: "k"}, f.Reload)
	if connect.CodeOf(err) != connect.CodeCanceled {
		t.Errorf("change = %v, want canceled", err)
	}
	s.Close() // hangs if the change is not canceled
	s.Close()
	if _, _, err := s.change(t.Context(), request{method: "Reload", key: "k2"}, f.Reload); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("change after Close = %v, want unavailable", err)
	}
}

// A panic in the app is an error of this call alone.
func TestPanics(t *testing.T) {
	r := serve(t, newFake(), Options{Token: testToken})
	r.app.set(func(f *fakeApp) { f.panics = true })
	for _, body := range []string{"{}", `{"idempotencyKey":"k"}`} {
		if code, _, out := r.do(t, http.MethodPost, rpcPath+"Plan", "{}", nil); code != 500 || strings.Contains(out, "fell over") {
			t.Errorf("Plan = %d %s, want 500 without the reason", code, out)
		}
		// The fake holds its lock while it panics and gives it back.
		if code, _, out := r.do(t, http.MethodPost, rpcPath+"Reload", body, nil); code != 500 {
			t.Errorf("Reload %s = %d %s, want 500", body, code, out)
		}
	}
	if code, _, _ := r.do(t, http.MethodGet, "/livez", "", nil); code != 200 {
		t.Errorf("livez = %d after panics", code)
	}
}

// Keys are kept for a day, and no more than the limit.
func TestReplaysBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newReplays()
		c.limit = 3
		defer c.close()
		calls := 0
		ask := func(key string) bool {
			t.Helper()
			_, replayed, err := c.do(t.Context(), key, "", func(context.Context) (app.Update, error) { calls++; return app.Update{}, nil })
			if err != nil {
				t.Fatal(err)
			}
			return replayed
		}
		ask("a")
		time.Sleep(replayKeep - time.Second)
		if !ask("a") {
			t.Error("a key was forgotten within its day")
		}
		time.Sleep(2 * time.Second)
		if ask("a") {
			t.Error("a key was kept beyond its day")
		}
		for _, key := range []string{"b", "c", "a", "d", "e"} {
			ask(key)
		}
		if c.order.Len() != 3 || len(c.entries) != 3 {
			t.Errorf("%d keys are kept, want 3", c.order.Len())
		}
		if !ask("a") {
			t.Error("a key that was used just now was dropped")
		}
		if ask("b") || calls != 7 {
			t.Errorf("the oldest key was kept; %d calls", calls)
		}

		// What is under way is never dropped for something new.
		busy := make(chan struct{})
		for i := range 3 {
			go c.do(t.Context(), fmt.Sprint("busy", i), "", func(context.Context) (app.Update, error) { <-busy; return app.Update{}, nil })
		}
		synctest.Wait()
		if _, _, err := c.do(t.Context(), "one more", "", nil); !errors.Is(err, errBusy) {
			t.Errorf("beyond the limit: %v, want %v", err, errBusy)
		}
		close(busy)
		synctest.Wait()
	})
}

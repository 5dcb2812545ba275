package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/theseus-run/theseus/admin/v1"

	"github.com/theseus-run/theseus/admin"
	"github.com/theseus-run/theseus/app"
)

// Crash is how the service came back after a kill -9 in the middle of an update.
type Crash struct {
	Step       string  `json:"step"`        // that the update was before
	Generation int     `json:"generation"`  // the one that was live then, and is after
	AwayMs     float64 `json:"away_ms"`     // from the kill until the service answered again
	CartKept   bool    `json:"cart_kept"`   // what a customer had put into the cart
	AppliedNow int     `json:"applied_now"` // the generation of the same update, made again
}

// ok reports whether everything came back.
func (c *Crash) ok() bool { return c == nil || c.CartKept && c.AppliedNow > c.Generation }

// powerCut is the operator's file of hooks for the service: as soon as the file cut
// lies there, the process is killed when an update is whole on disk and about to be
// switched to.
const powerCut = `hooks:
  - name: power-cut
    before: swap
    kinds: [app]
    run: [sh, -c, 'test ! -e "$0" || { rm "$0" && kill -9 $PPID; }', %q]
`

// cutFile is the file whose presence kills the service.
func (a *act) cutFile() string { return filepath.Join(filepath.Dir(a.program), "cut") }

// hooks writes the file of hooks, and returns its name.
func (a *act) hooks() (string, error) {
	name := filepath.Join(filepath.Dir(a.program), "hooks.yaml")
	return name, os.WriteFile(name, fmt.Appendf(nil, powerCut, a.cutFile()), 0o600)
}

// crash kills the service in the middle of an update, starts it again, and makes the
// update once more. It is the third part of the demo; nothing else asks meanwhile.
func (a *act) crash(ctx context.Context) error {
	if err := a.untilAlone(ctx); err != nil {
		return err
	}
	customer, err := newCustomer(a.service.url)
	if err != nil {
		return err
	}
	before, err := customer.buy(ctx)
	if err != nil {
		return err
	}
	st, err := a.service.status(ctx)
	if err != nil {
		return err
	}
	c := &Crash{Step: "swap", Generation: st.Live.Number}
	if err := os.WriteFile(a.cutFile(), nil, 0o600); err != nil {
		return err
	}
	if u, err := a.service.reload(ctx); err == nil {
		return fmt.Errorf("the update %s ended as %s, want the process killed during it", u.ID, u.Outcome)
	}
	select {
	case <-a.service.over:
	case <-time.After(patience):
		return errors.New("theseus run was not killed by the hook")
	}
	began := time.Now()
	a.say("    pid %d killed: the update was whole on disk and not yet switched to", a.pid)
	if err := a.serve(ctx); err != nil {
		return err
	}
	customer.base = a.service.url
	after, err := customer.cart(ctx)
	if err != nil {
		return err
	}
	c.AwayMs, c.CartKept = float64(time.Since(began).Microseconds())/1000, before == after
	if !c.CartKept {
		return fmt.Errorf("the cart was %s, and is %s", before, after)
	}
	if st, err = a.service.status(ctx); err != nil {
		return err
	}
	if st.Live.Number != c.Generation {
		return fmt.Errorf("gen %d is live after the crash, want %d", st.Live.Number, c.Generation)
	}
	u, err := a.service.interrupted(ctx)
	if err != nil {
		return err
	}
	a.say("    pid %d started again: gen %d answers after %.0f ms, the carts as they were", a.pid, c.Generation, c.AwayMs)
	a.say("    history: %s %s, from gen %d", u.ID, u.Outcome, u.From)
	if u, err = a.service.reload(ctx); err != nil {
		return fmt.Errorf("the same update once more: %w", err)
	}
	c.AppliedNow = u.Generation
	a.say("    the same once more: gen %d ● live in %d ms", u.Generation, u.Ended.Sub(u.Started).Milliseconds())
	for _, m := range u.Migrations {
		a.say("    %s", m)
	}
	if after, err = customer.cart(ctx); err != nil || after != before {
		return fmt.Errorf("the cart was %s, and is %s: %v", before, after, err)
	}
	a.board.Crash = c
	return nil
}

// untilAlone waits until the process that serves is the only one.
func (a *act) untilAlone(ctx context.Context) error { return a.service.settled(ctx, a.pid) }

// reload is `theseus reload`.
func (s *service) reload(ctx context.Context) (app.Update, error) {
	c, ctx, done, err := s.dial(ctx)
	if err != nil {
		return app.Update{}, err
	}
	defer done()
	r, err := c.Reload(ctx, connect.NewRequest(&adminv1.ReloadRequest{Message: "demo"}))
	if err != nil {
		return app.Update{}, fmt.Errorf("reload: %w", err)
	}
	return admin.UpdateFrom(r.Msg.GetUpdate()), nil
}

// interrupted returns the newest update that a crash has ended.
func (s *service) interrupted(ctx context.Context) (app.Update, error) {
	c, ctx, done, err := s.dial(ctx)
	if err != nil {
		return app.Update{}, err
	}
	defer done()
	r, err := c.ListUpdates(ctx, connect.NewRequest(&adminv1.ListUpdatesRequest{Limit: 10}))
	if err != nil {
		return app.Update{}, fmt.Errorf("ask for the history: %w", err)
	}
	for _, m := range r.Msg.GetUpdates() {
		if u := admin.UpdateFrom(m); u.Outcome == app.OutcomeInterrupted {
			return u, nil
		}
	}
	return app.Update{}, errors.New("the history has no update that was interrupted")
}

// A customer has a cart.
type customer struct {
	base   string // of the app
	client *http.Client
}

func newCustomer(base string) (*customer, error) {
	jar, err := cookiejar.New(nil)
	return &customer{base: base, client: &http.Client{Jar: jar, Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}}, err
}

// buy puts something into the cart, and returns it.
func (c *customer) buy(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/cart", strings.NewReader(`{"sku":"rope","qty":2}`))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	return c.do(req)
}

// cart returns what is in it.
func (c *customer) cart(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+"/cart", nil)
	if err != nil {
		return "", err
	}
	return c.do(req)
}

func (c *customer) do(req *http.Request) (string, error) {
	resp, err := c.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s %s", req.Method, req.URL.Path, resp.Status, text)
	}
	return string(text), err
}

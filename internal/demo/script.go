package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/theseus-run/theseus/app"
)

// A step is one change to the running shop.
type step struct {
	does string // what the person does
	run  func(context.Context, *demo) error
}

// script is what the demo does, in order. Each step leaves the disk whole.
var script = []step{
	{"handlers/product.js: put a “Sale” badge on every product", func(ctx context.Context, d *demo) error {
		return d.edit(ctx, app.OutcomeLive, "", replace{"handlers/product.js", "badge: null", `badge: "Sale"`})
	}},
	{"handlers/product.js: forget a bracket", func(ctx context.Context, d *demo) error {
		if err := d.edit(ctx, app.OutcomeRefused, "handlers/product.js", replace{"handlers/product.js", "find(req.params.id)", "find(req.params.id"}); err != nil {
			return err
		}
		return d.inSync(ctx, replace{"handlers/product.js", "find(req.params.id", "find(req.params.id)"})
	}},
	{"handlers/lib/discount.js: give 90 % off by mistake; a test of the app knows better", func(ctx context.Context, d *demo) error {
		if err := d.edit(ctx, app.OutcomeRefused, "bulk discount", replace{"handlers/lib/discount.js", "off: 0.1 }", "off: 0.9 }"}); err != nil {
			return err
		}
		return d.inSync(ctx, replace{"handlers/lib/discount.js", "off: 0.9 }", "off: 0.1 }"})
	}},
	{"three files in one save: handler, library and config get version 2 together", func(ctx context.Context, d *demo) error {
		return d.edit(ctx, app.OutcomeLive, "",
			replace{"handlers/version.js", "VERSION = 1", "VERSION = 2"},
			replace{"handlers/lib/version.js", "LIBVERSION = 1", "LIBVERSION = 2"},
			replace{"config/shop.yaml", "revision: 1", "revision: 2"})
	}},
	{"workflows/order.yaml: a packing step, edited again while an order is being packed", workflowEdit},
	{"state/cart.js: every cart gets a currency, and a way back", func(ctx context.Context, d *demo) error {
		if err := d.change(ctx, app.OutcomeLive, "", func() error { return d.migrate() }); err != nil {
			return err
		}
		return d.migrated(0, 1)
	}},
	{"delete handlers/lib/stock.js, which others import", func(ctx context.Context, d *demo) error {
		file := filepath.Join(d.dir, "handlers/lib/stock.js")
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := d.change(ctx, app.OutcomeRefused, "still needed by", func() error { return os.Remove(file) }); err != nil {
			return err
		}
		return d.settle(ctx, func() error { return save(file, src) })
	}},
	{"theseus rollback", func(ctx context.Context, d *demo) error {
		d.board.RolledBack++
		before := d.in.App.Status().Live.Number
		start := time.Now()
		u, err := d.in.App.Rollback(ctx, 0, app.Change{Trigger: "api", Message: "demo"})
		if err != nil {
			return err
		}
		took := time.Since(start)
		if _, err := d.watch.next(ctx); err != nil {
			return err
		}
		s := d.in.App.Status()
		if s.Live.Number != u.Generation || u.Generation >= before || !s.Drift {
			return fmt.Errorf("live is gen %d, drift %v; want gen %d and drift", s.Live.Number, s.Drift, u.Generation)
		}
		d.say("    gen %d → gen %d in %s · disk ≠ live: %s", before, u.Generation, took.Round(10*time.Microsecond), s.DriftWhy)
		return d.migrated(1, 0)
	}},
}

// replace is an edit of one file.
type replace struct{ file, old, new string }

// edit makes the replacements in one go and expects the outcome.
func (d *demo) edit(ctx context.Context, want app.Outcome, reason string, edits ...replace) error {
	return d.change(ctx, want, reason, func() error { return d.apply(edits) })
}

// change does something to the disk and expects the outcome of the update that
// follows from it; reason must be part of why it was refused.
func (d *demo) change(ctx context.Context, want app.Outcome, reason string, do func() error) error {
	if err := do(); err != nil {
		return err
	}
	saved := time.Now()
	u, err := d.watch.next(ctx)
	if err != nil {
		return err
	}
	var problem app.Problem
	for _, p := range u.Problems {
		if strings.Contains(p.String(), reason) {
			problem = p
			break
		}
	}
	if u.Outcome != want || u.Outcome == app.OutcomeRefused && problem.Message == "" {
		return fmt.Errorf("outcome %s %v, want %s %q", u.Outcome, u.Problems, want, reason)
	}
	s := d.in.App.Status()
	if u.Outcome == app.OutcomeRefused {
		d.board.Refused++
		d.say("    ✗ refused: %s", problem)
		if f := problem.Frame; f != "" {
			d.say("      %s", strings.ReplaceAll(strings.TrimRight(f, "\n"), "\n", "\n      "))
		}
		d.say("    gen %d still live · disk ≠ live", s.Live.Number)
		if !s.Drift || !s.Ready || s.Live.Number != u.From {
			return fmt.Errorf("after a refused edit: drift %v, ready %v, gen %d live; want drift, ready, gen %d", s.Drift, s.Ready, s.Live.Number, u.From)
		}
		return nil
	}
	d.board.Live++
	took := u.Ended.Sub(saved)
	d.saves = append(d.saves, took)
	text := fmt.Sprintf("    gen %d ● live in %d ms", u.Generation, took.Milliseconds())
	for _, p := range u.Phases {
		text += fmt.Sprintf(" · %s %s", p.Name, rounded(p.Duration))
	}
	d.say("%s · %d tests · %d of %d units carried over", text, u.Tests, s.Live.Carried, s.Live.Units)
	return nil
}

func rounded(d time.Duration) time.Duration {
	if d < time.Millisecond {
		return d.Round(100 * time.Nanosecond)
	}
	return d.Round(100 * time.Microsecond)
}

// inSync undoes an edit and waits until the disk equals what is live.
func (d *demo) inSync(ctx context.Context, edits ...replace) error {
	return d.settle(ctx, func() error { return d.apply(edits) })
}

// settle does something to the disk that leads back to what is live, and waits
// until no drift is left.
func (d *demo) settle(ctx context.Context, do func() error) error {
	if err := do(); err != nil {
		return err
	}
	return until(ctx, "the drift to end, as the disk equals what is live", func() (bool, error) { return !d.in.App.Status().Drift, nil })
}

// apply makes the replacements; each must find its text exactly once.
func (d *demo) apply(edits []replace) error {
	for _, e := range edits {
		file := filepath.Join(d.dir, e.file)
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if n := strings.Count(string(src), e.old); n != 1 {
			return fmt.Errorf("%s has %q %d times, want once", e.file, e.old, n)
		}
		if err := save(file, []byte(strings.Replace(string(src), e.old, e.new, 1))); err != nil {
			return err
		}
	}
	return nil
}

// save writes a file the way many editors do: a new file renamed over the old one.
func save(file string, data []byte) error {
	tmp := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".swp")
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}

// packing is the step that the demo adds to the order workflow. An order with
// the card "slow" is packed until one with the card "quick" has been packed by the
// next version.
const packing = `export default ({ card }) => {
  if (card === "quick") kv.set("packed by", "%[1]s");
  for (const end = now() + 55000; card === "slow" && kv.get("packed by") !== "second" && now() < end; ) sleep(5);
  return { packed: true, by: "%[1]s" };
};
`

// workflowEdit adds a step to the order workflow, places an order that takes a
// while, changes the step during it, and places another one.
func workflowEdit(ctx context.Context, d *demo) error {
	pack := filepath.Join(d.dir, "handlers/lib/pack.js")
	err := d.change(ctx, app.OutcomeLive, "", func() error {
		if err := save(pack, fmt.Appendf(nil, packing, "first")); err != nil {
			return err
		}
		return d.apply([]replace{{"workflows/order.yaml", "  confirm:\n    needs: [charge]", "  pack: { needs: [charge], run: handlers/lib/pack.js, with: { card: \"${{ input.card }}\" } }\n  confirm:\n    needs: [pack]"},
			{"workflows/order.yaml", "output:\n", "output:\n  packed: ${{ steps.pack.by }}\n"}})
	})
	if err != nil {
		return err
	}
	d.board.Changes++ // the second edit
	slow, err := d.order("slow")
	if err != nil {
		return err
	}
	old := d.in.App.Status().Live.Number
	if err := d.change(ctx, app.OutcomeLive, "", func() error { return save(pack, fmt.Appendf(nil, packing, "second")) }); err != nil {
		return err
	}
	r, err := d.in.App.Run(slow)
	if err != nil {
		return err
	}
	if r.Status != "running" {
		return fmt.Errorf("the slow order is %s, want it still running when the edit goes live", r.Status)
	}
	quick, err := d.order("quick")
	if err != nil {
		return err
	}
	for _, want := range []struct {
		id  string
		gen int
	}{{quick, old + 1}, {slow, old}} {
		r, err := d.runEnded(ctx, want.id)
		if err != nil {
			return err
		}
		if r.Status != "ok" || r.Generation != want.gen {
			return fmt.Errorf("order run %s: %s in gen %d %s, want ok in gen %d", r.ID, r.Status, r.Generation, r.Error, want.gen)
		}
		d.say("    order run %s: %d steps, %s in gen %d, took %s", r.ID, len(r.Steps), r.Status, r.Generation, r.Duration.Round(time.Millisecond))
	}
	return nil
}

// order places an order and returns the id of its run.
func (d *demo) order(card string) (string, error) {
	body, err := json.Marshal(map[string]any{"items": []any{map[string]any{"sku": "rope", "qty": 1}}, "card": card})
	if err != nil {
		return "", err
	}
	resp, err := http.Post(d.in.URL+"/orders", "application/json", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var r struct{ Run string }
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil || resp.StatusCode != http.StatusAccepted {
		return "", fmt.Errorf("POST /orders: status %d, %v", resp.StatusCode, err)
	}
	return r.Run, nil
}

// runEnded waits for a run's end.
func (d *demo) runEnded(ctx context.Context, id string) (r app.Run, err error) {
	err = until(ctx, "the end of run "+id, func() (bool, error) {
		r, err = d.in.App.Run(id)
		return r.Status != "running", err
	})
	return r, err
}

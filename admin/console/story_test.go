package console_test

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/theseus-run/theseus/app"
)

// frame is a refused edit as the checks show it.
const frame = `  2 |   const p = kv.get("product/" + req.params.id);
  3 |   if (!p) return { status: 404 };
> 4 |   return { json: { ...p, price: cents(p.price }
    |                                               ^ expected ")"
  5 | };
`

const diffText = `@@ -1,5 +1,6 @@
 import { cents } from "./lib/price.js";
 
 export default (req) => {
-  return { json: { total: cents(req.query.qty * 10) } };
+  const qty = Math.max(1, Number(req.query.qty));
+  return { json: { total: cents(qty * 10), qty } };
 };
`

// story is a shop with a history: twelve generations, three minutes of traffic
// with two updates and a refused one in it, jobs and runs.
func story() *fakeApp {
	now := time.Now()
	f := &fakeApp{
		status: app.Status{App: "shop", Version: "0.1.0", State: app.StateIdle, Started: now.Add(-(3*time.Hour + 12*time.Minute)), Requests: 1284310, Failed: 41, Streams: 25, Runs: 2, Ready: true, Watch: "events", PID: 4711,
			Process: &app.ProcessInfo{Generation: 3, State: "serving", Draining: []app.OldProcess{
				{PID: 4242, Generation: 1, Since: now.Add(-80 * time.Minute), Inflight: 1, Connections: 2}, {PID: 4600, Generation: 2, Since: now.Add(-8 * time.Second), Connections: 12}}}},
		diff: []app.FileChange{
			{Path: "handlers/price.js", Op: "changed", Diff: "--- a/handlers/price.js\n+++ b/handlers/price.js\n" + diffText},
			{Path: "workflows/order.yaml", Op: "changed", Diff: "@@ -8,3 +8,3 @@\n steps:\n-  mail: { needs: [charge], run: handlers/lib/mail.js }\n+  mail: { needs: [charge], if: \"${{ steps.charge.ok }}\", run: handlers/lib/mail.js }\n"},
			{Path: "handlers/old.js", Op: "removed", Diff: "@@ -1 +0,0 @@\n-export default () => ({ text: \"old\" });\n"},
		},
		jobs: []app.JobInfo{
			{Name: "restock", Schedule: "every 5s", Run: "jobs/restock.js", Overlap: "skip", Next: now.Add(4 * time.Second), Ticks: 2304, Skipped: 2},
			{Name: "report", Schedule: "0 9 * * MON-FRI Europe/Berlin", Run: "workflows/report.yaml", Overlap: "skip", Next: now.Add(5*time.Hour + 20*time.Minute), Ticks: 3, Failed: 1},
			{Name: "sweep-sessions", Schedule: "every 1m", Run: "jobs/sweep.js", Overlap: "skip", Next: now.Add(41 * time.Second), Running: 1, Ticks: 192},
		},
		units: []app.UnitInfo{
			{Name: "handlers/price.js", Engine: "js", Since: 12, Executions: 48211, UsedBy: []string{"GET /price/{id}"}},
			{Name: "handlers/product.js", Engine: "js", Since: 9, Executions: 512004, Errors: 3, UsedBy: []string{"GET /products/{id}"}},
			{Name: "workflows/order.yaml", Engine: "workflow", Since: 11, Executions: 9120, UsedBy: []string{"POST /orders"}},
		},
	}
	messages := []string{"discount of ten percent from ten pieces", "", "order workflow: mail only once it is charged", "", "session cookie lasts a day", "", "", "restock every five seconds", "", "pay service moved", "", ""}
	for i, m := range messages {
		n := 12 - i
		g := app.GenerationInfo{Number: n, Digest: fmt.Sprintf("sha256:%064x", n*7919), State: app.GenFreed, Created: now.Add(-time.Duration(i*i*i+1)*40*time.Second - 20*time.Second), Trigger: "watch", Message: m, Update: fmt.Sprintf("u%06d", n),
			Files: 61, Units: 40, Carried: 40 - 1 - n%4, Tests: 18, Requests: int64(900 + 120431*i), Failed: int64(i%5) * 3 % 7, DrainedIn: time.Duration(i+1) * 210 * time.Millisecond, FreedIn: time.Duration(i+1) * 610 * time.Millisecond}
		switch i {
		case 0:
			g.State, g.DrainedIn, g.FreedIn, g.Requests, g.Inflight, g.Streams = app.GenLive, 0, 0, 48211, 7, 11
		case 1:
			g.State, g.DrainedIn, g.FreedIn, g.Streams = app.GenDraining, 0, 0, 14
		}
		if n == 1 {
			g.Trigger, g.Carried = "start", 0
		}
		f.gens = append(f.gens, g)
	}
	f.traffic(now, 200)
	f.work(now)
	for n, at := range map[int]int{11: 130, 12: 62} {
		f.updates = append(f.updates, app.Update{ID: fmt.Sprintf("u%06d", n), Trigger: "watch", Outcome: app.OutcomeLive, Generation: n, From: n - 1, Ended: now.Add(-time.Duration(at) * time.Second)})
	}
	f.upgrade(now)
	f.events.Publish(app.Event{Type: "update", Time: now.Add(-62 * time.Second), Message: "gen 12 live", Generation: 12, Data: app.Update{ID: "u000012", Outcome: app.OutcomeLive, Generation: 12, Ended: now.Add(-62 * time.Second)}})
	f.events.Publish(app.Event{Type: "generation", Time: now.Add(-59 * time.Second), Message: "drained", Generation: 10})
	f.events.Publish(app.Event{Type: "log", Level: "warn", Time: now.Add(-31 * time.Second), Message: "pay service answered after 1.9 s", Generation: 12})
	f.events.Publish(app.Event{Type: "run", Time: now.Add(-4 * time.Second), Message: "workflow order ok", Generation: 12})
	f.events.Publish(app.Event{Type: "run", Time: now.Add(-3 * time.Second), Message: "step charge failed", Generation: 12})
	return f
}

// upgrade publishes one that was rolled back.
func (f *fakeApp) upgrade(now time.Time) {
	at := now.Add(-70 * time.Second)
	for i, step := range []string{"check", "start", "hello", "prepare", "ready", "release", "serve"} {
		f.events.Publish(app.Event{Type: "upgrade", Time: at, Message: "upgrade: " + step + " done", Data: map[string]any{"name": "step", "pid": 4711, "peer": 4720, "step": step, "took_ns": time.Duration(i*i) * 7 * time.Millisecond}})
	}
	f.events.Publish(app.Event{Type: "upgrade", Level: "error", Time: at, Message: "rolled back: it ended 640ms after it began to serve: exit status 2", Data: map[string]any{"name": "failed", "pid": 4711, "peer": 4720, "step": "probation", "took_ns": time.Second}})
}

// traffic publishes past seconds, handed over at 130 s and 62 s before now.
func (f *fakeApp) traffic(now time.Time, secs int) {
	for i := secs; i >= 0; i-- {
		s := app.Stats{Time: now.Add(-time.Duration(i) * time.Second), Streams: 25, Inflight: int64(6 + i%5), Goroutines: 148 + i%9, HeapBytes: uint64(41<<20 + (i%23)*400_000)}
		load := int64(420 + 60*math.Sin(float64(i)/9) + 25*math.Sin(float64(i)*1.7))
		n, before := 12, 0
		switch {
		case i > 130:
			n = 10
		case i > 62:
			n, before = 11, 130-i
		default:
			before = 62 - i
		}
		old := int64(0)
		if n > 10 && before < 4 {
			old = load / int64(2+before*2)
			s.Generation = append(s.Generation, app.GenStats{Number: n - 1, Requests: old, P95: 4.1})
		}
		g := app.GenStats{Number: n, Requests: load - old, P95: 3.2 + math.Sin(float64(i)/5)*.6 + float64(13-n)*.7}
		if i == 88 || i == 87 || i == 91 {
			g.Failed, g.P95 = int64(i-85), 9.4
		}
		s.Generation = append(s.Generation, g)
		f.events.Publish(app.Event{Type: "stats", Time: s.Time, Data: s})
	}
}

// work adds runs of workflows and jobs.
func (f *fakeApp) work(now time.Time) {
	order := []app.RunStep{
		{Name: "price", Status: "ok", Duration: 3 * time.Millisecond}, {Name: "stock", Status: "ok", Attempts: 2, Duration: 214 * time.Millisecond},
		{Name: "charge", Needs: []string{"price", "stock"}, Status: "running", Started: now},
		{Name: "invoice", Needs: []string{"charge"}, Status: "waiting"}, {Name: "mail", Needs: []string{"charge"}, Status: "waiting"},
		{Name: "done", Needs: []string{"invoice", "mail"}, Status: "waiting"},
	}
	failed := []app.RunStep{{Name: "price", Status: "ok"}, {Name: "stock", Status: "failed", Attempts: 3, Error: "stock is empty: sku apple"}, {Name: "charge", Needs: []string{"price", "stock"}, Status: "skipped"}}
	for i := range 12 {
		r := app.Run{ID: fmt.Sprintf("r%d", 900-i), Kind: "workflow", Name: "order", Unit: "workflows/order.yaml", Generation: 12 - i/5, Status: "ok", Started: now.Add(-time.Duration(i*i) * time.Second), Duration: time.Duration(120+i*31) * time.Millisecond}
		for _, st := range order {
			st.Status = "ok"
			r.Steps = append(r.Steps, st)
		}
		switch {
		case i == 0:
			r.Status, r.Steps = "running", order
		case i == 3:
			r.Status, r.Steps, r.Error = "failed", failed, "step stock: stock is empty: sku apple"
		case i%3 == 1:
			r.Kind, r.Name, r.Unit, r.Steps, r.Tick = "job", "restock", "jobs/restock.js", nil, int64(2304-i)
		}
		f.runs = append(f.runs, r)
	}
}

// refuse breaks the disk.
func (f *fakeApp) refuse() {
	f.update(app.Update{Trigger: "watch", Outcome: app.OutcomeRefused, Problems: []app.Problem{{
		Kind: "syntax", Message: `expected ")"`, Hint: "close the call that begins on line 4", File: "handlers/product.js", Line: 4, Column: 47, Frame: frame,
	}}})
	f.events.Publish(app.Event{Type: "drift", Level: "warn", Message: "disk ≠ live: " + strings.SplitN(frame, "\n", 2)[0]})
}

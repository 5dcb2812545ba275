package app_test

import (
	"fmt"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/theseus-run/theseus/app"
)

// counter is an app whose data is a number in version 1 and an object in version 2.
// GET /slow waits until somebody posts /go, and then uses the data in all ways.
func counter(version int) map[string]string {
	files := map[string]string{
		"theseus.yaml": "app: count\napi: 1\nrollout: { trial: 24h }\nlimits: { time: 60s }\nroutes:\n  GET /slow: handlers/slow.js\n  POST /go: handlers/go.js\n" +
			"  POST /inc: handlers/inc.js\n  GET /get/{id}: handlers/get.js\n",
		"handlers/go.js":  "export default () => { kv.set('go', 1); };\n",
		"handlers/get.js": "export default (req) => ({ v: kv.get('n:' + req.params.id) });\n",
		"handlers/inc.js": "export default () => kv.incr('n:all');\n",
		"handlers/slow.js": `export default () => {
  kv.set('waits', 1);
  while (!kv.get('go')) sleep(2);
  const seen = kv.get('n:a');
  kv.set('n:set', 3);
  kv.set('n:gone', 1);
  return [seen, kv.incr('n:a'), kv.cas('n:a', 8, 9), kv.cas('n:a', 8, 1), kv.cas('n:new', null, 1), kv.get('n:a'), kv.delete('n:gone'), kv.keys('n:')];
};
`,
		"state/n.js": "export const up1 = (v) => v;\nexport const down1 = (v) => v;\n",
	}
	if version == 2 {
		files["state/n.js"] += "export const up2 = (v) => ({ n: v });\nexport const down2 = (v) => v.n;\n"
		files["handlers/inc.js"] = `export default () => {
  for (;;) {
    const was = kv.get('n:all');
    if (kv.cas('n:all', was, { n: (was ? was.n : 0) + 1 })) return;
  }
};
`
		files["handlers/slow.js"] = `export default () => {
  kv.set('waits', 1);
  while (!kv.get('go')) sleep(2);
  const seen = kv.get('n:a');
  kv.set('n:set', { n: 30 });
  return [seen, kv.cas('n:a', { n: 9 }, { n: 10 }), kv.get('n:a')];
};
`
	}
	return files
}

// slow begins GET /slow and waits until it has begun.
func slow(t *testing.T, a *app.App) (answer func() string) {
	t.Helper()
	done := make(chan string, 1)
	go func() {
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequest("GET", "/slow", nil))
		done <- w.Body.String()
	}()
	waitFor(t, "the request", func() bool { return a.Status().Live.Inflight > 0 })
	return func() string {
		post(t, a, "/go")
		return <-done
	}
}

// What began in a generation that was replaced sees the data as that knows it.
func TestStateSeenByWhatWasReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, counter(1))
	write(t, dir, map[string]string{"handlers/get.js": "export default (req) => { if (req.params.id == 'first') { kv.delete('go'); kv.set('n:a', 7); } return { v: kv.get('n:' + req.params.id) }; };\n"})
	a := open(t, dir)
	body(t, a, "/get/first")
	old := slow(t, a)
	write(t, dir, counter(2))
	reload(t, a)
	if got := old(); got != `[7,8,true,false,true,9,true,["n:a","n:new","n:set"]]` {
		t.Errorf("the old one: %s", got)
	}
	for key, want := range map[string]string{"a": "9", "set": "3", "new": "1"} {
		if got := body(t, a, "/get/"+key); got != fmt.Sprintf(`{"v":{"n":%s}}`, want) {
			t.Errorf("%s: %s", key, got)
		}
	}
	// The same the other way round.
	write(t, dir, map[string]string{"handlers/go.js": "export default () => { kv.delete('go'); };\n"})
	reload(t, a)
	post(t, a, "/go")
	write(t, dir, counter(2))
	reload(t, a)
	newer := slow(t, a)
	if _, err := a.Rollback(t.Context(), 1, app.Change{}); err != nil {
		t.Fatal(err)
	}
	if got := newer(); got != `[{"n":9},true,{"n":10}]` {
		t.Errorf("the newer one: %s", got)
	}
	if got := body(t, a, "/get/a") + body(t, a, "/get/set"); got != `{"v":10}{"v":30}` {
		t.Error(got)
	}
}

// Whatever the version of the data that a request meets, none that was counted is lost.
func TestStateUnderLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, counter(1))
	a := open(t, dir)
	var counted atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !stop.Load() {
				w := httptest.NewRecorder()
				a.ServeHTTP(w, httptest.NewRequest("POST", "/inc", nil))
				if w.Code >= 400 {
					t.Errorf("status %d: %s", w.Code, w.Body)
					return
				}
				counted.Add(1)
			}
		})
	}
	for i := range 6 {
		was := counted.Load()
		waitFor(t, "requests", func() bool { return counted.Load() > was+5 || t.Failed() })
		write(t, dir, counter(2-i%2))
		reload(t, a)
	}
	stop.Store(true)
	wg.Wait()
	if got := body(t, a, "/get/all"); got != fmt.Sprintf(`{"v":%d}`, counted.Load()) {
		t.Errorf("%s, counted %d", got, counted.Load())
	}
}

// What cannot go back stays when it misbehaves: old code must not run on new data.
func TestStateThatCannotGoBackStays(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := cart(1)
	files["theseus.yaml"] += "  GET /bad: handlers/bad.js\n  POST /spoil: handlers/spoil.js\n"
	files["handlers/bad.js"] = "export default () => 1;\n"
	files["handlers/spoil.js"] = "export default () => { kv.set('cart:x', { wrong: true }); };\n"
	write(t, dir, files)
	a := openAt(t, dir)
	post(t, a, "/add/1")
	next := cart(2)
	next["theseus.yaml"] = files["theseus.yaml"]
	next["handlers/bad.js"] = "export default () => { throw new Error('bug'); };\n"
	write(t, dir, next)
	reload(t, a)
	post(t, a, "/spoil") // down2 throws for this one
	left := died(t, dir)
	waitFor(t, "the verdict", func() bool { code(a, "/bad"); return !a.Status().OnTrial })
	if s := a.Status(); s.Live.Number != 2 || s.Permanent != 2 {
		t.Errorf("live %d, permanent %d", s.Live.Number, s.Permanent)
	}
	if u := a.Updates(1)[0]; u.Trigger != "trial" || u.Outcome != app.OutcomeLive {
		t.Errorf("history: %+v", u)
	}
	if _, err := a.Rollback(t.Context(), 1, app.Change{}); err == nil {
		t.Error("rolled back")
	}
	if got := body(t, a, "/get/1"); got != `{"v":{"items":[7],"key":"cart:1"}}` {
		t.Error(got)
	}
	// A start after a death at that time loads what the data is for.
	write(t, left, map[string]string{"handlers/bad.js": "export default ( => 1"})
	a = openAt(t, left)
	if s := a.Status(); s.Live.Number != 2 || s.Permanent != 2 || s.OnTrial {
		t.Errorf("live %d, permanent %d", s.Live.Number, s.Permanent)
	}
	if got := body(t, a, "/get/1"); got != `{"v":{"items":[7],"key":"cart:1"}}` {
		t.Error(got)
	}
}

// A generation that misbehaves is taken back together with the data.
func TestStateTakenBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, cart(1))
	a := openAt(t, dir)
	post(t, a, "/add/1")
	files := cart(2)
	files["handlers/get.js"] = "export default () => { throw new Error('bug'); };\n"
	write(t, dir, files)
	reload(t, a)
	waitFor(t, "the rollback", func() bool { code(a, "/get/1"); return a.Status().Live.Number == 1 })
	if got := body(t, a, "/get/1"); got != `{"v":{"n":7}}` {
		t.Error(got)
	}
	waitFor(t, "the history", func() bool { return a.Status().State == app.StateIdle })
	if u := a.Updates(1)[0]; len(u.Migrations) != 1 || u.Migrations[0].To != 1 {
		t.Errorf("%+v", u)
	}
}

// While another process has the data too, its versions stay.
func TestStateOfTwoProcesses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, cart(1))
	a := openAt(t, dir)
	post(t, a, "/add/1")
	if err := a.ShareData(true); err != nil {
		t.Fatal(err)
	}
	write(t, dir, cart(2))
	if _, err := a.Reload(t.Context(), app.Change{Trigger: "api"}); err == nil {
		t.Error("it was migrated")
	}
	if err := a.ShareData(false); err != nil {
		t.Fatal(err)
	}
	if u := reload(t, a); len(u.Migrations) != 1 {
		t.Errorf("%+v", u)
	}
}

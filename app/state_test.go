package app_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/theseus-run/theseus/app"
)

// cart is an app whose data has a schema: version 1 counts in a number, version 2 in
// an object.
func cart(version int) map[string]string {
	files := map[string]string{
		"theseus.yaml":      "app: cart\napi: 1\nrollout: { trial: 24h }\nroutes:\n  GET /get/{id}: handlers/get.js\n  POST /add/{id}: handlers/add.js\n",
		"handlers/get.js":   "export default (req) => ({ v: kv.get('cart:' + req.params.id) });\n",
		"handlers/add.js":   "export default (req) => { kv.set('cart:' + req.params.id, 7); return 'ok'; };\n",
		"tests/t.yaml":      "- name: it adds\n  request: POST /add/t\n  expect: { status: 200 }\n",
		"state/cart.js":     "-",
		"state/lib/list.js": "-",
	}
	steps := "export const up1 = (v) => ({ n: v });\nexport const down1 = (v) => v.n;\n"
	if version >= 1 {
		files["state/cart.js"] = steps
		files["handlers/add.js"] = "export default (req) => { kv.set('cart:' + req.params.id, { n: 7 }); return 'ok'; };\n"
	}
	if version >= 2 {
		files["state/cart.js"] = steps + "import { list } from './lib/list.js';\nexport function up2(v, key) { return list(v.n, key); }\nexport function down2(v) { return { n: v.items[0] }; }\n" +
			"export function check(v) { if (v.key === '') throw new Error('no key'); }\n"
		files["state/lib/list.js"] = "export const list = (n, key) => ({ items: [n], key });\n"
		files["handlers/add.js"] = "export default (req) => { kv.set('cart:' + req.params.id, { items: [7], key: 'new' }); return 'ok'; };\n"
	}
	return files
}

func post(t testing.TB, a *app.App, target string) {
	t.Helper()
	if resp, text := get(t, a, "POST", target, ""); resp.StatusCode >= 300 {
		t.Fatalf("POST %s: status %d: %s", target, resp.StatusCode, text)
	}
}

// Data goes up with what wants it and comes back with what is returned to; a start
// finds it as the generation that it loads wants it.
func TestStateMigrates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, cart(0))
	a := openAt(t, dir)
	for i := range 5 {
		post(t, a, fmt.Sprint("/add/", i))
	}
	write(t, dir, cart(1))
	u := reload(t, a)
	if len(u.Migrations) != 1 || u.Migrations[0].Keys != 5 || u.Migrations[0].From != 0 || u.Migrations[0].To != 1 {
		t.Fatalf("migrations %+v", u.Migrations)
	}
	if got := body(t, a, "/get/1"); got != `{"v":{"n":7}}` {
		t.Fatal(got)
	}
	write(t, dir, cart(2))
	u = reload(t, a)
	t.Log(u.Migrations[0].String())
	if got := body(t, a, "/get/1"); got != `{"v":{"items":[7],"key":"cart:1"}}` {
		t.Fatal(got)
	}
	post(t, a, "/add/late")
	if u, err := a.Rollback(t.Context(), 1, app.Change{}); err != nil || u.Migrations[0].To != 0 || u.Migrations[0].Keys != 6 {
		t.Fatalf("rollback: %+v %v", u, err)
	}
	if got := body(t, a, "/get/late"); got != `{"v":7}` {
		t.Fatal(got)
	}
	if _, err := a.Rollback(t.Context(), 3, app.Change{}); err != nil {
		t.Fatal(err)
	}
	if got := body(t, a, "/get/late"); got != `{"v":{"items":[7],"key":"cart:late"}}` {
		t.Fatal(got)
	}
	if err := a.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	a = openAt(t, dir)
	if got := body(t, a, "/get/late"); a.Status().Live.Number != 3 || got != `{"v":{"items":[7],"key":"cart:late"}}` {
		t.Fatal(a.Status().Live.Number, got)
	}
	if us := a.Updates(0); len(us[len(us)-3].Migrations) == 0 {
		t.Errorf("the history does not tell of migrations: %+v", us)
	}
}

// A process that dies while the new version is on trial comes back with the old one,
// and the data as that wants it.
func TestStateAfterDeathOnTrial(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, cart(1))
	a := openAt(t, dir)
	post(t, a, "/add/1")
	write(t, dir, cart(2))
	reload(t, a)
	post(t, a, "/add/2")
	left := died(t, dir)
	write(t, left, cart(1)) // so that the start does not apply it again
	a = openAt(t, left)
	if got := body(t, a, "/get/2") + body(t, a, "/get/1"); got != `{"v":{"n":7}}{"v":{"n":7}}` || a.Status().Live.Number != 1 {
		t.Fatal(a.Status().Live.Number, got)
	}
}

func TestStateRefused(t *testing.T) {
	t.Parallel()
	steps := "export const up1 = (v) => ({ n: v });\nexport const down1 = (v) => v.n;\n"
	for _, c := range []struct{ name, file, text, want string }{
		{"gap", "state/cart.js", steps + "export const up3 = (v) => v;\nexport const down3 = (v) => v;\n", "state/cart.js:3:14: there is no up2 between up1 and up3"},
		{"no down", "state/cart.js", steps + "export const up2 = (v) => v;\n", "state/cart.js:3:14: there is no down2"},
		{"no steps", "state/cart.js", "export default () => 1;\n", "state/cart.js:1:1: the schema has no version"},
		{"down alone", "state/cart.js", steps + "export const down2 = (v) => v;\n", "state/cart.js:3:14: there is down2 but no up2"},
		{"name", "state/ca.rt.js", steps, `state/ca.rt.js:1:1: "ca.rt" cannot be the name`},
		{"folder", "state/old/cart.js", steps, "state/old/cart.js:1:1: a schema lies directly in state/"},
		{"syntax", "state/cart.js", "export const up1 = (v => v;", "state/cart.js:1:"},
		{"not undone", "state/cart.js", "export const up1 = (v) => ({ n: v });\nexport const down1 = (v) => v.n + 1;\n", `down1 of "cart:1": the step down does not undo it: up1 makes {"n":7} of 7, and down1 makes 8 of that`},
		{"deletes", "state/cart.js", "export const up1 = (v) => null;\nexport const down1 = (v) => v;\n", `up1 of "cart:1": it deletes the key`},
		{"throws", "state/cart.js", "export const up1 = (v) => v.a.b.c;\nexport const down1 = (v) => v;\n", `state/cart.js:1:`},
		{"check", "state/cart.js", steps + "export const check = (v) => { throw new Error('never right'); };\n", `never right`},
		{"no reason", "state/cart.js", "export const up1 = (v) => v;\nexport const irreversible1 = () => 7;\n", "state/cart.js: irreversible1: it must return the reason as text, not 7"},
		{"empty name", "state/cart.js", steps + "const f = () => 1;\nexport { f as '' };\nexport const down7 = f;\n", "state/cart.js:"},
		{"host", "state/cart.js", "export const up1 = (v) => kv.get('cart:1');\nexport const down1 = (v) => v;\n", `up1 of "cart:1"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, cart(0))
			a := open(t, dir)
			post(t, a, "/add/1")
			write(t, dir, map[string]string{c.file: c.text})
			_, err := a.Reload(t.Context(), app.Change{Trigger: "api"})
			var refused *app.RefusedError
			if !errors.As(err, &refused) || !strings.Contains(refused.Update.Problems[0].String(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if got := body(t, a, "/get/1"); got != `{"v":7}` {
				t.Error(got)
			}
		})
	}
}

// What cannot go back needs a confirmation, is proven at once, and is not left again.
func TestStateIrreversible(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, cart(0))
	a := openAt(t, dir)
	post(t, a, "/add/1")
	files := maps.Clone(cart(1))
	files["state/cart.js"] = "export const up1 = (v) => ({ n: 0 });\nexport const irreversible1 = () => 'it forgets';\n"
	write(t, dir, files)
	_, err := a.Reload(t.Context(), app.Change{Trigger: "watch"})
	var refused *app.RefusedError
	if !errors.As(err, &refused) || refused.Update.Problems[0].Kind != "irreversible" || !strings.Contains(err.Error(), "it forgets") {
		t.Fatal(err)
	}
	u, err := a.Reload(t.Context(), app.Change{Trigger: "api", Irreversible: true})
	if err != nil || u.Migrations[0].Irreversible != "it forgets" {
		t.Fatal(u, err)
	}
	if s := a.Status(); s.OnTrial || s.Permanent != 2 {
		t.Errorf("on trial %v, permanent %d", s.OnTrial, s.Permanent)
	}
	if _, err = a.Rollback(t.Context(), 1, app.Change{}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "there is no way back from version 1: it forgets") {
		t.Fatal(err)
	}
	if got := body(t, a, "/get/1"); got != `{"v":{"n":0}}` || a.Status().Live.Number != 2 || a.Status().Drift {
		t.Error(got, a.Status().Drift)
	}
	a = openAt(t, died(t, dir))
	if got := body(t, a, "/get/1"); got != `{"v":{"n":0}}` || a.Status().Live.Number != 2 {
		t.Error(got)
	}
}

package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"

	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/app"
)

// The probes tell the truth: a refused update shows, and changes no readiness.
func TestProbes(t *testing.T) {
	r := serve(t, newFake(), Options{Token: testToken, Version: "1.2.3"})
	r.app.set(func(f *fakeApp) { f.broken = []app.Problem{{Message: "boom", File: "handlers/secret.js"}} })
	if _, err := r.dial(t).Reload(t.Context(), connect.NewRequest(&adminv1.ReloadRequest{})); connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Fatal(err)
	}
	for _, path := range []string{"/livez", "/readyz", "/healthz"} {
		if code, _, body := r.do(t, http.MethodGet, path, "", nil); code != 200 || body != "ok\n" {
			t.Errorf("%s = %d %q after a refused update", path, code, body)
		}
	}
	_, _, body := r.do(t, http.MethodGet, "/readyz?verbose", "", nil)
	want := "[+] ready\n[+] generation 3 is live\n[i] drift: the disk is not what is live; it serves on\n[i] last update: refused\n[i] theseus: 1.2.3\nok\n"
	if body != want {
		t.Errorf("readyz?verbose = %q, want %q", body, want)
	}
	code, _, body := r.do(t, http.MethodGet, "/updatez", "", nil)
	var u updateState
	if err := json.Unmarshal([]byte(body), &u); err != nil || code != 200 || u.Outcome != app.OutcomeRefused || u.State != app.StateIdle ||
		u.Generation != 3 || !u.Drift || u.Update.Problems != 1 || strings.Contains(body, "secret") {
		t.Errorf("updatez = %d %s (%v)", code, body, err)
	}
	if code, _, _ := r.do(t, http.MethodPost, "/readyz", "{}", nil); code != http.StatusMethodNotAllowed {
		t.Errorf("POST /readyz = %d, want 405", code)
	}

	r.app.set(func(f *fakeApp) { f.ready = false })
	for path, want := range map[string]int{"/livez": 200, "/readyz": 503, "/healthz": 503, "/readyz?verbose": 503, "/updatez": 200} {
		if code, _, body := r.do(t, http.MethodGet, path, "", nil); code != want {
			t.Errorf("%s = %d %q when not ready, want %d", path, code, body, want)
		}
	}
}

func TestReadyOption(t *testing.T) {
	r := serve(t, newFake(), Options{Ready: func() error { return errors.New("draining\nnow") }})
	if code, _, body := r.do(t, http.MethodGet, "/readyz", "", nil); code != 503 || body != "not ready: draining now\n" {
		t.Errorf("readyz = %d %q", code, body)
	}
}

// Everything that is loaded is listed with digest and active requests.
func TestLoaded(t *testing.T) {
	r := serve(t, newFake(), Options{Token: testToken})
	code, _, body := r.do(t, http.MethodGet, "/debug/plugin/status", "", nil)
	var out struct{ Generations []loadedGeneration }
	if err := json.Unmarshal([]byte(body), &out); err != nil || code != 200 || len(out.Generations) != 2 {
		t.Fatalf("status = %d %s (%v)", code, body, err)
	}
	for i, want := range []loadedGeneration{{Number: 3, State: app.GenLive, Digest: "sha256:0003"}, {Number: 2, State: app.GenDraining, Digest: "sha256:0002"}} {
		g := out.Generations[i]
		if g.Number != want.Number || g.State != want.State || g.Digest != want.Digest || g.ActiveRequests != 2 || len(g.Units) != 1 || g.Units[0].Digest == "" {
			t.Errorf("generation %d = %+v", i, g)
		}
	}
}

// Without metrics and console there is nothing there, and no panic.
func TestNoConsole(t *testing.T) {
	r := serve(t, newFake(), Options{})
	for _, path := range []string{"/", "/metrics", "/x"} {
		if code, _, _ := r.do(t, http.MethodGet, path, "", nil); code != 404 {
			t.Errorf("GET %s = %d, want 404", path, code)
		}
	}
}

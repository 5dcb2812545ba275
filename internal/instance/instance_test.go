package instance_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/examples"
	"github.com/theseus-run/theseus/internal/browser"
	"github.com/theseus-run/theseus/internal/instance"
	"github.com/theseus-run/theseus/internal/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shop starts the example shop from a copy of its files.
func shop(t *testing.T, watch bool) (string, *instance.Instance) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shop")
	if err := os.CopyFS(dir, examples.Shop()); err != nil {
		t.Fatal(err)
	}
	in, err := instance.Start(t.Context(), dir, instance.Options{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Version: "test", App: app.Options{Watch: watch, NoSync: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := in.Close(ctx); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return dir, in
}

// edit replaces text in a file of the app by rename, as editors do.
func edit(t *testing.T, dir, name, old, new string) {
	t.Helper()
	file := filepath.Join(dir, name)
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(src), old) {
		t.Fatalf("%s has no %q", name, old)
	}
	tmp := filepath.Join(filepath.Dir(file), ".new")
	if err := errors.Join(os.WriteFile(tmp, []byte(strings.Replace(string(src), old, new, 1)), 0o644), os.Rename(tmp, file)); err != nil {
		t.Fatal(err)
	}
}

// The console shows the truth of a real app under load: an edit arrives, a
// broken one is refused, a rollback by button takes it back.
func TestConsoleEndToEnd(t *testing.T) {
	dir, in := shop(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	gen, err := load.New(load.Options{Base: in.URL, Profile: load.ShopProfile(), Rate: 50, Shoppers: 4, Streams: 3})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- gen.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if r := gen.Snapshot(); !r.Clean() {
			t.Errorf("the load lost something: %+v", r)
		}
	}()

	p := browser.New(t)
	p.Goto(in.ConsoleURL())
	p.WaitText(".chip[data-state=sync]", "gen 1")
	p.WaitText(".conn[data-kind=live]", "live")
	p.WaitText("theseus-header", "shop")
	p.Wait(`!location.href.includes("t=")`) // the token leaves the address bar

	edit(t, dir, "handlers/product.js", "badge: null", `badge: "Sale"`)
	p.WaitText(".chip[data-state=sync]", "gen 2")
	p.WaitText(".generations li:first-child", "2")
	resp, err := http.Get(in.URL + "/products/apple")
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if !strings.Contains(string(text), "Sale") || resp.Header.Get("Theseus-Generation") != "2" {
		t.Errorf("gen %s: %s", resp.Header.Get("Theseus-Generation"), text)
	}

	edit(t, dir, "handlers/product.js", "find(req.params.id)", "find(req.params.id")
	p.WaitText(".chip[data-state=drift]", "disk ≠ live")
	p.WaitText(".refused", "handlers/product.js:15")
	p.WaitText(".frame .here", "15")
	p.WaitText(".chip", "gen 2")
	if s := in.App.Status(); !s.Ready || s.Live.Number != 2 {
		t.Errorf("ready %v, gen %d", s.Ready, s.Live.Number)
	}
	if file := os.Getenv("SCREENSHOT"); file != "" {
		p.Screenshot(file)
	}
	edit(t, dir, "handlers/product.js", "find(req.params.id", "find(req.params.id)")
	p.WaitText(".chip[data-state=sync]", "gen 2")

	p.Click(`[aria-label="Roll back to generation 1"]`)
	p.WaitText("dialog", "Roll back to 1")
	p.Click("dialog .primary")
	p.WaitText("dialog .result", "Generation 1 is live")
	p.WaitText(".chip", "gen 1")
	if s := in.App.Status(); s.Live.Number != 1 || !s.Drift {
		t.Errorf("live %d, drift %v", s.Live.Number, s.Drift)
	}
	p.WaitText(".why", "rolled back")
	if errs := p.ConsoleErrors(); len(errs) > 0 {
		t.Errorf("the browser's console: %q", errs)
	}
}

func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := filepath.Join(t.TempDir(), "shop")
	if err := os.CopyFS(dir, examples.Shop()); err != nil {
		t.Fatal(err)
	}
	for _, opt := range []instance.Options{{Listen: l.Addr().String(), Admin: "off"}, {Listen: "127.0.0.1:0", Admin: l.Addr().String()}} {
		opt.App.NoSync = true
		_, err := instance.Start(t.Context(), dir, opt)
		le, ok := errors.AsType[*instance.ListenError](err)
		if !ok || le.Hint == "" || !strings.Contains(err.Error(), l.Addr().String()) {
			t.Errorf("got %v", err)
		}
	}
}

// Draining: not ready any more, streams end cleanly, a request in flight is
// answered, and nothing is left of the instance's files.
func TestDrain(t *testing.T) {
	release := make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer upstream.Close()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "handlers"), 0o755); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"theseus.yaml": "app: drain\napi: 1\nroutes:\n  GET /slow: handlers/slow.js\n  GET /live: { run: handlers/live.js, stream: sse }\n" +
			"permissions: { http: [\"" + upstream.URL + "\"] }\n",
		"handlers/slow.js": "export default () => { http.fetch('" + upstream.URL + "'); return 'done'; };\n",
		"handlers/live.js": "export default () => ({ subscribe: ['x'], data: 'hello' });\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in, err := instance.Start(t.Context(), dir, instance.Options{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", App: app.Options{NoSync: true}})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := http.Get(in.URL + "/live")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	slow := make(chan string, 1)
	go func() {
		resp, err := http.Get(in.URL + "/slow")
		if err != nil {
			slow <- err.Error()
			return
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		slow <- fmt.Sprint(resp.StatusCode, " ", string(text), " ", err)
	}()
	waitFor(t, func() bool { return in.App.Status().Live.Inflight == 1 && in.App.Status().Streams == 1 })

	closed := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		closed <- in.Close(ctx)
	}()
	rest, err := io.ReadAll(stream.Body) // ends when the stream is told to
	if err != nil || !strings.Contains(string(rest), "hello") {
		t.Errorf("the stream gave %q, %v; want a clean end", rest, err)
	}
	resp, err := http.Get(in.AdminURL + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 503 {
		t.Errorf("/readyz while draining: %d, want 503", resp.StatusCode)
	}
	if _, err := os.Stat(filepath.Join(dir, ".theseus", "admin.json")); err != nil {
		t.Errorf("while draining the CLI must find it: %v", err)
	}
	close(release)
	if got := <-slow; got != "200 done <nil>" {
		t.Errorf("the request in flight got %s", got)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	for _, name := range []string{"admin.json", "admin.sock"} {
		if _, err := os.Lstat(filepath.Join(dir, ".theseus", name)); err == nil {
			t.Errorf("%s is left behind", name)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func waitFor(t *testing.T, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatal("waited too long")
		}
		time.Sleep(time.Millisecond)
	}
}

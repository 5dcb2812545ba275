package examples_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/examples"
	"github.com/theseus-run/theseus/internal/engines"
	"github.com/theseus-run/theseus/internal/load"
)

// serveShop writes the shop into a folder and serves it.
func serveShop(t *testing.T) (a *app.App, dir, base string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.CopyFS(dir, examples.Shop()); err != nil {
		t.Fatal(err)
	}
	a, err := app.Open(t.Context(), dir, app.Options{Engines: engines.All(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(a)
	t.Cleanup(func() {
		s.Close()
		if err := a.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return a, dir, s.URL
}

// setVersion writes the shop's version into the three files that hold it.
func setVersion(t *testing.T, dir string, n int) {
	t.Helper()
	for name, change := range map[string][2]string{
		"handlers/version.js":     {"const VERSION = ", ";"},
		"handlers/lib/version.js": {"export const LIBVERSION = ", ";"},
		"config/shop.yaml":        {"revision: ", ""},
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		line := change[0] + fmt.Sprint(n) + change[1]
		if err := os.WriteFile(file, replaceLine(src, change[0], line), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The shop under load, its version changed in three files again and again: every
// answer is of one version, and none is lost.
func TestShopUnderLoad(t *testing.T) {
	a, dir, base := serveShop(t)
	// The long timeout is for the race detector: this test is about losses.
	g, err := load.New(load.Options{Base: base, Profile: load.ShopProfile(), Rate: 100, Shoppers: 4, Streams: 5, Seed: 7, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	reach := func(what string, ok func(load.Report) bool) {
		t.Helper()
		for limit := time.Now().Add(60 * time.Second); !ok(g.Snapshot()); time.Sleep(time.Millisecond) {
			if time.Now().After(limit) {
				t.Fatalf("%s: not within a minute; report %+v", what, g.Snapshot())
			}
		}
	}
	reach("streams", func(r load.Report) bool { return r.StreamsOpen == 5 })
	const versions = 6
	for n := 2; n <= versions; n++ {
		setVersion(t, dir, n)
		u, err := a.Reload(t.Context(), app.Change{Trigger: "api", Expect: n - 1})
		if err != nil || u.Generation != n {
			t.Fatalf("version %d: generation %d, error %v", n, u.Generation, err)
		}
		reach(fmt.Sprint("generation ", n), func(r load.Report) bool { return r.ByGeneration[n] > 20 })
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r := g.Snapshot()
	if !r.Clean() || r.Requests < 20*(versions-1) || r.StreamsOpen != 5 || r.StreamEvents == 0 {
		t.Errorf("report = %+v, want nothing lost", r)
	}
}

// replaceLine replaces the line that begins with prefix.
func replaceLine(src []byte, prefix, line string) []byte {
	lines := strings.Split(string(src), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, prefix) {
			lines[i] = line
		}
	}
	return []byte(strings.Join(lines, "\n"))
}

// What the shop's README promises of an edit happens.
func TestReadmeEdits(t *testing.T) {
	a, dir, _ := serveShop(t)
	tests := []struct {
		file, old, new string
		refused        string // part of the reason; "" when the edit goes live
	}{
		{"handlers/product.js", "badge: null", `badge: "Sale"`, ""},
		{"handlers/product.js", "describe(find(req.params.id))", "describe(find(req.params.id)", "handlers/product.js"},
		{"handlers/lib/discount.js", "off: 0.1", "off: 0.2", "bulk discount"},
		{"handlers/lib/discount.js", "price * qty", "price * qty * 100", "bulk discount"},
		{"config/shop.yaml", "name: The Chandlery", "name: The Ship Store", ""},
		{"config/shop.yaml", "max_quantity: 100", "max_quantity: many", "config/shop.yaml"},
		{"config/catalogue.yaml", "Oar, price: 60", "Oar, price: 61", ""},
		{"theseus.yaml", "restock: { every: 1s", "restock: { every: 5s", ""},
		{"handlers/lib/stock.js", "", "", "handlers/lib/stock.js"},
	}
	for _, tt := range tests {
		file := filepath.Join(dir, filepath.FromSlash(tt.file))
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if tt.old == "" {
			err = os.Remove(file)
		} else if !strings.Contains(string(before), tt.old) {
			t.Fatalf("%s does not contain %q", tt.file, tt.old)
		} else {
			err = os.WriteFile(file, []byte(strings.Replace(string(before), tt.old, tt.new, 1)), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		live := a.Status().Live.Number
		_, err = a.Reload(t.Context(), app.Change{Trigger: "api"})
		now := a.Status().Live.Number
		switch {
		case tt.refused == "" && (err != nil || now != live+1):
			t.Errorf("%s: %q: generation %d after %d, error %v; want it live", tt.file, tt.new, now, live, err)
		case tt.refused != "" && (err == nil || now != live || !strings.Contains(err.Error(), tt.refused)):
			t.Errorf("%s: %q: generation %d after %d, error %v; want it refused because of %s", tt.file, tt.new, now, live, err, tt.refused)
		}
		if tt.refused != "" {
			t.Log(err)
			if err := os.WriteFile(file, before, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

package app_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/examples"
	"github.com/theseus-run/theseus/internal/engines"
	"github.com/theseus-run/theseus/script"
)

// write makes files in dir; a nil-like "-" removes one.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if text == "-" {
			if err := os.RemoveAll(file); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func enginesForTest() script.Set { return engines.All() }

// open opens the app in dir and closes it with the test.
func open(t testing.TB, dir string) *app.App {
	t.Helper()
	a, err := app.Open(t.Context(), dir, app.Options{Engines: engines.All(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return a
}

// get sends a request straight to the app.
func get(t testing.TB, a http.Handler, method, target, body string) (*http.Response, string) {
	t.Helper()
	w := httptest.NewRecorder()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	a.ServeHTTP(w, httptest.NewRequest(method, target, r))
	return w.Result(), w.Body.String()
}

func TestShop(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, examples.Shop()); err != nil {
		t.Fatal(err)
	}
	a := open(t, dir)
	s := a.Status()
	if s.Live.Number != 1 || s.Drift || s.Tests < 12 || s.LastUpdate.Tests != s.Tests {
		t.Fatalf("status %+v", s)
	}
	resp, body := get(t, a, "GET", "/price/apple?qty=10", "")
	if resp.StatusCode != 200 || !strings.Contains(body, `"total":90`) || resp.Header.Get("Theseus-Generation") != "1" {
		t.Fatalf("status %d, body %s, header %v", resp.StatusCode, body, resp.Header)
	}
}

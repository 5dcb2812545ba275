package console_test

import (
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/theseus-run/theseus/admin/console"
)

// budget is the most that all files of the page may have together, in bytes.
const budget = 60_000

func TestFiles(t *testing.T) {
	// What would reach for another host, build markup from text, or not work offline.
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacent|document\.write|DOMParser|\beval\(|new Function|\bon[a-z]+="|@import|(https?:)?//[a-z0-9-]+\.[a-z]`)
	total := 0
	err := fs.WalkDir(os.DirFS("static"), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(filepath.Join("static", name))
		if err != nil {
			return err
		}
		total += len(body)
		text := strings.ReplaceAll(string(body), "http://www.w3.org/2000/svg", "") // a name, never fetched
		if m := forbidden.FindString(text); m != "" {
			t.Errorf("%s contains %q", name, m)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the page has %d bytes", total)
	if total >= budget {
		t.Errorf("the page has %d bytes, want less than %d", total, budget)
	}
}

func TestHandler(t *testing.T) {
	h := console.Handler()
	get := func(method, path string, change func(http.Header)) *http.Response {
		r := httptest.NewRequest(method, path, nil)
		if change != nil {
			change(r.Header)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
	for path, kind := range map[string]string{
		"/":                 "text/html; charset=utf-8",
		"/assets/style.css": "text/css; charset=utf-8",
		"/assets/main.js":   "text/javascript; charset=utf-8",
		"/assets/icon.svg":  "image/svg+xml",
	} {
		res := get("GET", path, nil)
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != 200 || len(body) == 0 || res.Header.Get("Content-Type") != kind {
			t.Errorf("GET %s: %d, %d bytes of %q, %v", path, res.StatusCode, len(body), res.Header.Get("Content-Type"), err)
		}
		for name, want := range map[string]string{"Content-Security-Policy": "default-src 'self'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"} {
			if got := res.Header.Get(name); !strings.Contains(got, want) {
				t.Errorf("GET %s: %s is %q, want %q in it", path, name, got, want)
			}
		}
		etag := res.Header.Get("ETag")
		if res := get("GET", path, func(h http.Header) { h.Set("If-None-Match", etag) }); etag == "" || res.StatusCode != 304 {
			t.Errorf("GET %s with its ETag %s: %d, want 304", path, etag, res.StatusCode)
		}
		if res := get("HEAD", path, nil); res.StatusCode != 200 || res.ContentLength != int64(len(body)) {
			t.Errorf("HEAD %s: %d, length %d", path, res.StatusCode, res.ContentLength)
		}
	}
	for _, path := range []string{"/index.html", "/assets/", "/assets/none.js", "/static/index.html", "/assets/../console.go"} {
		if res := get("GET", path, nil); res.StatusCode != 404 {
			t.Errorf("GET %s: %d, want 404", path, res.StatusCode)
		}
	}
	if res := get("POST", "/", nil); res.StatusCode != 405 || res.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST /: %d, Allow %q", res.StatusCode, res.Header.Get("Allow"))
	}
}

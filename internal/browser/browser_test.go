package browser

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPage(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a browser for some seconds")
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte(`<link rel=icon href="data:,"><button onclick="n.textContent = 'pressed'">b</button><p id=n>new</p><input id=i>`))
	}))
	t.Cleanup(srv.Close)
	p := New(t)
	p.Goto(srv.URL)
	if e := p.ConsoleErrors(); len(e) > 0 {
		t.Errorf("a clean page has the errors %q", e)
	}
	p.Click("button")
	p.WaitText("#n", "pressed")
	p.Click("#i")
	p.Press("hello")
	p.Wait(`i.value === "hello"`)
	p.Resize(390, 800)
	p.Media("prefers-color-scheme", "dark")
	if !Eval[bool](p, `Promise.resolve(innerWidth === 390 && matchMedia("(prefers-color-scheme: dark)").matches)`) {
		t.Error("the page has neither the size nor the theme that was asked for")
	}

	Eval[bool](p, `(console.error("told"), setTimeout(() => { throw new Error("thrown") }), fetch("/missing").then(() => fetch("http://127.0.0.1:1/")).catch(() => true))`)
	got := strings.Join(p.ConsoleErrors(), "\n")
	for _, want := range []string{"told", "thrown", "404", "ERR_"} {
		if !strings.Contains(got, want) {
			t.Errorf("the errors lack %q:\n%s", want, got)
		}
	}
	if e := p.ConsoleErrors(); len(e) > 0 {
		t.Errorf("errors are told twice: %q", e)
	}
}

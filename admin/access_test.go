package admin

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"

	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/app"
)

// guardedPaths are all paths that need the token: every method of the schema,
// found by its descriptor, and the plain ones.
func guardedPaths() map[string]string {
	paths := map[string]string{
		"GET /api/v1/events":        "",
		"GET /api/v1/none":          "",
		"GET /debug/plugin/status":  "",
		"GET /debug/pprof/":         "",
		"POST " + rpcPath + "None":  "{}",
		"POST " + rpcPath + "a/b/c": "{}",
	}
	methods := adminv1.File_admin_proto.Services().ByName("AdminService").Methods()
	for i := range methods.Len() {
		paths["POST "+rpcPath+string(methods.Get(i).Name())] = "{}"
	}
	return paths
}

// Nothing but the right token opens any method, in any form.
func TestTokenMatrix(t *testing.T) {
	for _, server := range []struct{ name, token string }{{"token", testToken}, {"empty token", ""}} {
		t.Run(server.name, func(t *testing.T) {
			r := serve(t, newFake(), Options{Token: server.token})
			wrong := map[string][]string{
				"none":    nil,
				"empty":   {""},
				"bearer":  {"Bearer"},
				"blank":   {"Bearer "},
				"wrong":   {"Bearer wrong"},
				"prefix":  {"Bearer " + testToken[:10]},
				"longer":  {"Bearer " + testToken + "x"},
				"basic":   {"Basic " + testToken},
				"bare":    {testToken},
				"doubled": {"Bearer " + testToken, "Bearer " + testToken},
			}
			if server.token == "" {
				wrong["any"] = []string{"Bearer " + testToken}
			}
			for path, body := range guardedPaths() {
				method, path, _ := strings.Cut(path, " ")
				for name, headers := range wrong {
					code, h, _ := r.do(t, method, path, body, func(req *http.Request) { req.Header["Authorization"] = headers })
					if code != http.StatusUnauthorized || h.Get("WWW-Authenticate") == "" {
						t.Errorf("%s %s with %s = %d, want 401", method, path, name, code)
					}
				}
				code, _, _ := r.do(t, method, path+"?access_token="+testToken, body, func(req *http.Request) { req.Header.Del("Authorization") })
				if code != http.StatusUnauthorized {
					t.Errorf("%s %s with the token in the address = %d, want 401", method, path, code)
				}
			}
			if n := len(r.app.changes()); n != 0 {
				t.Errorf("%d changes were made without a token", n)
			}
		})
	}
}

// With the token every unary method answers; none is left without a handler.
func TestEveryMethodAnswers(t *testing.T) {
	r := serve(t, newFake(), Options{Token: testToken, Upgrade: upgraded})
	bodies := map[string]string{"GetRun": `{"id":"r1"}`}
	methods := adminv1.File_admin_proto.Services().ByName("AdminService").Methods()
	for i := range methods.Len() {
		m := methods.Get(i)
		if m.IsStreamingServer() {
			continue // TestProtocols has it
		}
		body := bodies[string(m.Name())]
		if body == "" {
			body = "{}"
		}
		code, _, out := r.do(t, http.MethodPost, rpcPath+string(m.Name()), body, nil)
		if code != http.StatusOK {
			t.Errorf("%s = %d %s, want 200", m.Name(), code, out)
		}
	}
}

// A gRPC caller without a token gets a gRPC status, not a bare 401.
func TestUnauthenticatedGRPC(t *testing.T) {
	r := serve(t, newFake(), Options{Token: testToken})
	for _, opt := range []connect.ClientOption{connect.WithGRPCWeb(), connect.WithProtoJSON()} {
		c, err := Dial(Target{URL: r.url, Token: "wrong"}, opt)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.GetStatus(t.Context(), connect.NewRequest(&adminv1.GetStatusRequest{}))
		if connect.CodeOf(err) != connect.CodeUnauthenticated || !strings.Contains(err.Error(), "admin.json") {
			t.Errorf("error = %v, want unauthenticated with a hint", err)
		}
		c.Close()
	}
}

// What is open has no token check, and says nothing about files.
func TestOpenPaths(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "page "+r.URL.Path) })
	r := serve(t, newFake(), Options{Token: testToken, Metrics: page, Console: page})
	r.app.set(func(f *fakeApp) { f.broken = []app.Problem{{Message: "boom in secret"}} })
	for path, want := range map[string]string{
		"/livez": "ok\n", "/readyz": "ok\n", "/healthz": "ok\n", "/readyz?verbose": "[i] drift: the disk is not what is live",
		"/updatez": `"state":"idle"`, "/metrics": "page /metrics", "/": "page /", "/app.js": "page /app.js",
	} {
		code, h, body := r.do(t, http.MethodGet, path, "", func(req *http.Request) { req.Header.Del("Authorization") })
		if code != 200 || !strings.Contains(body, want) || strings.Contains(body, "secret") {
			t.Errorf("GET %s = %d %q, want %q", path, code, body, want)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Security-Policy": consolePolicy} {
			if h.Get(name) != want {
				t.Errorf("GET %s: %s = %q, want %q", path, name, h.Get(name), want)
			}
		}
		if h.Get("Set-Cookie") != "" || h.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("GET %s sets a cookie or allows other origins", path)
		}
	}
	if strings.Contains(consolePolicy, "unsafe") {
		t.Error("the console's policy allows inline code")
	}
}

// A socket of mode 0600 is proof enough; any other mode is not.
func TestUnixSocket(t *testing.T) {
	skipWithoutModes(t)
	r := serve(t, newFake(), Options{Token: testToken})
	if info, err := os.Lstat(r.socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode of the socket = %v, %v, want 0600", info.Mode(), err)
	}
	c := dial(t, Target{Socket: r.socket})
	res, err := c.Reload(t.Context(), connect.NewRequest(&adminv1.ReloadRequest{}))
	if err != nil || res.Msg.Update.Generation != 4 {
		t.Fatalf("Reload over the socket = %v, %v", res, err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.log.String(), `who="`+me.Username+` (uid `+me.Uid+`)"`) {
		t.Errorf("the log does not name the caller:\n%s", r.log)
	}

	open := filepath.Join(t.TempDir(), "open.sock")
	l, err := net.Listen("unix", open)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o660); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- New(newFake(), Options{Token: testToken}).Serve(ctx, l) }()
	_, err = dial(t, Target{Socket: open}).GetStatus(t.Context(), connect.NewRequest(&adminv1.GetStatusRequest{}))
	if connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("call over a socket of mode 0660 = %v, want unauthenticated", err)
	}
	if _, err = dial(t, Target{Socket: open, Token: testToken}).GetStatus(t.Context(), connect.NewRequest(&adminv1.GetStatusRequest{})); err != nil {
		t.Errorf("with the token: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A page of another site gets nothing, neither by its origin nor by its name.
func TestBrowsers(t *testing.T) {
	r := serve(t, newFake(), Options{Token: testToken, Hosts: []string{"ship.example"}})
	port := r.url[strings.LastIndexByte(r.url, ':'):]
	for name, tt := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"other site":          {func(q *http.Request) { q.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		"same site":           {func(q *http.Request) { q.Header.Set("Sec-Fetch-Site", "same-site") }, 403},
		"other origin":        {func(q *http.Request) { q.Header.Set("Origin", "http://evil.example") }, 403},
		"null origin":         {func(q *http.Request) { q.Header.Set("Origin", "null") }, 403},
		"own page":            {func(q *http.Request) { q.Header.Set("Sec-Fetch-Site", "same-origin") }, 200},
		"rebound name":        {func(q *http.Request) { q.Host = "evil.example" }, 403},
		"rebound with port":   {func(q *http.Request) { q.Host = "evil.example" + port }, 403},
		"localhost in it":     {func(q *http.Request) { q.Host = "localhost.evil.example" }, 403},
		"address in it":       {func(q *http.Request) { q.Host = "127.0.0.1.evil.example" }, 403},
		"other address":       {func(q *http.Request) { q.Host = "192.0.2.1" + port }, 403},
		"localhost":           {func(q *http.Request) { q.Host = "LOCALHOST" + port }, 200},
		"localhost with dot":  {func(q *http.Request) { q.Host = "localhost." + port }, 200},
		"loopback, version 6": {func(q *http.Request) { q.Host = "[::1]" + port }, 200},
		"name that is given":  {func(q *http.Request) { q.Host = "Ship.example" + port }, 200},
	} {
		code, _, body := r.do(t, http.MethodPost, rpcPath+"Reload", "{}", tt.change)
		if code != tt.want {
			t.Errorf("%s = %d %s, want %d", name, code, body, tt.want)
		}
	}
	if n := len(r.app.changes()); n != 5 {
		t.Errorf("%d changes were made, want 5", n)
	}
	// The address of the connection is allowed, whatever it is.
	local := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 80}
	for host, want := range map[string]bool{"192.0.2.7": true, "192.0.2.7:80": true, "[::ffff:192.0.2.7]:80": true, "192.0.2.8": false, "x": false, "": true} {
		if got := hostAllowed(host, local, nil); got != want {
			t.Errorf("hostAllowed(%q) = %v, want %v", host, got, want)
		}
	}
}

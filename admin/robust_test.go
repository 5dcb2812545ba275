package admin

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/admin/v1/adminv1connect"
	"github.com/theseus-run/theseus/app"
)

// unaryMethods names the methods of the schema that answer once.
func unaryMethods() (names []string) {
	methods := adminv1.File_admin_proto.Services().ByName("AdminService").Methods()
	for i := range methods.Len() {
		if !methods.Get(i).IsStreamingServer() {
			names = append(names, string(methods.Get(i).Name()))
		}
	}
	return names
}

// randomJSON returns text that is JSON of the schema, of something else, or none.
func randomJSON(r *rand.Rand, depth int) string {
	keys := []string{"limit", "number", "from", "to", "id", "message", "expectedGeneration", "idempotencyKey", "generation", "level", "zzz", "\xff"}
	switch n := r.IntN(12); {
	case n < 5 && depth > 0:
		var parts []string
		for range r.IntN(4) {
			parts = append(parts, fmt.Sprintf("%q:%s", keys[r.IntN(len(keys))], randomJSON(r, depth-1)))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case n == 5 && depth > 0:
		return "[" + randomJSON(r, depth-1) + "," + randomJSON(r, depth-1) + "]"
	case n == 6:
		return fmt.Sprint(int32(r.Uint32()))
	case n == 7:
		return fmt.Sprint(r.NormFloat64() * 1e300)
	case n == 8:
		return []string{"null", "true", `"\ud800"`, "1e999", "{", "\x00", `"`, "NaN"}[r.IntN(8)]
	case n == 9:
		return `"` + strings.Repeat("x", r.IntN(2000)) + `"`
	}
	return fmt.Sprint(r.IntN(6))
}

// Whatever is sent, the fault is found with the sender, and nothing breaks.
func TestRandomBodies(t *testing.T) {
	f := newFake()
	s := New(f, Options{Token: testToken, Upgrade: upgraded})
	defer s.Close()
	methods := unaryMethods()
	r := rand.New(rand.NewPCG(1, 2))
	types := []string{"application/json", "application/json", "application/json", "application/proto", "application/grpc-web", "application/grpc-web+json", "text/plain", ""}
	codes := map[int]int{}
	for i := range 6000 {
		body := randomJSON(r, 4)
		path := rpcPath + methods[r.IntN(len(methods))]
		ctype := types[r.IntN(len(types))]
		req := httptest.NewRequest(http.MethodPost, "http://localhost"+path, strings.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+testToken)
		req.Header.Set("Content-Type", ctype)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, req)
		codes[w.Code]++
		if w.Code >= 500 {
			t.Fatalf("case %d: %s %s with %q = %d %s", i, path, ctype, body, w.Code, w.Body)
		}
	}
	if codes[200] < 100 || codes[400] < 100 {
		t.Errorf("codes = %v: the bodies are not mixed", codes)
	}
	t.Log("codes:", codes)
}

// FuzzCall sends anything to any method, in every encoding: never a 5xx, never a
// panic.
func FuzzCall(f *testing.F) {
	s := New(newFake(), Options{Token: testToken})
	f.Cleanup(func() { s.Close() })
	methods := unaryMethods()
	types := []string{"application/json", "application/proto", "application/grpc-web+proto", "application/grpc-web+json"}
	f.Add(byte(0), byte(0), "", []byte(`{"limit":3}`))
	f.Add(byte(9), byte(1), "encoding=json&message={}", []byte{8, 1})
	f.Add(byte(10), byte(2), "connect=v1", []byte{0, 0, 0, 0, 2, 10, 0})
	f.Fuzz(func(t *testing.T, method, ctype byte, query string, body []byte) {
		verb := http.MethodPost
		if len(body) == 0 {
			verb = http.MethodGet
		}
		req := httptest.NewRequest(verb, "http://localhost"+rpcPath+methods[int(method)%len(methods)], bytes.NewReader(body))
		req.URL.RawQuery = query
		req.Header.Set("Authorization", "Bearer "+testToken)
		req.Header.Set("Content-Type", types[int(ctype)%len(types)])
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, req)
		if w.Code >= 500 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}

// FuzzParseFollow reads any cursor: a position that is not negative, or an error.
func FuzzParseFollow(f *testing.F) {
	f.Add("after=3&types=log,update", "")
	f.Add("", "dxyz-12")
	f.Add("after=-1", "-")
	f.Fuzz(func(t *testing.T, query, last string) {
		req := httptest.NewRequest(http.MethodGet, "http://localhost/api/v1/events", nil)
		req.URL.RawQuery = query
		req.Header["Last-Event-Id"] = []string{last}
		got, err := parseFollow(req)
		if err == nil && (got.after != nil && *got.after < 0 || len(got.types) > maxTypes) {
			t.Fatalf("parseFollow = %+v", got)
		}
	})
}

// A request that is too large, plain or compressed, is refused.
func TestLargeBodies(t *testing.T) {
	r := serve(t, newFake(), Options{Token: testToken})
	large := `{"message":"` + strings.Repeat("x", maxBody) + `"}`
	if code, _, body := r.do(t, http.MethodPost, rpcPath+"Reload", large, nil); code != http.StatusRequestEntityTooLarge {
		t.Errorf("large = %d %s, want 413", code, body)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte(strings.Repeat(large, 100)))
	z.Close()
	code, _, body := r.do(t, http.MethodPost, rpcPath+"Reload", packed.String(), func(q *http.Request) { q.Header.Set("Content-Encoding", "gzip") })
	if code < 400 || code >= 500 || !strings.Contains(body, "resource_exhausted") {
		t.Errorf("large when unpacked = %d %s, want resource_exhausted", code, body)
	}
	if len(r.app.changes()) != 0 {
		t.Error("a change was made")
	}
}

// Serve reports a listener that fails, and needs one.
func TestServeErrors(t *testing.T) {
	if err := New(newFake(), Options{}).Serve(t.Context()); err == nil {
		t.Error("Serve without a listener = nil")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := New(newFake(), Options{}).Serve(t.Context(), l); err == nil || !strings.Contains(err.Error(), "serve admin on 127.0.0.1:") {
		t.Errorf("Serve on a closed listener = %v", err)
	}
}

// Calls and streams that last beyond the listener's time-outs are not cut off.
func TestLongCalls(t *testing.T) {
	for _, name := range []string{"http/1", "http/2"} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			f.block, f.entered = make(chan struct{}), make(chan struct{}, 1)
			s := New(f, Options{Token: testToken})
			s.heartbeat = time.Hour
			srv := httptest.NewUnstartedServer(s.Handler())
			srv.Config.ReadTimeout, srv.Config.WriteTimeout = 50*time.Millisecond, 50*time.Millisecond
			protocols := new(http.Protocols)
			protocols.SetHTTP1(name == "http/1")
			protocols.SetUnencryptedHTTP2(name == "http/2")
			srv.Config.Protocols = protocols
			srv.Start()
			defer srv.Close()
			defer s.Close()
			transport := &http.Transport{Protocols: protocols}
			defer transport.CloseIdleConnections()
			c := adminv1connect.NewAdminServiceClient(&bearer{token: testToken, client: http.Client{Transport: transport}}, srv.URL)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()

			stream, err := c.WatchEvents(ctx, connect.NewRequest(&adminv1.WatchEventsRequest{}))
			if err != nil || !stream.Receive() {
				t.Fatal(err)
			}
			// The call outlives both time-outs several times over.
			time.AfterFunc(300*time.Millisecond, func() { close(f.block) })
			if _, err := c.Reload(ctx, connect.NewRequest(&adminv1.ReloadRequest{})); err != nil {
				t.Errorf("Reload = %v", err)
			}
			f.events.Publish(app.Event{Type: "log", Message: "late"})
			if !stream.Receive() || stream.Msg().Event.GetMessage() != "late" {
				t.Errorf("stream = %v, %v", stream.Msg(), stream.Err())
			}
			stream.Close()
		})
	}
}

// A client that does not read is cut off; it holds no stream open for ever.
func TestStuckReader(t *testing.T) {
	f := newFake()
	s := New(f, Options{Token: testToken})
	s.chunkTimeout = 100 * time.Millisecond
	defer s.Close()
	ended := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		s.Handler().ServeHTTP(w, r)
	}))
	defer srv.Close()
	for range 200 {
		f.events.Publish(app.Event{Type: "log", Message: strings.Repeat("x", 100<<10)})
	}
	c, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /api/v1/events?after=0 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", testToken)
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the stream of a client that does not read stays open")
	}
}

// The committed code is what the schema generates.
func TestGenerated(t *testing.T) {
	var tools []string
	for _, name := range []string{"protoc", "protoc-gen-go", "protoc-gen-connect-go"} {
		path, err := exec.LookPath(name)
		if err != nil {
			if out, gerr := exec.Command("go", "env", "GOPATH").Output(); gerr == nil {
				path, err = exec.LookPath(filepath.Join(strings.TrimSpace(string(out)), "bin", name))
			}
		}
		if err != nil {
			t.Skipf("%s is not installed", name)
		}
		tools = append(tools, path)
	}
	out := t.TempDir()
	cmd := exec.Command(tools[0], "-I", "v1", "--plugin=protoc-gen-go="+tools[1], "--plugin=protoc-gen-connect-go="+tools[2],
		"--go_out="+out, "--go_opt=paths=source_relative", "--connect-go_out="+out, "--connect-go_opt=paths=source_relative", "admin.proto")
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("protoc: %v\n%s", err, msg)
	}
	for _, name := range []string{"admin.pb.go", filepath.Join("adminv1connect", "admin.connect.go")} {
		want, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("v1", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(unversioned(got), unversioned(want)) {
			t.Errorf("v1/%s is not what admin.proto generates: run go generate ./admin/v1", name)
		}
	}
}

// unversioned drops the lines that name the generators' versions.
func unversioned(b []byte) []byte {
	var out [][]byte
	for _, line := range bytes.Split(b, []byte("\n")) {
		if !bytes.HasPrefix(line, []byte("// \tprotoc")) {
			out = append(out, line)
		}
	}
	return bytes.Join(out, []byte("\n"))
}

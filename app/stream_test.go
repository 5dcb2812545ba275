package app_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/theseus-run/theseus/app"
)

var streaming = map[string]string{
	"theseus.yaml": `app: live
api: 1
routes:
  GET /live: { run: handlers/live.js, stream: sse }
  GET /ws: { run: handlers/ws.js, stream: websocket }
  POST /say: handlers/say.js
  GET /other: handlers/other.js
`,
	"handlers/live.js":  "export default (req) => ({ subscribe: ['said'], event: 'hello', data: { gen: req.generation, v: config.a.v }, state: { n: 0 } });\nexport const event = (e, ctx) => ({ event: e.topic, data: { said: e.data, n: ctx.state.n + 1, v: config.a.v, as: 1 }, state: { n: ctx.state.n + 1 } });\n",
	"handlers/ws.js":    "export default () => ({ subscribe: ['said'], state: { n: 0 } });\nexport const message = (text, ctx) => ({ data: { echo: text, n: ctx.state.n + 1 }, state: { n: ctx.state.n + 1 }, close: text === 'bye' });\nexport const event = (e) => ({ event: e.topic, data: e.data });\n",
	"handlers/say.js":   "export default (req) => { emit('said', req.text()); };\n",
	"handlers/other.js": "export default () => 1;\n",
	"config/a.yaml":     "v: 1\n",
}

// sse is an open event stream.
type sse struct {
	t    *testing.T
	resp *http.Response
	r    *bufio.Reader
}

func openSSE(t *testing.T, url string) *sse {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("status %d, %v", resp.StatusCode, resp.Header)
	}
	return &sse{t, resp, bufio.NewReader(resp.Body)}
}

// next returns the next message as "event data".
func (s *sse) next() string {
	s.t.Helper()
	event := ""
	for {
		line, err := s.r.ReadString('\n')
		if err != nil {
			s.t.Fatalf("the stream broke: %v", err)
		}
		line = strings.TrimSuffix(line, "\n")
		if e, ok := strings.CutPrefix(line, "event: "); ok {
			event = e
		}
		if d, ok := strings.CutPrefix(line, "data: "); ok {
			return event + " " + d
		}
	}
}

func TestStreamsAcrossUpdates(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, streaming)
	a := open(t, dir)
	srv := httptest.NewServer(a)
	defer srv.Close()
	defer a.Drain()
	say := func(text string) {
		t.Helper()
		if resp, body := get(t, a, "POST", "/say", text); resp.StatusCode != 204 {
			t.Fatal(resp.StatusCode, body)
		}
	}
	want := func(s *sse, text string) {
		t.Helper()
		if got := s.next(); got != text {
			t.Errorf("got %s, want %s", got, text)
		}
	}
	s := openSSE(t, srv.URL+"/live")
	want(s, `hello {"gen":1,"v":1}`)
	say("a")
	want(s, `said {"said":"a","n":1,"v":1,"as":1}`)

	// An unrelated change: the stream's unit and configuration are the same, so
	// the stream moves on and the old generation is freed.
	write(t, dir, map[string]string{"handlers/other.js": "export default () => 2;\n"})
	reload(t, a)
	say("b")
	want(s, `said {"said":"b","n":2,"v":1,"as":1}`)
	waitFreed(t, a)
	if st := a.Status(); st.Live.Number != 2 || st.Live.Streams != 1 {
		t.Errorf("live gen %d with %d streams, want gen 2 with 1", st.Live.Number, st.Live.Streams)
	}

	// Its own file changes: the stream stays with what it began with.
	write(t, dir, map[string]string{"handlers/live.js": strings.ReplaceAll(streaming["handlers/live.js"], "as: 1", "as: 2"), "config/a.yaml": "v: 2\n"})
	reload(t, a)
	fresh := openSSE(t, srv.URL+"/live")
	want(fresh, `hello {"gen":3,"v":2}`)
	say("c")
	want(s, `said {"said":"c","n":3,"v":1,"as":1}`)
	want(fresh, `said {"said":"c","n":1,"v":2,"as":2}`)
	if st := a.Status(); len(st.Draining) != 1 || st.Draining[0].Number != 2 || st.Draining[0].Streams != 1 {
		t.Errorf("draining %+v, want gen 2 with one stream", st.Draining)
	}

	// Once it ends, its generation is freed.
	s.resp.Body.Close()
	waitFreed(t, a)
}

func TestWebSocket(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, streaming)
	a := open(t, dir)
	srv := httptest.NewServer(a)
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(srv.URL, "http")+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	want := func(send, receive string) {
		t.Helper()
		if send != "" {
			if err := c.Write(ctx, websocket.MessageText, []byte(send)); err != nil {
				t.Fatal(err)
			}
		}
		_, got, err := c.Read(ctx)
		if err != nil || string(got) != receive {
			t.Fatalf("got %s, %v; want %s", got, err, receive)
		}
	}
	want("one", `{"echo":"one","n":1}`)
	write(t, dir, map[string]string{"handlers/ws.js": "export default () => ({});\nexport const message = () => ({ data: 'new' });\n"})
	reload(t, a)
	want("two", `{"echo":"two","n":2}`)
	if resp, _ := get(t, a, "POST", "/say", "x"); resp.StatusCode != 204 {
		t.Fatal(resp.StatusCode)
	}
	want("", `{"data":"x","event":"said"}`)
	want("bye", `{"echo":"bye","n":3}`)
	if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("after close: %v", err)
	}
	waitFreed(t, a)
}

func TestWorkflowRunsStayInTheirGeneration(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"theseus.yaml":         "app: flows\napi: 1\nroutes:\n  POST /go: workflows/go.yaml\n",
		"workflows/go.yaml":    "name: go\nsteps:\n  wait: { run: handlers/lib/wait.js }\n  mark: { needs: [wait], run: handlers/lib/mark.js }\noutput: { by: \"${{ steps.mark.by }}\" }\n",
		"handlers/lib/wait.js": "export default () => { while (!kv.get('go')) sleep(2); };\n",
		"handlers/lib/mark.js": "export default () => ({ by: 'old' });\n",
	})
	a := open(t, dir)
	_, text := get(t, a, "POST", "/go", "{}")
	var first struct{ Run string }
	if err := json.Unmarshal([]byte(text), &first); err != nil {
		t.Fatal(err, text)
	}
	write(t, dir, map[string]string{
		"handlers/lib/wait.js": "export default () => { kv.set('go', true); };\n",
		"handlers/lib/mark.js": "export default () => ({ by: 'new' });\n",
	})
	reload(t, a)
	if resp, text := get(t, a, "POST", "/go?wait=true", "{}"); resp.StatusCode != 200 || text != `{"by":"new"}` {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	waitFor(t, "the first run to end", func() bool { r, _ := a.Run(first.Run); return r.Status != "running" })
	r, err := a.Run(first.Run)
	if err != nil || r.Status != "ok" || r.Generation != 1 || len(r.Steps) != 2 || r.Steps[1].Status != "ok" {
		t.Errorf("%+v, %v", r, err)
	}
	waitFreed(t, a)
}

func TestJobsKeepTheirBeat(t *testing.T) {
	dir := t.TempDir()
	manifest := "app: jobs\napi: 1\nroutes:\n  GET /n: handlers/n.js\njobs:\n  beat: { every: 200ms, run: jobs/beat.js }\n"
	write(t, dir, map[string]string{
		"theseus.yaml":  manifest,
		"handlers/n.js": "export default () => kv.get('n');\n",
		"jobs/beat.js":  "export default (tick) => { kv.incr('n'); return { gen: tick.generation }; };\n",
	})
	a := open(t, dir)
	sub := a.Events().Subscribe(-1)
	defer sub.Close()
	for n := range 8 {
		waitFor(t, "the next tick", func() bool { return a.Jobs()[0].Ticks > int64(n) })
		write(t, dir, map[string]string{"handlers/n.js": fmt.Sprintf("export default () => [%d, kv.get('n')];\n", n)})
		reload(t, a)
	}
	waitFor(t, "12 ticks", func() bool { return a.Jobs()[0].Ticks >= 12 })
	ticks, generations := map[int64]int{}, map[int]bool{}
	var low, high int64
	for done := false; !done; {
		select {
		case e := <-sub.C:
			if r, ok := e.Data.(app.Run); ok && r.Kind == "job" {
				if r.Status != "ok" {
					t.Errorf("tick %d: %s %s", r.Tick, r.Status, r.Error)
				}
				ticks[r.Tick]++
				generations[r.Generation] = true
				if low == 0 || r.Tick < low {
					low = r.Tick
				}
				high = max(high, r.Tick)
			}
		default:
			done = true
		}
	}
	for n := low; n <= high; n++ {
		if ticks[n] != 1 {
			t.Errorf("tick %d came %d times", n, ticks[n])
		}
	}
	if len(generations) < 2 || high-low < 8 {
		t.Errorf("ticks %d to %d in %d generations", low, high, len(generations))
	}
}

func TestStreamEndsAtMaxPin(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, streaming)
	write(t, dir, map[string]string{"theseus.yaml": streaming["theseus.yaml"] + "limits: { max_pin: 300ms }\n"})
	a := open(t, dir)
	srv := httptest.NewServer(a)
	defer srv.Close()
	s := openSSE(t, srv.URL+"/live")
	s.next()
	write(t, dir, map[string]string{"config/a.yaml": "v: 2\n"})
	begin := time.Now()
	reload(t, a)
	if rest, err := io.ReadAll(s.r); err != nil { // a clean end
		t.Errorf("%q, %v", rest, err)
	}
	if took := time.Since(begin); took < 300*time.Millisecond {
		t.Errorf("the stream ended after %v already", took)
	}
	waitFreed(t, a)
}

// The heartbeat's answer comes through the reader that waits for the writer: a client that
// talks all the time must not stop both.
func TestWebSocketChattyClient(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, streaming)
	write(t, dir, map[string]string{
		"theseus.yaml":   streaming["theseus.yaml"] + "limits: { max_pin: 200ms }\n", // a heartbeat each 50 ms
		"handlers/ws.js": "export default () => ({});\nexport const message = (text) => { sleep(5); return { data: text }; };\n",
	})
	a := open(t, dir)
	srv := httptest.NewServer(a)
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(srv.URL, "http")+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	const messages = 150
	go func() {
		for n := range messages {
			if c.Write(ctx, websocket.MessageText, fmt.Append(nil, n)) != nil {
				return
			}
		}
	}()
	for n := range messages {
		if _, got, err := c.Read(ctx); err != nil || string(got) != fmt.Sprintf("%q", fmt.Sprint(n)) {
			t.Fatalf("message %d: %s, %v", n, got, err)
		}
	}
}

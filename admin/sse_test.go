package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/app"
)

// frame is one server-sent event as a browser sees it.
type frame struct{ id, event, data, comment string }

// sse opens the event stream and returns a function that reads the next frame.
func (r *running) sse(t *testing.T, query, last string) (next func() frame, end func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/api/v1/events"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+testToken)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := r.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("events = %d %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	lines := bufio.NewReader(res.Body)
	next = func() frame {
		t.Helper()
		var f frame
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatalf("stream ended: %v", err)
			}
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch name {
			case "id":
				f.id = value
			case "event":
				f.event = value
			case "data":
				f.data = value
			case "retry":
			case "":
				if value != "" {
					f.comment = value
					continue
				}
				return f
			default:
				t.Fatalf("unexpected line %q", line)
			}
		}
	}
	return next, func() { cancel(); res.Body.Close() }
}

// event returns the next frame that has data.
func event(next func() frame) frame {
	for {
		if f := next(); f.data != "" {
			return f
		}
	}
}

// A reader that comes back gets what it missed, once each, in order.
func TestEventsResume(t *testing.T) {
	r := serve(t, newFake(), Options{Token: testToken})
	r.app.events.Publish(app.Event{Type: "app", Message: "before"})
	next, end := r.sse(t, "", "")
	hello := next()
	if hello.id != r.instance+"-1" || hello.data != "" {
		t.Fatalf("first frame = %+v, want the id alone", hello)
	}
	r.app.events.Publish(app.Event{Type: "update", Message: "two\nlines", Data: app.Update{ID: "u1"}})
	f := event(next)
	var e app.Event
	if err := json.Unmarshal([]byte(f.data), &e); err != nil || f.event != "update" || e.ID != 2 || e.Message != "two\nlines" || f.id != r.instance+"-2" {
		t.Fatalf("frame = %+v (%v)", f, err)
	}
	for f := next(); f.comment == ""; f = next() {
	} // a sign of life comes without an event
	end()

	for i := range 3 {
		r.app.events.Publish(app.Event{Type: "log", Message: fmt.Sprint("missed ", i)})
	}
	next, end = r.sse(t, "", f.id)
	for want := 3; want <= 5; want++ {
		if f := event(next); f.id != fmt.Sprintf("%s-%d", r.instance, want) {
			t.Fatalf("resumed frame = %+v, want event %d", f, want)
		}
	}
	end()

	// An id of a process that is gone means nothing here: all that is kept comes.
	next, end = r.sse(t, "?types=update,none", "another-4000")
	if f := event(next); f.id != r.instance+"-2" || f.event != "update" {
		t.Errorf("after a restart: %+v, want the update", f)
	}
	end()
	next, end = r.sse(t, "?after=4", "")
	if f := event(next); f.id != r.instance+"-5" {
		t.Errorf("?after=4: %+v, want event 5", f)
	}
	end()
}

// What was asked for and is no longer kept is told, not skipped in silence.
func TestEventsMissed(t *testing.T) {
	r := serve(t, newFake(), Options{Token: testToken})
	for range 5000 {
		r.app.events.Publish(app.Event{Type: "log"})
	}
	oldest := r.app.events.Recent(math.MaxInt, nil)[0].ID
	next, end := r.sse(t, "?after=10", "")
	defer end()
	f := event(next)
	if want := fmt.Sprintf(`{"count":%d}`, oldest-11); f.event != "missed" || f.data != want {
		t.Errorf("first = %+v, want missed %s", f, want)
	}
	for want := oldest; want < oldest+2; want++ {
		if f := event(next); f.id != fmt.Sprintf("%s-%d", r.instance, want) {
			t.Errorf("then = %+v, want event %d", f, want)
		}
	}
}

func TestEventsBadRequests(t *testing.T) {
	r := serve(t, newFake(), Options{Token: testToken})
	for _, path := range []string{"?after=x", "?after=-1", "?after=1-", "?access_token=x", "?types=" + strings.Repeat("a,", 40)} {
		code, _, body := r.do(t, http.MethodGet, "/api/v1/events"+path, "", nil)
		if code != http.StatusBadRequest || !strings.Contains(body, "invalid_argument") {
			t.Errorf("%s = %d %s, want 400", path, code, body)
		}
	}
	c := r.dial(t)
	after := int64(-2)
	stream, err := c.WatchEvents(t.Context(), connect.NewRequest(&adminv1.WatchEventsRequest{After: &after}))
	if err == nil {
		for stream.Receive() {
		}
		err = stream.Err()
		stream.Close()
	}
	if connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("WatchEvents(after -2) = %v, want invalid_argument", err)
	}
}

// slowWriter holds the first event back until it is released.
type slowWriter struct {
	*httptest.ResponseRecorder
	blocked, release chan struct{}
}

func (w *slowWriter) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "event: log") && w.blocked != nil {
		close(w.blocked)
		<-w.release
		w.blocked = nil
	}
	return w.ResponseRecorder.Write(p)
}

// A reader that falls behind is told, with where to go on, and the stream ends.
func TestEventsLagged(t *testing.T) {
	f := newFake()
	s := New(f, Options{Token: testToken})
	defer s.Close()
	w := &slowWriter{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
	blocked := w.blocked
	f.events.Publish(app.Event{Type: "log"})
	req := httptest.NewRequest(http.MethodGet, "http://localhost/api/v1/events?after=0", nil)
	req.Header.Set("Authorization", "Bearer "+testToken)
	done := make(chan struct{})
	go func() { s.Handler().ServeHTTP(w, req); close(done) }()
	<-blocked
	for range 400 {
		f.events.Publish(app.Event{Type: "log"})
	}
	close(w.release)
	<-done
	body := w.Body.String()
	last := strings.Count(body, "event: log\n")
	if want := fmt.Sprintf("event: lagged\ndata: {\"after\":%d,\"instance\":%q}\n\n", last, s.instance); !strings.HasSuffix(body, want) || last < 200 || last > 400 {
		t.Errorf("stream of %d events ends with %q, want %q", last, body[max(0, len(body)-120):], want)
	}

	err := s.rpcError(&laggedError{after: 7})
	if m, ok := detail[*adminv1.Lagged](err); connect.CodeOf(err) != connect.CodeAborted || !ok || m.After != 7 {
		t.Errorf("rpc error of a lagged stream = %v, %v", err, m)
	}
}

// Stopping the server ends the streams at once and leaves nothing behind.
func TestStopEndsStreams(t *testing.T) {
	r := serve(t, newFake(), Options{Token: testToken})
	next, end := r.sse(t, "", "")
	defer end()
	next()
	stream, err := r.dial(t).WatchEvents(t.Context(), connect.NewRequest(&adminv1.WatchEventsRequest{}))
	if err != nil || !stream.Receive() {
		t.Fatal(err, stream.Err())
	}
	defer stream.Close()
	start := time.Now()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > shutdownGrace/2 {
		t.Errorf("stopping took %v", took)
	}
	for stream.Receive() {
	}
	if connect.CodeOf(stream.Err()) != connect.CodeUnavailable {
		t.Errorf("stream ended with %v, want unavailable", stream.Err())
	}
}

// Data that has no JSON form costs the data, not the event.
func TestUnencodableEvent(t *testing.T) {
	e := app.Event{ID: 9, Type: "stats", Message: "m", Data: math.NaN()}
	if b := string(eventJSON(e)); !json.Valid([]byte(b)) || !strings.Contains(b, `"id":9`) || !strings.Contains(b, "unsupported value") {
		t.Errorf("eventJSON = %s", b)
	}
	if m := eventProto(e); m.Id != 9 || !strings.Contains(m.Data.String(), "unsupported value") {
		t.Errorf("eventProto = %v", m)
	}
	e.Data, e.Time = nil, time.Date(99999, 1, 1, 0, 0, 0, 0, time.UTC)
	if b := eventJSON(e); !json.Valid(b) {
		t.Errorf("eventJSON of year 99999 = %s", b)
	}
	if m := eventProto(e); m.Time != nil {
		t.Errorf("time = %v, want unset", m.Time)
	}
}

package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/theseus-run/theseus/internal/topic"
	"github.com/theseus-run/theseus/script"
)

// A stream is an open SSE or WebSocket connection. Between messages nothing of
// the script runs; the stream keeps the generation it began in, or moves to a
// newer one that holds the very same unit and configuration.
type stream struct {
	app    *App
	unit   *unit
	env    *environment
	gen    atomic.Pointer[Generation] // whose lease the stream holds
	mu     sync.Mutex                 // held while a script runs or the lease moves
	req    script.Value
	state  script.Value
	events topic.Subscription
	every  time.Duration
	first  []outMessage // what the open function wants sent at once
	ended  chan struct{}
	once   sync.Once
	why    string // set before ended is closed
}

// outMessage is one message to the client.
type outMessage struct {
	Event   string
	Data    script.Value
	ID      string
	comment bool // nothing but a sign of life
}

// opened is what a stream's default function returns.
type opened struct {
	Subscribe []string      `json:"subscribe"`
	Every     float64       `json:"every"`
	Data      *script.Value `json:"data"`
	Event     string        `json:"event"`
	State     script.Value  `json:"state"`
}

// openStream calls the unit's default function. It returns nil when that
// answered with a response of its own.
func (x *exchange) openStream(u *unit, params []string) (*stream, error) {
	req, err := x.request(params)
	if err != nil {
		return nil, err
	}
	v, err := x.gen.execute(x.r.Context(), u, script.Call{Args: []script.Value{req}, Host: x.gen.host(x.env, u.Name())})
	if err != nil {
		return nil, err
	}
	if _, ok := script.AsResponse(v); ok {
		return nil, x.send(v)
	}
	var o opened
	if !v.IsNull() {
		if err := v.Decode(&o); err != nil {
			return nil, &script.Error{Kind: script.Failed, File: u.Name(), Message: "a stream's default function must return {subscribe, every, data, event, state}: " + err.Error()}
		}
	}
	if o.Every != 0 && o.Every < 10 || o.Every > 24*3600*1000 {
		return nil, &script.Error{Kind: script.Failed, File: u.Name(), Message: "\"every\" of a stream must be 0 or 10 ms to 24 h, got " + strconv.FormatFloat(o.Every, 'g', -1, 64)}
	}
	after := int64(-1)
	if id, err := strconv.ParseInt(x.r.Header.Get("Last-Event-ID"), 10, 64); err == nil && id > 0 {
		after = id
	}
	s := &stream{app: x.app, unit: u, env: x.env, req: req, state: o.State,
		every: time.Duration(o.Every * float64(time.Millisecond)), ended: make(chan struct{})}
	s.events = x.env.topics.Subscribe(o.Subscribe, after)
	if o.Data != nil {
		s.first = []outMessage{{Event: o.Event, Data: *o.Data}}
	}
	s.gen.Store(x.lease.take())
	x.w.stream = true
	if !x.env.test {
		x.rec.inflight.Add(-1)
	}
	x.rec.streams.Add(1)
	s.app.streams.add(s)
	if s.app.draining.Load() {
		s.end(errDraining)
	}
	return s, nil
}

// begun forgets the generation that the stream began in: the stream holds it now, and
// may move on.
func (x *exchange) begun() {
	x.gen = nil
	if !x.env.test {
		x.observe(time.Since(x.start))
	}
}

// close ends the stream and gives its lease back.
func (s *stream) close() {
	s.events.Close()
	s.app.streams.remove(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.gen.Swap(nil)
	g.record.streams.Add(-1)
	g.release()
}

// end asks the stream to stop, with the reason for the log.
func (s *stream) end(why string) {
	s.once.Do(func() { s.why = why; close(s.ended) })
}

// follow passes the stream's lease to the live generation when nothing that
// the stream can see differs there. A stream whose script runs right now is left
// alone: it follows by itself when that returns.
func (s *stream) follow() {
	if s.env.test || s.gen.Load() == s.app.live.Load() || !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	g, next := s.gen.Load(), s.app.live.Load()
	if g == nil || next == nil || g == next || !s.sameIn(next, g) || !next.tryAcquire() {
		return
	}
	s.gen.Store(next)
	next.record.streams.Add(1)
	g.record.streams.Add(-1)
	g.release()
}

// sameIn reports whether the stream cannot tell next from g, its generation.
func (s *stream) sameIn(next, g *Generation) bool {
	return !s.unit.calls && next.units[s.unit.Name()] == s.unit && next.config.digest == g.config.digest
}

// call runs one of the stream's functions and returns the messages it gave,
// and whether the stream shall end after them.
func (s *stream) call(ctx context.Context, name string, args ...any) ([]outMessage, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.gen.Load()
	c := script.Of(map[string]any{"req": s.req, "state": s.state})
	in := make([]script.Value, 0, 2)
	for _, a := range args {
		in = append(in, script.Of(a))
	}
	v, err := g.execute(ctx, s.unit, script.Call{Func: name, Args: append(in, c), Host: g.host(s.env, s.unit.Name())})
	if err != nil || v.IsNull() {
		return nil, false, err
	}
	text, err := v.Text()
	if err != nil {
		return nil, false, err
	}
	var list []json.RawMessage
	if text[0] != '[' {
		list = []json.RawMessage{text}
	} else if err := json.Unmarshal(text, &list); err != nil {
		return nil, false, err
	}
	var out []outMessage
	end := false
	for _, item := range list {
		var m struct {
			Event string          `json:"event"`
			Data  *script.Value   `json:"data"`
			ID    json.RawMessage `json:"id"`
			State *script.Value   `json:"state"`
			Close bool            `json:"close"`
		}
		if err := json.Unmarshal(item, &m); err != nil {
			return nil, false, &script.Error{Kind: script.Failed, File: s.unit.Name(), Message: name + " must return {event, data, id, state, close}, a list of them, or nothing: " + err.Error()}
		}
		if m.State != nil {
			s.state = *m.State
		}
		end = end || m.Close
		if m.Data != nil {
			out = append(out, outMessage{Event: m.Event, Data: *m.Data, ID: unquote(m.ID)})
		}
	}
	return out, end, nil
}

func unquote(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	if string(raw) == "null" {
		return ""
	}
	return string(raw)
}

// next waits for the next thing to send. It returns no messages when there is
// nothing to send for what happened, and false when the stream shall end.
func (s *stream) next(ctx context.Context, c clock, messages <-chan string) ([]outMessage, bool) {
	var out []outMessage
	var end bool
	var err error
	select {
	case <-ctx.Done():
		return nil, false
	case <-s.ended:
		return nil, false
	case <-c.beat.C:
		return []outMessage{{comment: true}}, s.withinPin()
	case e, ok := <-s.events.C():
		if !ok {
			s.end("the client reads too slowly")
			return nil, false
		}
		if !hasExport(s.unit, "event") {
			return []outMessage{{Event: e.Topic, Data: script.JSON(e.Data), ID: strconv.FormatInt(e.ID, 10)}}, true
		}
		out, end, err = s.call(ctx, "event", map[string]any{"topic": e.Topic, "data": json.RawMessage(e.Data), "id": e.ID})
		for i := range out {
			if out[i].ID == "" && i == len(out)-1 {
				out[i].ID = strconv.FormatInt(e.ID, 10)
			}
		}
	case <-c.due:
		out, end, err = s.call(ctx, "tick")
	case m := <-messages:
		out, end, err = s.call(ctx, "message", m)
	}
	s.follow() // an update that came meanwhile has left this stream alone
	if err != nil && ctx.Err() == nil {
		g := s.gen.Load()
		s.env.log.Error("stream function failed", slog.String("unit", s.unit.Name()), slog.Int("generation", g.number), slog.String("update", g.update), slog.String("error", err.Error()))
	}
	return out, !end
}

// withinPin reports whether the stream may stay: it is in the live generation,
// or its own was retired less than max_pin ago.
func (s *stream) withinPin() bool {
	s.follow()
	g := s.gen.Load()
	if s.env.test || g == s.app.live.Load() {
		return true
	}
	if limit := g.limits.maxPin; limit > 0 && time.Since(g.retiredAt()) > limit {
		s.end("the stream's generation was replaced more than " + limit.String() + " ago")
		return false
	}
	return true
}

// A clock says when a stream's tick function is due and when a sign of life is.
type clock struct {
	tick *time.Ticker // nil without a tick function
	due  <-chan time.Time
	beat *time.Ticker
}

func (s *stream) clock() clock {
	c := clock{beat: time.NewTicker(s.beat())}
	if s.every > 0 && hasExport(s.unit, "tick") {
		c.tick = time.NewTicker(s.every)
		c.due = c.tick.C
	}
	return c
}

func (c clock) stop() {
	c.beat.Stop()
	if c.tick != nil {
		c.tick.Stop()
	}
}

// beat is the time between two signs of life: often enough to keep max_pin.
func (s *stream) beat() time.Duration {
	every := s.app.heartbeat
	if limit := s.gen.Load().limits.maxPin; limit > 0 {
		every = min(every, max(limit/4, 50*time.Millisecond))
	}
	return every
}

// writeGrace is how long one message to a stream's client may take.
const writeGrace = 30 * time.Second

// defaultHeartbeat is how often an idle SSE stream sends a comment, so that dead
// clients are noticed; it is also how often the pin is looked at.
const defaultHeartbeat = 15 * time.Second

// serveSSE keeps a server-sent events stream (WHATWG HTML section 9.2).
func (x *exchange) serveSSE(u *unit, params []string) error {
	s, err := x.openStream(u, params)
	if s == nil || err != nil {
		return err
	}
	defer s.close()
	rc := http.NewResponseController(x.w.ResponseWriter)
	_ = rc.SetReadDeadline(time.Time{})
	h := x.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	x.w.WriteHeader(http.StatusOK)
	x.begun()
	s.follow() // an update may have come before the stream was known
	clock := s.clock()
	defer clock.stop()
	pending := appendSSE([]byte(": open\n\n"), s.first)
	done := false
	for {
		_ = rc.SetWriteDeadline(time.Now().Add(writeGrace))
		if len(pending) > 0 {
			if _, err := x.w.Write(pending); err != nil {
				return nil // the client went away
			}
			if err := rc.Flush(); err != nil {
				return nil
			}
		}
		if done || x.env.test {
			return nil
		}
		messages, alive := s.next(x.r.Context(), clock, nil)
		pending, done = appendSSE(pending[:0], messages), !alive
	}
}

// appendSSE appends messages in the event stream format.
func appendSSE(b []byte, messages []outMessage) []byte {
	for _, m := range messages {
		if m.comment {
			b = append(b, ": \n\n"...)
			continue
		}
		if m.ID != "" {
			b = append(append(append(b, "id: "...), oneLine(m.ID)...), '\n')
		}
		if m.Event != "" {
			b = append(append(append(b, "event: "...), oneLine(m.Event)...), '\n')
		}
		text, err := m.Data.Text()
		if err != nil {
			continue
		}
		b = append(b, "data: "...)
		b = append(b, oneLine(string(text))...)
		b = append(b, "\n\n"...)
	}
	return b
}

// oneLine drops line breaks: JSON has none that matter, names may have none.
func oneLine(s string) string {
	for i := range len(s) {
		if s[i] == '\n' || s[i] == '\r' || s[i] == 0 {
			out := make([]byte, 0, len(s))
			for _, c := range []byte(s) {
				if c != '\n' && c != '\r' && c != 0 {
					out = append(out, c)
				}
			}
			return string(out)
		}
	}
	return s
}

// streams is the set of open streams.
type streams struct {
	mu  sync.Mutex
	set map[*stream]struct{}
}

func (l *streams) add(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.set == nil {
		l.set = make(map[*stream]struct{})
	}
	l.set[s] = struct{}{}
}

func (l *streams) remove(s *stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.set, s)
}

// all returns the open streams.
func (l *streams) all() []*stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*stream, 0, len(l.set))
	for s := range l.set {
		out = append(out, s)
	}
	return out
}

// followAll lets every stream that can move to the live generation.
func (l *streams) followAll() {
	for _, s := range l.all() {
		s.follow()
	}
}

// endAll asks every stream to stop.
func (l *streams) endAll(why string) {
	for _, s := range l.all() {
		s.end(why)
	}
}

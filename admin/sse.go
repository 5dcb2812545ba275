package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"connectrpc.com/connect"

	"github.com/theseus-run/theseus/app"
)

// serveEvents streams events to a browser: id is "instance-number", event the
// type, data the JSON of an [app.Event]. It begins after the Last-Event-ID
// header or ?after=, else with new events; ?types=log,update selects. The id is
// sent once without data at the start, so that a reader always has one to resume
// from. A comment every 15 seconds is a sign of life. A reader that falls behind
// gets the event "lagged" and the end.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	f, err := parseFollow(r)
	if err != nil {
		s.access.refuse(w, r, err, http.StatusBadRequest)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // proxies that collect answers pass this one on
	w.WriteHeader(http.StatusOK)

	rc := http.NewResponseController(w)
	write := func(frame string) error {
		if _, err := w.Write([]byte(frame)); err != nil {
			return err
		}
		return rc.Flush()
	}
	started := false
	ended := s.follow(r.Context(), f, func(m moment) error {
		switch {
		case m.event != nil:
			return write(s.frame(m))
		case !started:
			started = true
			return write(fmt.Sprintf("retry: 1000\nid: %s-%d\n\n", s.instance, m.cursor))
		}
		return write(": still here\n\n")
	})
	var lagged *laggedError
	if errors.As(ended, &lagged) {
		// Nobody is left to tell if this fails.
		write(fmt.Sprintf("event: lagged\ndata: {\"after\":%d,\"instance\":%q}\n\n", lagged.after, s.instance))
	}
}

// frame formats one event. Data never contains a line break: JSON escapes it.
func (s *Server) frame(m moment) string {
	var b strings.Builder
	if m.missed > 0 {
		fmt.Fprintf(&b, "event: missed\ndata: {\"count\":%d}\n\n", m.missed)
	}
	fmt.Fprintf(&b, "id: %s-%d\nevent: %s\ndata: %s\n\n", s.instance, m.cursor, oneLine(m.event.Type), eventJSON(*m.event))
	return b.String()
}

// eventJSON encodes an event; data that has no JSON form is replaced by the reason.
func eventJSON(e app.Event) []byte {
	b, err := json.Marshal(e)
	if err != nil {
		e.Data = map[string]string{"error": err.Error()}
		b, err = json.Marshal(e)
	}
	if err != nil { // the time is beyond year 9999
		b = fmt.Appendf(nil, `{"id":%d,"type":"app","message":"this event has no JSON form"}`, e.ID)
	}
	return b
}

// oneLine keeps a value inside its line.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, s)
}

// parseFollow reads where to begin and what to send.
func parseFollow(r *http.Request) (follow, *connect.Error) {
	var f follow
	q := r.URL.Query()
	if q.Has("access_token") || q.Has("token") {
		return f, invalid("a token in the address ends up in logs: send it in the Authorization header, and get a new one")
	}
	for _, t := range strings.Split(q.Get("types"), ",") {
		if t = strings.TrimSpace(t); t != "" {
			f.types = append(f.types, t)
		}
	}
	from := r.Header.Get("Last-Event-ID")
	if from == "" {
		from = q.Get("after")
	}
	if from == "" {
		return f, checked(f)
	}
	if i := strings.LastIndexByte(from, '-'); i > 0 {
		f.instance, from = from[:i], from[i+1:]
	}
	n, err := strconv.ParseInt(from, 10, 64)
	if err != nil {
		return f, invalid("Last-Event-ID or after is %q: it is the id of an event, or its number", from)
	}
	f.after = &n
	return f, checked(f)
}

// checked is validate for those who answer without connect.
func checked(f follow) *connect.Error {
	var e *connect.Error
	errors.As(f.validate(), &e)
	return e
}

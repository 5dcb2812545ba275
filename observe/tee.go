package observe

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/theseus-run/theseus/app"
)

// Bounds of a log event, so that the log of events stays small: bytes of one
// text, and attributes.
const (
	maxEventText  = 4 << 10
	maxEventAttrs = 64
)

// tee hands records on and publishes them as events of type "log". The
// attributes generation and update become fields of the event, the others its
// data: a map from dotted name to a plain value. The lines of the access log are
// no events: there may be thousands a second.
type tee struct {
	next   slog.Handler
	events *app.Events
	prefix string    // of the open groups, with a dot behind each
	attrs  []slogged // of WithAttrs, already plain
}

type slogged struct {
	key   string
	value any
}

// Enabled implements slog.Handler.
func (h *tee) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (h *tee) Handle(ctx context.Context, r slog.Record) error {
	err := h.next.Handle(ctx, r)
	if r.Message == app.AccessLog && r.Level == slog.LevelInfo {
		return err
	}
	attrs := slices.Clip(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		attrs = flatten(attrs, h.prefix, a)
		return len(attrs) <= maxEventAttrs
	})
	h.events.Publish(event(r, attrs))
	return err
}

// WithAttrs implements slog.Handler.
func (h *tee) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.next = h.next.WithAttrs(attrs)
	c.attrs = slices.Clip(h.attrs)
	for _, a := range attrs {
		c.attrs = flatten(c.attrs, h.prefix, a)
	}
	return &c
}

// WithGroup implements slog.Handler.
func (h *tee) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.next = h.next.WithGroup(name)
	c.prefix += name + "."
	return &c
}

// event makes the event of a record.
func event(r slog.Record, attrs []slogged) app.Event {
	e := app.Event{Time: r.Time, Type: "log", Level: strings.ToLower(r.Level.String()), Message: cut(r.Message)}
	data := make(map[string]any, len(attrs))
	for _, a := range attrs {
		switch v := a.value.(type) {
		case int64:
			if a.key == "generation" && v >= 0 && v <= math.MaxInt32 {
				e.Generation = int(v)
				continue
			}
		case string:
			if a.key == "update" {
				e.Update = v
				continue
			}
		}
		if len(data) < maxEventAttrs {
			data[a.key] = a.value
		}
	}
	if len(data) > 0 {
		e.Data = data
	}
	return e
}

// flatten appends a, and what is in it when it is a group.
func flatten(to []slogged, prefix string, a slog.Attr) []slogged {
	v := a.Value.Resolve()
	if v.Kind() != slog.KindGroup {
		if a.Equal(slog.Attr{}) {
			return to
		}
		return append(to, slogged{cut(prefix + a.Key), plain(v)})
	}
	if a.Key != "" {
		prefix += a.Key + "."
	}
	for _, g := range v.Group() {
		to = flatten(to, prefix, g)
	}
	return to
}

// plain returns a value that any JSON encoder takes and that shares nothing
// with the one who logged it.
func plain(v slog.Value) any {
	switch v.Kind() {
	case slog.KindString:
		return cut(v.String())
	case slog.KindInt64:
		return v.Int64()
	case slog.KindUint64:
		return v.Uint64()
	case slog.KindBool:
		return v.Bool()
	case slog.KindFloat64:
		if f := v.Float64(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
		return v.String()
	case slog.KindDuration:
		return v.Duration().String()
	case slog.KindTime:
		return v.Time().Format(time.RFC3339Nano)
	}
	switch x := v.Any().(type) {
	case nil:
		return nil
	case json.Number:
		return x.String()
	case map[string]any, []any:
		if text := jsonOf(x); text != nil && len(text) <= maxEventText {
			return text
		}
	}
	return cut(textOf(v.Any()))
}

// jsonOf returns v as JSON, nil when it is not to be had.
func jsonOf(v any) (text json.RawMessage) {
	defer func() {
		if recover() != nil { // of a method of something in v
			text = nil
		}
	}()
	text, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return text
}

// cut bounds a text.
func cut(s string) string {
	if len(s) <= maxEventText {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ToValidUTF8(s[:maxEventText], "") + "…"
}

package observe

import (
	"context"
	"encoding"
	"fmt"
	"log/slog"
	"strings"
	"unicode"
)

// Escape returns s as one line that is safe to print to a terminal: control
// characters appear as their Unicode pictures (an escape character as ␛, a line
// feed as ␊), what turns the direction of text or cannot be shown as �.
func Escape(s string) string {
	if strings.IndexFunc(s, unprintable) < 0 {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.Map(func(r rune) rune {
		switch {
		case !unprintable(r):
			return r
		case r < 0x20:
			return 0x2400 + r
		case r == 0x7f:
			return 0x2421
		}
		return unicode.ReplacementChar
	}, s)
}

// unprintable reports whether a terminal may take r for a command, or a reader be
// fooled by it.
func unprintable(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r < 0xa0, r == 0x2028, r == 0x2029:
		return true
	}
	return unicode.Is(unicode.Bidi_Control, r)
}

// escaper hands records on with every text in them escaped. The handler behind
// it quotes texts and then turns `\x1b` in them into an escape character, so
// that spelling is changed as well.
type escaper struct{ next slog.Handler }

// Enabled implements slog.Handler.
func (h *escaper) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (h *escaper) Handle(ctx context.Context, r slog.Record) error {
	safe := slog.NewRecord(r.Time, r.Level, Escape(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		safe.AddAttrs(escapeAttr(a))
		return true
	})
	return h.next.Handle(ctx, safe)
}

// WithAttrs implements slog.Handler.
func (h *escaper) WithAttrs(attrs []slog.Attr) slog.Handler {
	safe := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		safe[i] = escapeAttr(a)
	}
	return &escaper{h.next.WithAttrs(safe)}
}

// WithGroup implements slog.Handler.
func (h *escaper) WithGroup(name string) slog.Handler {
	return &escaper{h.next.WithGroup(escapeText(name))}
}

func escapeAttr(a slog.Attr) slog.Attr {
	if a.Equal(slog.Attr{}) {
		return a
	}
	a.Key, a.Value = escapeText(a.Key), a.Value.Resolve()
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(escapeText(a.Value.String()))
	case slog.KindAny:
		a.Value = slog.StringValue(escapeText(textOf(a.Value.Any())))
	case slog.KindGroup:
		group := make([]slog.Attr, 0, len(a.Value.Group()))
		for _, g := range a.Value.Group() {
			group = append(group, escapeAttr(g))
		}
		a.Value = slog.GroupValue(group...)
	}
	return a
}

func escapeText(s string) string {
	return strings.ReplaceAll(Escape(s), `\x1b`, `\x1B`)
}

// textOf prints a value that slog has no kind for. A panic of its methods is
// printed in its place.
func textOf(v any) (s string) {
	defer func() {
		if p := recover(); p != nil {
			s = fmt.Sprintf("!PANIC: %v", p)
		}
	}()
	switch v := v.(type) {
	case error:
		return v.Error()
	case encoding.TextMarshaler:
		if text, err := v.MarshalText(); err == nil {
			return string(text)
		}
	case []byte:
		return string(v)
	}
	return fmt.Sprintf("%+v", v)
}

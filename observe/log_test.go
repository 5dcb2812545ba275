package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/theseus-run/theseus/app"
)

func yes() bool { return true }
func no() bool  { return false }

type panicking struct{}

func (panicking) Error() string { panic("no text") }

type redacted string

func (redacted) LogValue() slog.Value { return slog.StringValue("***") }

func TestAutoIsJSONWithoutTerminal(t *testing.T) {
	var b bytes.Buffer
	NewLogger(&b, LogOptions{}).With("generation", 3).Info("served", "took", time.Second, "bad", "\x1b[31m")
	var line map[string]any
	if err := json.Unmarshal(b.Bytes(), &line); err != nil {
		t.Fatalf("%v in %q", err, b.String())
	}
	if line["msg"] != "served" || line["generation"] != 3.0 || line["level"] != "INFO" {
		t.Errorf("line %v", line)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	NewLogger(w, LogOptions{}).Info("x")
	w.Close()
	b.Reset()
	if _, err := b.ReadFrom(r); err != nil || !strings.HasPrefix(b.String(), "{") {
		t.Errorf("to a pipe: %q, %v", b.String(), err)
	}
}

func TestLevelCanChange(t *testing.T) {
	var b bytes.Buffer
	var level slog.LevelVar
	for _, f := range []Format{FormatText, FormatJSON} {
		b.Reset()
		level.Set(slog.LevelWarn)
		log := NewLogger(&b, LogOptions{Format: f, Level: &level, Events: new(app.Events)})
		log.Info("hidden")
		level.Set(slog.LevelDebug)
		log.Debug("shown")
		if got := b.String(); strings.Contains(got, "hidden") || !strings.Contains(got, "shown") {
			t.Errorf("%s: %q", f, got)
		}
	}
}

// hostile are texts that try to reach the terminal.
var hostile = []string{
	"\x1b[31mred", "two words \x1b]0;title\x07", "a\nb", "\r\x1b[2K", "\u009b31m", "\x7f", "a \u202egnp.exe",
	`literal \x1b[31m with space`, `literal\x1b[31m`, "\xff\x1b", "\u2028", "\x00",
}

func TestTextIsSafe(t *testing.T) {
	for _, color := range []func() bool{no, yes} {
		for _, s := range hostile {
			var b bytes.Buffer
			log := NewLogger(&b, LogOptions{Format: FormatText, Color: color})
			log.Info(s)
			log.Info("m", s, "v")
			log.Info("m", "k", s)
			log.Info("m", "k", errors.New(s))
			log.Info("m", "k", []string{s})
			log.Info("m", "k", []byte(s))
			log.Info("m", slog.Group(s, slog.String("k", s)))
			log.With("k", s).WithGroup(s).Info("m", "x", 1)
			lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
			if len(lines) != 8 {
				t.Errorf("%q: %d lines, want 8", s, len(lines))
			}
			for _, line := range lines {
				for _, own := range []string{"\x1b[0m", "\x1b[2m", "\x1b[22m", "\x1b[92m"} {
					if color() {
						line = strings.ReplaceAll(line, own, "")
					}
				}
				if i := strings.IndexFunc(line, func(r rune) bool { return unicode.IsControl(r) || unprintable(r) }); i >= 0 {
					t.Errorf("color %v: %q came through: %q", color(), s, line)
				}
			}
		}
	}
}

func TestTextKeepsWhatIsHarmless(t *testing.T) {
	var b bytes.Buffer
	log := NewLogger(&b, LogOptions{Format: FormatText, Color: no})
	log.Warn("größer 🚢", "path", `C:\app`, "n", 7, "took", 1500*time.Millisecond, "secret", redacted("pw"), "err", panicking{}, "nothing", nil)
	for _, part := range []string{"WRN größer 🚢 ", `path=C:\app`, "n=7", "took=1.5s", "secret=***", `err="!PANIC: no text"`, "nothing=<nil>"} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("no %s in %s", part, b.String())
		}
	}
}

func TestEvents(t *testing.T) {
	var b bytes.Buffer
	events := new(app.Events)
	log := NewLogger(&b, LogOptions{Events: events})
	log.Debug("hidden")
	log.With("update", "u1", "unit", "a.js").WithGroup("req").With("id", 7).Error("it broke",
		"path", "/x", slog.Group("g", "deep", 1.5), "nan", math.NaN(), "err", errors.New("boom"), "list", []any{1, "x"}, "generation", 99)
	log.Info("plain", "generation", 4, "update", 12)
	got := events.Recent(10, nil)
	if len(got) != 2 {
		t.Fatalf("%d events, want 2", len(got))
	}
	text, err := json.Marshal(got[0].Data)
	if err != nil {
		t.Fatal(err)
	}
	e := got[0]
	const data = `{"req.err":"boom","req.g.deep":1.5,"req.generation":99,"req.id":7,"req.list":[1,"x"],"req.nan":"NaN","req.path":"/x","unit":"a.js"}`
	if e.Type != "log" || e.Level != "error" || e.Message != "it broke" || e.Update != "u1" || e.Generation != 0 || string(text) != data {
		t.Errorf("event %+v with data %s, want %s", e, text, data)
	}
	if e := got[1]; e.Generation != 4 || e.Update != "" || e.Data.(map[string]any)["update"] != int64(12) {
		t.Errorf("event %+v", e)
	}
	if strings.Count(b.String(), "\n") != 2 {
		t.Errorf("written: %s", b.String())
	}
}

func TestEventsAreBounded(t *testing.T) {
	events := new(app.Events)
	log := NewLogger(new(bytes.Buffer), LogOptions{Events: events})
	var attrs []slog.Attr
	for i := range 300 {
		attrs = append(attrs, slog.String(strings.Repeat("k", i+1), strings.Repeat("ü", 10_000)))
	}
	attrs = append(attrs, slog.Any("map", map[string]any{"p": panicking{}}), slog.Any("fn", func() {}))
	log.LogAttrs(context.Background(), slog.LevelInfo, strings.Repeat("x", 1<<20), attrs...)
	text, err := json.Marshal(events.Recent(1, nil)[0])
	if err != nil || len(text) > 70*(maxEventText+100) {
		t.Errorf("an event of %d bytes, %v", len(text), err)
	}
}

func TestParse(t *testing.T) {
	for name, want := range map[string]Format{"": FormatAuto, "auto": FormatAuto, "text": FormatText, "json": FormatJSON} {
		if got, err := ParseFormat(name); got != want || err != nil {
			t.Errorf("ParseFormat(%q) = %q, %v", name, got, err)
		}
	}
	for name, want := range map[string]slog.Level{"": slog.LevelInfo, "debug": slog.LevelDebug, "WARN": slog.LevelWarn} {
		if got, err := ParseLevel(name); got != want || err != nil {
			t.Errorf("ParseLevel(%q) = %v, %v", name, got, err)
		}
	}
	if _, err := ParseFormat("xml"); err == nil {
		t.Error("ParseFormat(xml) is fine")
	}
	if _, err := ParseLevel("loud"); err == nil {
		t.Error("ParseLevel(loud) is fine")
	}
}

func FuzzEscape(f *testing.F) {
	for _, s := range hostile {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var b bytes.Buffer
		NewLogger(&b, LogOptions{Format: FormatText, Color: no}).Info(s, s, s, "k", s)
		line := strings.TrimSuffix(b.String(), "\n")
		if strings.ContainsFunc(line, unprintable) {
			t.Errorf("%q came through: %q", s, line)
		}
	})
}

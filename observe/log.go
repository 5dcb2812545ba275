package observe

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"github.com/theseus-run/theseus/app"
)

// Format is how log lines are written.
type Format string

// The formats.
const (
	FormatAuto Format = "auto" // text on a terminal, JSON otherwise
	FormatText Format = "text"
	FormatJSON Format = "json"
)

// ParseFormat returns the format of that name; empty means auto.
func ParseFormat(name string) (Format, error) {
	switch f := Format(name); f {
	case "":
		return FormatAuto, nil
	case FormatAuto, FormatText, FormatJSON:
		return f, nil
	}
	return "", fmt.Errorf("log format %q is not known: use auto, text or json", name)
}

// ParseLevel returns the level of that name: debug, info, warn or error; empty
// means info.
func ParseLevel(name string) (slog.Level, error) {
	var level slog.Level
	if name == "" {
		return level, nil
	}
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return 0, fmt.Errorf("log level %q is not known: use debug, info, warn or error", name)
	}
	return level, nil
}

// LogOptions configures NewLogger. The zero value is ready to use.
type LogOptions struct {
	Format Format       // empty means auto
	Level  slog.Leveler // lines below it are dropped; nil means info. A *slog.LevelVar can change.
	Events *app.Events  // every line that is written is published here too; may be nil
	Color  func() bool  // whether text may be colored; nil decides by terminal and environment
}

// NewLogger returns a logger that writes one line per record to w. Text lines
// hold no control characters, whatever is logged. A format that is not known
// counts as auto.
func NewLogger(w io.Writer, opt LogOptions) *slog.Logger {
	if opt.Level == nil {
		opt.Level = slog.LevelInfo
	}
	var h slog.Handler
	if opt.Format == FormatText || opt.Format != FormatJSON && isTerminal(w) {
		color := isTerminal(w) && wantsColor()
		if opt.Color != nil {
			color = opt.Color()
		}
		h = &escaper{tint.NewTextHandler(w, &tint.Options{Level: opt.Level, TimeFormat: time.TimeOnly + ".000", NoColor: !color})}
	} else {
		h = slog.NewJSONHandler(w, &slog.HandlerOptions{Level: opt.Level})
	}
	if opt.Events != nil {
		h = &tee{next: h, events: opt.Events}
	}
	return slog.New(h)
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// wantsColor follows NO_COLOR (no-color.org), TERM, and on Windows the
// variable by which terminals that know escape sequences tell so.
func wantsColor() bool {
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	return runtime.GOOS != "windows" || os.Getenv("WT_SESSION") != "" || os.Getenv("TERM") != ""
}

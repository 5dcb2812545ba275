package stream

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Event is one event of a stream (WHATWG HTML, section 9.2.5).
type Event struct {
	// ID becomes the client's last event ID, which it sends back as
	// Last-Event-ID when it connects again. Empty leaves it as it is. No line
	// ends and no NUL.
	ID string

	// Name is the event's type; empty means "message". No line ends.
	Name string

	// Data is UTF-8 text. Line ends of any kind arrive as a line feed. An event
	// with an ID or a Retry but neither Data nor Name only sets these; any
	// other arrives even if its Data is empty.
	Data string

	// Retry is how long the client waits before it connects again, rounded up
	// to milliseconds. Zero leaves it as it is.
	Retry time.Duration
}

// lineEnds makes all line ends of the format equal.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// check refuses what the format can't carry.
func (ev Event) check() error {
	switch {
	case strings.ContainsAny(ev.ID, "\r\n\x00"):
		return fmt.Errorf("event id %q %w: it contains a line end or NUL", ev.ID, ErrInvalid)
	case strings.ContainsAny(ev.Name, "\r\n"):
		return fmt.Errorf("event name %q %w: it contains a line end", ev.Name, ErrInvalid)
	case ev.Retry < 0:
		return fmt.Errorf("event retry %v %w: it is negative", ev.Retry, ErrInvalid)
	case !utf8.ValidString(ev.Data) || !utf8.ValidString(ev.ID) || !utf8.ValidString(ev.Name):
		return fmt.Errorf("event %w: it is not UTF-8, encode binary data as text", ErrInvalid)
	}
	return nil
}

// encode returns the event's lines with the empty one that ends it.
func (ev Event) encode() ([]byte, error) {
	if err := ev.check(); err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(ev.ID)+len(ev.Name)+len(ev.Data)+48)
	if ev.ID != "" {
		out = appendField(out, "id", ev.ID)
	}
	if ev.Name != "" {
		out = appendField(out, "event", ev.Name)
	}
	if ev.Retry > 0 {
		ms := (ev.Retry-1)/time.Millisecond + 1
		out = appendField(out, "retry", strconv.FormatInt(int64(ms), 10))
	}
	if ev.Data != "" || ev.Name != "" || (ev.ID == "" && ev.Retry == 0) {
		for line := range strings.SplitSeq(lineEnds.Replace(ev.Data), "\n") {
			out = appendField(out, "data", line)
		}
	}
	return append(out, '\n'), nil
}

func appendField(out []byte, name, value string) []byte {
	out = append(out, name...)
	out = append(out, ": "...)
	out = append(out, value...)
	return append(out, '\n')
}

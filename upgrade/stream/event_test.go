package stream

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestEventEncode(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		ev   Event
		want string
	}{
		{"empty", Event{}, "data: \n\n"},
		{"data", Event{Data: "x"}, "data: x\n\n"},
		{"all", Event{ID: "1", Name: "n", Data: "d", Retry: time.Second}, "id: 1\nevent: n\nretry: 1000\ndata: d\n\n"},
		{"lines", Event{Data: "a\nb\r\nc\rd"}, "data: a\ndata: b\ndata: c\ndata: d\n\n"},
		{"last line empty", Event{Data: "a\n"}, "data: a\ndata: \n\n"},
		{"only line ends", Event{Data: "\r\n\r"}, "data: \ndata: \ndata: \n\n"},
		{"leading space and colon", Event{Data: " :x"}, "data:  :x\n\n"},
		{"id only", Event{ID: "7"}, "id: 7\n\n"},
		{"retry only, rounded up", Event{Retry: time.Microsecond}, "retry: 1\n\n"},
		{"name only", Event{Name: "ping"}, "event: ping\ndata: \n\n"},
	} {
		if got, err := c.ev.encode(); err != nil || string(got) != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
	for _, ev := range []Event{{ID: "a\nb"}, {ID: "a\rb"}, {ID: "a\x00"}, {Name: "a\n"}, {Retry: -1}, {Data: "\xff"}, {ID: "\xff"}, {Name: "\xff"}} {
		if got, err := ev.encode(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %q, %v; want ErrInvalid", ev, got, err)
		}
	}
}

// interpret reads one event as WHATWG HTML, section 9.2.6, says.
func interpret(s string) (ev Event, dispatched bool) {
	var data strings.Builder
	for line := range strings.SplitSeq(lineEnds.Replace(s), "\n") {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			ev.ID = value
		case "event":
			ev.Name = value
		case "data":
			data.WriteString(value + "\n")
		}
	}
	ev.Data = strings.TrimSuffix(data.String(), "\n")
	return ev, data.Len() > 0
}

func FuzzEvent(f *testing.F) {
	f.Add("1", "name", "a\r\nb")
	f.Add("", "", "\n\n")
	f.Add("", "", "id: 3\n\nevent: x")
	f.Fuzz(func(t *testing.T, id, name, data string) {
		out, err := Event{ID: id, Name: name, Data: data}.encode()
		if err != nil {
			return
		}
		text := string(out)
		if !utf8.ValidString(text) || strings.Index(text, "\n\n") != len(text)-2 || strings.Contains(text, "\r") {
			t.Fatalf("%q is not exactly one event", text)
		}
		got, dispatched := interpret(text)
		want := Event{ID: id, Name: name, Data: lineEnds.Replace(data)}
		if got != want || dispatched == (id != "" && name == "" && data == "") {
			t.Errorf("%q is read as %+v, want %+v", text, got, want)
		}
	})
}

package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	var out strings.Builder
	tb := &table{head: []string{"a", "b"}}
	tb.print(&out, "empty")
	tb.add("x|y", "1\n2")
	tb.add("only one")
	tb.print(&out, "T")
	want := "\n## T\n\n| a | b |\n| --- | --- |\n| x\\|y | 1 2 |\n| only one |  |\n"
	if out.String() != want {
		t.Errorf("printed %q, want %q", out.String(), want)
	}
}

func TestCounts(t *testing.T) {
	for want, got := range map[string]string{
		"0":                           counts[Kind](0, nil),
		"6 (reset 4, eof 1, short 1)": counts(6, map[Kind]int{EOF: 1, Short: 1, Reset: 4}),
		"0 of 3, 2 (ended 2) of 4, 0 of 0": streamCells(map[string]StreamCount{
			finite: {Opened: 3}, endless: {Opened: 4, Broken: 2, Kinds: map[Kind]int{Ended: 2}}}),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for want, got := range map[string]string{"0.1": number(.12), "99.9": number(99.94), "1234": number(1234.4), "-3.0": number(-3)} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// good is a report of ours that meets every bar, beside a peer that meets none.
func good() *Report {
	r := newReport(true)
	r.Load = []LoadRow{
		{Peer: "ours", Upgrades: 2, Taken: 2, Steady: Latency{P999: 10}, Window: Latency{P999: 15},
			Serving: Durations{2, 13, 14}, Bare: Durations{2, 10, 10}, Streams: map[string]StreamCount{endless: {Opened: 4}}},
		{Peer: "tableflip", Upgrades: 2, Failed: 9, Kinds: map[Kind]int{EOFKept: 9}, Notes: []string{"said so"}},
	}
	r.Broken = []BrokenRow{
		{Peer: "ours", Mode: "errors", Outcome: oldServes, Failed: 3, Answered: 3, Next: true},
		{Peer: "tableflip", Mode: "errors", Outcome: down, Failed: 3},
	}
	r.Idle = []IdleRow{{Peer: "ours", Conns: 5, Moved: 5, Moving: 50}, {Peer: "tableflip", Conns: 5, Closed: 5}}
	r.Soak = []SoakRow{{Peer: "ours", Upgrades: 2, Taken: 2, Readings: []Reading{{10, 20, 9, 1}, {11, 28, 17, 1}}}}
	return r
}

func TestBars(t *testing.T) {
	r := good()
	if r.judge(); len(r.Missed) > 0 {
		t.Errorf("bars that are met exactly count as missed: %q", r.Missed)
	}
	for name, spoil := range map[string]func(*Report){
		"an upgrade that did not take": func(r *Report) { r.Load[0].Taken = 1 },
		"a failed request":             func(r *Report) { r.Load[0].Failed = 1 },
		"a broken stream":              func(r *Report) { r.Load[0].Streams[socket] = StreamCount{Broken: 1} },
		"latency":                      func(r *Report) { r.Load[0].Window.P999 = 15.1 },
		"a slow start":                 func(r *Report) { r.Load[0].Serving.Median = 13.1 },
		"an unanswered request":        func(r *Report) { r.Broken[0].Failed = 4 },
		"down":                         func(r *Report) { r.Broken[0].Outcome = down },
		"no next upgrade":              func(r *Report) { r.Broken[0].Next = false },
		"an idle close":                func(r *Report) { r.Idle[0].Moved = 4 },
		"slow moves":                   func(r *Report) { r.Idle[0].Moving = 51 },
		"memory that grows":            func(r *Report) { r.Soak[0].Readings[1].RSS = 11.2 },
		"descriptors that grow":        func(r *Report) { r.Soak[0].Readings[1].FDs = 29 },
		"threads that grow":            func(r *Report) { r.Soak[0].Readings[1].Threads = 18 },
		"processes that stay":          func(r *Report) { r.Soak[0].Readings[1].Processes = 2 },
		"a failed request in the soak": func(r *Report) { r.Soak[0].Failed = 1 },
	} {
		r := good()
		spoil(r)
		if r.judge(); len(r.Missed) != 1 {
			t.Errorf("%s: missed = %q, want one", name, r.Missed)
		}
	}
}

// Every row of a table has a cell below each head, and the JSON has all of it.
func TestReport(t *testing.T) {
	r := good()
	r.Errors = []string{"ours, soak: no time"}
	r.Missed = []string{"a bar"}
	for _, tb := range []*table{loadTable(r.Load), brokenTable(r.Broken), idleTable(r.Idle), soakTable(r.Soak)} {
		for _, row := range tb.rows {
			if len(row) != len(tb.head) {
				t.Errorf("row %q below head %q", row, tb.head)
			}
		}
	}
	var out strings.Builder
	r.print(&out)
	for _, want := range []string{"| ours | 2 of 2 |", "| tableflip | 0 of 2 | 0 | 9 (eof-kept 9) |", "- said so", "**down**", "**fails**",
		"## Idle kept connections", "## Soak", "- ours, soak: no time", "BARS MISSED:\n\n- a bar"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(text, &back); err != nil || back.Load[1].Kinds[EOFKept] != 9 || back.Soak[0].Readings[1].FDs != 28 {
		t.Errorf("JSON there and back: %v, %+v", err, back)
	}
}

func TestSelected(t *testing.T) {
	for name, c := range map[string]config{
		"peer":     {peers: "ours,nobody", only: "load", rate: 1},
		"section":  {peers: "ours", only: "lload", rate: 1},
		"upgrades": {peers: "ours", only: "load", rate: 1, upgrades: -1},
		"rate":     {peers: "ours", only: "load"},
	} {
		if _, _, err := c.selected(); err == nil {
			t.Errorf("%s: a wrong flag is accepted", name)
		}
	}
	c := config{peers: "tableflip,ours", only: "idle,load", rate: 1}
	list, sections, err := c.selected()
	if err != nil || len(list) != 2 || list[0].Name != "tableflip" || !slices.Equal(sections, []string{"idle", "load"}) {
		t.Errorf("selected = %v, %v, %v", list, sections, err)
	}
}

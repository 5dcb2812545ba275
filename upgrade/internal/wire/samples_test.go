package wire

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

const digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// samples has messages of every kind, fields set and not.
func samples() []Message {
	release := Release{Digest: digest, Version: "1.4.0", Path: "/srv/app"}
	since := time.Date(2026, 2, 3, 4, 5, 6, 789, time.UTC)
	return []Message{
		Hello{},
		Hello{Min: 1, Max: 3, PID: 4711, Release: release, Rejected: []string{digest}, Generation: 7, Limits: Limits{State: 1 << 30}, Force: true},
		Sockets{},
		Sockets{Sockets: []Socket{
			{Name: "http", Network: "tcp", Address: "[::]:8080", Requested: ":8080"},
			{Name: "admin <&>", Network: "unix", Address: "@abstract\x00é", Unlink: "/run/\u2028"},
		}},
		State{Name: "sessions", Version: 2, Size: -1},
		StateData{Data: []byte{}},
		StateData{Data: bytes.Repeat([]byte{0, 0xff, '{'}, 1000)},
		StateEnd{Name: "sessions", SHA256: digest, Size: 1 << 40},
		Prepared{},
		Ready{}, Ready{Sockets: []string{"http", "admin <&>"}},
		Serve{},
		Serve{Singletons: map[string][]byte{"scheduler": {0, 1, 0xff}, "lease": []byte("x")}},
		Serving{}, Commit{},
		Abort{Reason: "not ready after 30s"},
		Connection{ID: 1<<64 - 1, Kind: "websocket", Listener: "http", State: []byte{0, 0xff}, Unread: []byte("GET / HTTP/1.1\r\n")},
		Taken{ID: 5, OK: true},
		Taken{ID: 6, Reason: "no such kind"},
		Beat{Seq: 9, Healthy: true, Requests: 1<<64 - 1, Errors: 3, Inflight: 12},
		Beat{Seq: 10, Reason: "database"},
		Draining{},
		Draining{Processes: []Process{
			{PID: 12, Generation: 3, Release: release, Since: since, Deadline: since.Add(time.Hour), Connections: map[string]int{"": 3, "websocket": 4}, Inflight: 2},
			{PID: 13, Since: since},
		}},
		Start{}, Start{Path: "/srv/app.new", Args: []string{"-v"}, Env: []string{"A=b"}},
		Started{PID: 7}, Started{Reason: "no such file"}, Exited{PID: 7, Status: "signal: killed"},
		Served{}, Served{Generation: 3, Release: Release{Digest: "00ff"}}, Stop{},
		Request{}, Request{ID: 4, Path: "/srv/app.new", Force: true},
		Verdict{OK: true}, Verdict{ID: 4, Reason: "rolled back"},
		Probe{}, Alive{},
	}
}

func TestSamplesCoverEveryKind(t *testing.T) {
	seen := map[kind]bool{}
	for _, m := range samples() {
		seen[m.kind()] = true
	}
	for k := kind(1); int(k) < len(kinds); k++ {
		if !seen[k] {
			t.Errorf("no sample of %v", k)
		}
	}
	if len(seen) != 24 {
		t.Errorf("%d kinds, want 24: %v", len(seen), slices.Sorted(maps.Keys(seen)))
	}
}

// described is how many descriptors m must have, or -1 for any number.
func described(m Message) int {
	if c, ok := m.(interface{ files() int }); ok {
		return c.files()
	}
	return -1
}

func TestName(t *testing.T) {
	for _, test := range []struct {
		m    Message
		want string
	}{{nil, ""}, {Hello{}, "hello"}, {&StateEnd{}, "state end"}, {Verdict{}, "verdict"}} {
		if got := Name(test.m); got != test.want {
			t.Errorf("Name(%T) = %q, want %q", test.m, got, test.want)
		}
	}
	if got := kind(200).String(); !strings.Contains(got, "200") {
		t.Errorf("unknown kind prints as %q", got)
	}
}

package supervisor

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// sample is a state with everything in it.
func sample() *saved {
	age := int64(time.Second)
	return &saved{
		PID: 7, Frozen: 1, Image: handle{3, 1, 1}, Pin: &handle{4, 1, 2}, Path: "/bin/service", Args: []string{"-v"}, Earlier: &savedProgram{handle{10, 1, 8}, "/bin/older", nil}, Serving: 2, Started: 2,
		Workers: []savedWorker{
			{Number: 1, PID: 8, State: StateDraining, Path: "/bin/service", Beats: handle{5, 1, 3}},
			{Number: 2, PID: 9, State: StateServing, Path: "/bin/service", Link: &handle{6, 1, 4}, Beats: handle{7, 1, 5}, Greeted: true, Release: wire.Release{Path: "/bin/service"}},
		},
		Snapshot: &savedSnapshot{
			Sockets: []savedSocket{{Socket: wire.Socket{Name: "web", Network: "tcp", Address: "[::]:80", Requested: "tcp|:80"}, handle: handle{8, 1, 6}, Listening: true}},
			States:  []heldState{{Name: "a", Size: 3}, {Name: "b", Offset: 3, Size: 0}},
			Blob:    &handle{9, 1, 7},
		},
		Generation: 3, Pause: 5, Degraded: &age, Stored: map[string]uint64{"theseus|web": 6},
	}
}

func TestDecodeRoundTrip(t *testing.T) {
	t.Parallel()
	want := sample()
	text, err := want.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(text)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*saved){
		"format":                   func(v *saved) { v.Format = "other" },
		"older version":            func(v *saved) { v.Version = 0 },
		"newer version":            func(v *saved) { v.Version = savedVersion + 1 },
		"standard descriptor":      func(v *saved) { v.Image.FD = 2 },
		"negative descriptor":      func(v *saved) { v.Workers[0].Beats.FD = -1 },
		"descriptor twice":         func(v *saved) { v.Workers[0].Beats.FD = 3 },
		"no program":               func(v *saved) { v.Path = "" },
		"no earlier program":       func(v *saved) { v.Earlier.Path = "" },
		"no process":               func(v *saved) { v.PID = 0 },
		"no worker":                func(v *saved) { v.Workers = nil },
		"nobody serves":            func(v *saved) { v.Serving = 1 },
		"two serve":                func(v *saved) { v.Workers[0].State = StateServing },
		"worker twice":             func(v *saved) { v.Workers[0].Number = 2 },
		"process twice":            func(v *saved) { v.Workers[0].PID = 9 },
		"process 1":                func(v *saved) { v.Workers[0].PID = 1 },
		"worker that is too young": func(v *saved) { v.Started = 1 },
		"states overlap":           func(v *saved) { v.Snapshot.States[1].Offset = 2 },
		"states with a gap":        func(v *saved) { v.Snapshot.States[1].Offset = 4 },
		"state twice":              func(v *saved) { v.Snapshot.States[1].Name = "a" },
		"negative size":            func(v *saved) { v.Snapshot.States[0].Size = -1 },
		"too large":                func(v *saved) { v.Snapshot.States[1].Size = stateLimit },
		"states without bytes":     func(v *saved) { v.Snapshot.Blob = nil },
	} {
		v := sample()
		v.Format, v.Version = savedFormat, savedVersion
		change(v)
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode(text); !errors.Is(err, errSaved) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"", "null", "[]", "{", `{"format":1}`, strings.Repeat(" ", savedLimit+1)} {
		if _, err := decode([]byte(text)); !errors.Is(err, errSaved) {
			t.Errorf("decode(%.20q) = %v", text, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	text, err := sample().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:len(text)/2])
	f.Add([]byte("{}"))
	f.Add([]byte(`{"format":"theseus supervisor","version":1,"workers":[{}],"snapshot":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := decode(text)
		if err != nil {
			if !errors.Is(err, errSaved) {
				t.Errorf("decode: %v", err)
			}
			return
		}
		again, err := v.encode()
		if err != nil {
			t.Fatal(err)
		}
		w, err := decode(again)
		if err != nil {
			t.Fatalf("what was encoded is refused: %v", err)
		}
		if more, err := w.encode(); err != nil || !bytes.Equal(more, again) {
			t.Errorf("%s, then %s, %v", again, more, err)
		}
	})
}

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A fault is one way in which a release can be bad.
type fault struct {
	kind  string // those of one kind differ in details only
	mode  string // of the variable main.broken, or what is done to the file
	means string
	want  string // a part of the verdict

	// dies says that the process may end, or be ended, while it serves: the
	// connections that it has then are its own to lose.
	dies bool
	// patience is how long the old process must watch to see it; 0 for as long as it
	// takes the others.
	patience time.Duration
	// file makes the program of a good one, where it is not built in a mode.
	file func(good []byte) ([]byte, os.FileMode)
}

// The faults.
var faults = []fault{
	{kind: "file", mode: "plain", means: "not executable", want: "not executable",
		file: func(good []byte) ([]byte, os.FileMode) { return good, 0o644 }},
	{kind: "architecture", mode: "foreign", means: "built for another machine", want: "s390x",
		file: func([]byte) ([]byte, os.FileMode) { return foreignProgram(), 0o755 }},
	{kind: "truncated", mode: "cut", means: "half of the file", want: "cut off",
		file: func(good []byte) ([]byte, os.FileMode) { return good[:len(good)/2], 0o755 }},
	{kind: "exits", mode: "exit0", means: "exits 0 at once", want: "exit status 0"},
	{kind: "exits", mode: "exit1", means: "exits 1 at once", want: "exit status 1"},
	{kind: "panics", mode: "panic100ms", means: "panics 0.1 s after ready", want: "exit status 2", dies: true},
	{kind: "panics", mode: "panic1s", means: "panics 1 s after ready", want: "exit status 2", dies: true},
	{kind: "panics", mode: "panic5s", means: "panics 5 s after ready", want: "exit status 2", dies: true, patience: 8 * time.Second},
	{kind: "never ready", mode: "hang", means: "hangs before anything", want: "not ready within"},
	{kind: "never ready", mode: "never", means: "initialises, never ready", want: "not ready within"},
	{kind: "answers 5xx", mode: "errors", means: "ready, then answers 500", want: "answers were errors"},
	{kind: "hangs", mode: "hangs", means: "ready, answers nothing", want: "requests was answered", dies: true},
	{kind: "hangs", mode: "stops", means: "ready, then stands still", want: "no heartbeat", dies: true},
	{kind: "wrong version", mode: "future", means: "speaks protocol 99 only", want: "protocol"},
	{kind: "drops a listener", mode: "drops", means: "does not take one listener", want: "listener"},
	{kind: "port clash", mode: "clash", means: "binds the port anew", want: "address already in use"},
	{kind: "cannot read state", mode: "state", means: "cannot read the state", want: `state "chain"`},
	{kind: "schema too new", mode: "schema", means: "the state is too new for it", want: "reads up to 1"},
	{kind: "fork bomb", mode: "forks", means: "starts 50 processes, exits 1", want: "exit status 1"},
	{kind: "fork bomb", mode: "forkslate", means: "starts 50 processes when it serves, exits 1", want: "exit status 1", dies: true},
	{kind: "closes descriptors", mode: "closes", means: "closes what it inherits", want: "exit status"},
	{kind: "closes descriptors", mode: "closeslate", means: "the same 0.1 s after ready", want: "", dies: true},
	{kind: "ignores SIGTERM", mode: "deaf", means: "unwell, hears no signal, does not go", want: "not well", dies: true},
}

// program makes the bad program.
func (f *fault) program(ctx context.Context, b *Builder, good string) (string, error) {
	if f.file == nil {
		return b.build(ctx, &subjectPeer, "v9", f.mode)
	}
	text, err := os.ReadFile(good)
	if err != nil {
		return "", err
	}
	path := filepath.Join(b.out, "subject-"+f.mode)
	text, mode := f.file(text)
	if err := os.WriteFile(path, text, mode); err != nil {
		return "", err
	}
	return path, os.Chmod(path, mode)
}

// foreignProgram is a whole and valid program of Linux on s390x, that exits 0: an ELF
// header, a program header and three instructions (elf(5)).
func foreignProgram() []byte {
	const base, head = 0x1000000, 64 + 56
	code := []byte{0xa7, 0x29, 0, 0, 0x0a, 1, 0x07, 0xfe} // lghi %r2,0; svc 1 (exit); br %r14
	var b bytes.Buffer
	b.Write([]byte{0x7f, 'E', 'L', 'F', 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}) // 64 bit, big-endian
	for _, v := range []any{
		uint16(2), uint16(22), uint32(1), // executable, EM_S390
		uint64(base + head), uint64(64), uint64(0), // entry, program headers, section headers
		uint32(0), uint16(64), uint16(56), uint16(1), uint16(64), uint16(0), uint16(0),
		uint32(1), uint32(5), uint64(0), uint64(base), uint64(base), // PT_LOAD, read and execute
		uint64(head + len(code)), uint64(head + len(code)), uint64(0x1000),
	} {
		_ = binary.Write(&b, binary.BigEndian, v) // a bytes.Buffer takes everything
	}
	b.Write(code)
	return b.Bytes()
}

// The moments at which a bad release comes.
const (
	whenQuiet    = "quiet"    // nothing but ten looks a second
	whenBusy     = "load"     // 13 clients
	whenDraining = "draining" // an earlier process still has a request
)

var moments = []string{whenQuiet, whenBusy, whenDraining}

// A FaultRow is what one bad release did at one moment.
type FaultRow struct {
	Kind    string  `json:"kind"`
	Mode    string  `json:"mode"`
	Means   string  `json:"means"`
	Moment  string  `json:"moment"`
	Verdict string  `json:"verdict"`
	After   float64 `json:"verdict_ms"`

	Requests int `json:"requests"`
	Answered int `json:"answered_by_it"` // failures that the bad release answered for itself
	Held     int `json:"held_by_it"`     // on connections that it had when it ended
	Unknown  int `json:"held_by_nobody"` // on connections that no process has noted: it died before it could, or they were lost
	Lost     int `json:"lost"`           // all others

	Left   int      `json:"left"` // processes that it left behind
	NextMS float64  `json:"next_good_upgrade_ms"`
	Wrong  []string `json:"wrong,omitempty"`
}

func (r *FaultRow) wrong(format string, args ...any) {
	r.Wrong = append(r.Wrong, fmt.Sprintf(format, args...))
}

// name is how a row is called in a verdict, and by -case.
func (r *FaultRow) name() string { return r.Mode + "/" + r.Moment }

package evalunit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/theseus-run/theseus/sandbox"
	"github.com/theseus-run/theseus/script"
)

// Options say what to evaluate. File and Self are required.
type Options struct {
	File  string // path of the unit in the file system
	Input []byte // JSON, the argument of the call; empty means {}
	Func  string // the export to call; empty means the default export

	Timeout time.Duration // of compiling and running; zero means script.DefaultLimits
	Memory  int64         // bytes; zero means script.DefaultLimits
	Depth   int           // nested calls; zero means script.DefaultLimits
	Output  int64         // bytes; zero means script.DefaultLimits

	Self      string   // path of the executable whose command ChildArgs runs Child
	ChildArgs []string // the hidden command
	ChildEnv  []string // added to the child's otherwise empty environment

	Log io.Writer // gets the unit's log; nil discards it
}

// Bounds of the parent's own work.
const (
	maxSource = 8 << 20  // bytes of FILE; engines have smaller limits of their own
	maxInput  = 64 << 20 // bytes of Input
	// killAfter is how long after the time limit the child is killed: it ends
	// itself when the engine can.
	killAfter = 450 * time.Millisecond
	// ownData is what the child needs besides the unit's memory.
	ownData   = 320<<20 + instrumented
	rootDepth = 16 // directories to climb in search of theseus.yaml
)

// A task is what the parent sends to the child, as JSON.
type task struct {
	Root   string          `json:"root"`
	Name   string          `json:"name"`
	Func   string          `json:"func"`
	Input  json.RawMessage `json:"input"`
	Limits script.Limits   `json:"limits"`
}

// Main evaluates and reports. It always returns a report; no process is left
// when it returns.
func Main(ctx context.Context, o Options) Report {
	start := time.Now()
	return run(ctx, o).took(start)
}

func run(ctx context.Context, o Options) Report {
	limits := script.Limits{Time: o.Timeout, Memory: o.Memory, Depth: o.Depth, Output: o.Output}.WithDefaults()
	input := bytes.TrimSpace(o.Input)
	switch {
	case len(input) == 0:
		input = []byte("{}")
	case len(input) > maxInput:
		return refused("", fmt.Sprintf("the input has %d bytes, more than %d", len(input), maxInput), "")
	}
	if _, err := script.Parse(input); err != nil {
		return refused("", "the input is not JSON: "+strings.TrimPrefix(err.Error(), "parse JSON: "), `strings need quotes: --input '"text"'`)
	}
	root, name, report, ok := locate(o.File)
	if !ok {
		return report
	}
	stdin, err := json.Marshal(task{Root: root, Name: name, Func: o.Func, Input: input, Limits: limits})
	if err != nil {
		return failed(err)
	}
	result, err := sandbox.Run(ctx, sandbox.Spec{
		Path: o.Self, Args: o.ChildArgs, Stdin: stdin, Stderr: o.Log,
		Env:       append([]string{"GOTRACEBACK=none", "GOMAXPROCS=2"}, o.ChildEnv...),
		Time:      limits.Time + killAfter,
		MaxOutput: int(min(2*limits.Output+1<<20, 1<<30)),
		DataBytes: ownData + 2*limits.Memory,
		CPU:       2*(limits.Time+killAfter) + time.Second,
		Files:     64,
	})
	if err != nil {
		return failed(err)
	}
	r := derive(result, name, limits)
	r.NotEnforced = result.NotEnforced
	return r
}

// locate finds the tree of a file and the file's name in it.
func locate(file string) (root, name string, report Report, ok bool) {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", "", refused(file, "does not exist", ""), false
	case err != nil:
		return "", "", refused(file, "cannot be read: "+err.Error(), ""), false
	case info.IsDir():
		return "", "", refused(file, "is a directory", "eval runs one file; theseus check DIR checks an app"), false
	case !info.Mode().IsRegular():
		return "", "", refused(file, "is not a regular file", ""), false
	case info.Size() > maxSource:
		return "", "", refused(file, fmt.Sprintf("has %d bytes; a source file may have %d", info.Size(), maxSource), "move data out of the source, into the input or config/"), false
	}
	full, err := filepath.Abs(file)
	if err != nil {
		return "", "", failed(err), false
	}
	root = filepath.Dir(full)
	for dir, i := root, 0; i < rootDepth; i++ {
		if _, err := os.Stat(filepath.Join(dir, "theseus.yaml")); err == nil {
			root = dir
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			break
		}
		dir = up
	}
	rel, err := filepath.Rel(root, full)
	if err != nil {
		return "", "", failed(err), false
	}
	return root, filepath.ToSlash(rel), Report{}, true
}

// derive reads the child's report, or makes one from how the child died.
func derive(r sandbox.Result, name string, limits script.Limits) Report {
	var report Report
	if r.ExitCode == 0 && json.Unmarshal(r.Stdout, &report) == nil && report.Outcome != "" {
		return report
	}
	died := func(kind script.Kind, format string, args ...any) Report {
		return failed(&script.Error{Kind: kind, File: name, Message: fmt.Sprintf(format, args...)})
	}
	fatal := lastFatal(r.Stderr)
	switch {
	case r.TooMuch:
		return died(script.Output, "the result is larger than the limit of %d bytes", limits.Output)
	case strings.Contains(fatal, "stack overflow") || strings.Contains(fatal, "stack exceeds"):
		return died(script.Depth, "nested calls deeper than the engine's stack holds")
	case strings.Contains(fatal, "out of memory") || strings.Contains(fatal, "cannot allocate"):
		return died(script.Memory, "used more memory than the child process may have, for a limit of %d MiB", limits.Memory>>20)
	case r.TimedOut:
		return died(script.Timeout, "took longer than the time limit of %s and was killed", limits.Time)
	case r.Signaled:
		return died(script.Timeout, "was killed by the system, most likely for its processor time")
	case fatal != "":
		return died(script.Failed, "the engine's process died: %s", fatal)
	}
	return died(script.Failed, "the engine's process ended without a report, status %d", r.ExitCode)
}

// lastFatal returns the Go runtime's message about its own end. Log lines of
// the unit cannot look like one: each begins with its time.
func lastFatal(stderr []byte) string {
	var found string
	for line := range strings.Lines(string(stderr)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "fatal error: ") || strings.HasPrefix(line, "runtime: ") || strings.HasPrefix(line, "panic: ") {
			found += line + "; "
		}
	}
	return strings.TrimSuffix(found, "; ")
}

package evalunit

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/theseus-run/theseus/sandbox"
	"github.com/theseus-run/theseus/script"
)

// maxStack makes endless recursion of an engine a fatal error of its own
// instead of one of memory.
const maxStack = 192 << 20

// Child is the hidden command: it reads a task from in, evaluates it, writes
// one report to out and the unit's log to log, and returns the exit status of
// the process. The caller exits at once with it: goroutines may still run.
func Child(ctx context.Context, engines script.Set, in io.Reader, out, log io.Writer) int {
	debug.SetMaxStack(maxStack)
	var t task
	if err := json.NewDecoder(in).Decode(&t); err != nil {
		fmt.Fprintln(log, "read the task:", err)
		return 2
	}
	sandbox.Confine(sandbox.Spec{DataBytes: ownData + 2*t.Limits.Memory, Files: 64})
	text, err := json.Marshal(evaluate(ctx, engines, t, log))
	if err != nil {
		text, _ = json.Marshal(failed(fmt.Errorf("encode the result: %w", err)))
	}
	if _, err := out.Write(append(text, '\n')); err != nil {
		return 1
	}
	return 0
}

func evaluate(ctx context.Context, engines script.Set, t task, log io.Writer) Report {
	start := time.Now()
	root, err := os.OpenRoot(t.Root)
	if err != nil {
		return failed(&script.Error{Kind: script.Refused, File: t.Name, Message: "cannot open its directory: " + err.Error()})
	}
	defer root.Close()
	// The engine's own limit ends a call first; this one ends the sum.
	ctx, cancel := context.WithTimeout(ctx, t.Limits.Time+50*time.Millisecond)
	defer cancel()
	h := newHost(engines, root.FS(), t.Limits, slog.New(slog.NewTextHandler(log, nil)))
	unit, err := h.unit(ctx, t.Name)
	if err != nil {
		return failed(err).took(start)
	}
	v, err := unit.Execute(ctx, script.Call{Func: t.Func, Args: []script.Value{script.JSON(t.Input)}, Host: h.to(t.Name)})
	if err != nil {
		return failed(err).took(start)
	}
	return Report{Outcome: OK, Result: v}.took(start)
}

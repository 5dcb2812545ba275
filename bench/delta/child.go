package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/theseus-run/theseus/release/delta"
)

// cost is what a step took: seconds of wall clock and of CPU, and the peak of
// resident memory in bytes, zero where the system does not tell.
type cost struct {
	Seconds, CPU float64
	Peak         int64
}

// child makes or applies one patch in a process of its own, so that the peak
// of its memory is its own.
func child(args []string, out io.Writer) error {
	if len(args) != 4 {
		return fmt.Errorf("child: want 4 arguments, got %q", args)
	}
	do := map[string]func(ctx context.Context, a, b, c string) error{"make": makePatch, "apply": applyPatch}[args[0]]
	if do == nil {
		return fmt.Errorf("child: unknown step %q", args[0])
	}
	start := time.Now()
	if err := do(context.Background(), args[1], args[2], args[3]); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(cost{time.Since(start).Seconds(), cpu(), peak()})
}

func makePatch(ctx context.Context, base, target, patch string) error {
	b, err := os.ReadFile(base)
	if err != nil {
		return err
	}
	t, err := os.ReadFile(target)
	if err != nil {
		return err
	}
	var p bytes.Buffer
	if err := delta.Make(ctx, b, t, &p, delta.Options{}); err != nil {
		return err
	}
	return os.WriteFile(patch, p.Bytes(), 0o644)
}

func applyPatch(ctx context.Context, base, patch, out string) error {
	b, err := os.Open(base)
	if err != nil {
		return err
	}
	defer b.Close()
	p, err := os.Open(patch)
	if err != nil {
		return err
	}
	defer p.Close()
	h, err := delta.ReadHeader(p)
	if err != nil {
		return err
	}
	if _, err := p.Seek(0, io.SeekStart); err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	limits := delta.Limits{Target: h.TargetSize, Patch: h.PatchSize()}
	if err := delta.Apply(ctx, b, bufio.NewReader(p), f, limits); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

// timed runs another program.
func timed(cmd *exec.Cmd) (c cost, err error) {
	var errs bytes.Buffer
	cmd.Stderr = &errs
	start := time.Now()
	if err := cmd.Run(); err != nil {
		return c, fmt.Errorf("%w: %s", err, errs.Bytes())
	}
	s := cmd.ProcessState
	return cost{Seconds: time.Since(start).Seconds(), CPU: (s.UserTime() + s.SystemTime()).Seconds()}, nil
}

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/theseus-run/theseus/release/delta"
)

// child makes or applies one patch in a process of its own, so that its peak
// memory can be read from the kernel.
func child(args []string) error {
	ctx := context.Background()
	start := time.Now()
	switch {
	case len(args) == 4 && args[0] == "make":
		if err := makePatch(ctx, args[1], args[2], args[3]); err != nil {
			return err
		}
	case len(args) == 4 && args[0] == "apply":
		if err := applyPatch(ctx, args[1], args[2], args[3]); err != nil {
			return err
		}
	default:
		return fmt.Errorf("child: unknown arguments %q", args)
	}
	fmt.Printf("%d\n", time.Since(start).Nanoseconds())
	return nil
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
	f, err := os.Create(patch)
	if err != nil {
		return err
	}
	if err := delta.Make(ctx, b, t, f, delta.Options{}); err != nil {
		f.Close()
		return err
	}
	return f.Close()
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
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	if err := delta.Apply(ctx, b, bufio.NewReader(p), f, delta.Limits{Target: 1 << 40}); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}

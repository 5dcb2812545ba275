package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// result is what was measured of one pair. Times are in seconds, sizes and
// peaks of memory in bytes; what bsdiff says is zero where it is not installed.
type result struct {
	Name      string   `json:"name"`
	Size      int64    `json:"size"`
	Patch     int64    `json:"patch"`
	Bsdiff    int64    `json:"bsdiff"`
	Ratio     float64  `json:"ratio"` // bsdiff's patch to ours
	Make      float64  `json:"make_seconds"`
	MakeCPU   float64  `json:"make_cpu_seconds"`
	MakePeak  int64    `json:"make_peak_bytes"`
	Apply     float64  `json:"apply_seconds"`
	ApplyCPU  float64  `json:"apply_cpu_seconds"`
	ApplyPeak int64    `json:"apply_peak_bytes"`
	PeakRatio float64  `json:"apply_peak_to_size"`
	BsdiffSec float64  `json:"bsdiff_seconds"`
	BsdiffCPU float64  `json:"bsdiff_cpu_seconds"`
	Note      string   `json:"note,omitempty"`
	Missed    []string `json:"missed,omitempty"`
}

// The bars, apart from the size of the patch.
const (
	maxApply = 1.0 // seconds
	maxPeak  = 2.2 // times the size of the larger file
)

func measure(p pair, old, new string, o options) (result, error) {
	r := result{Name: p.name}
	dir, err := os.MkdirTemp("", "bench-delta-*")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	patch, out := filepath.Join(dir, "patch"), filepath.Join(dir, "out")
	a, err := os.Stat(old)
	if err != nil {
		return r, err
	}
	b, err := os.Stat(new)
	if err != nil {
		return r, err
	}
	r.Size = max(a.Size(), b.Size())
	c, err := self("make", old, new, patch)
	if err != nil {
		return r, err
	}
	r.Make, r.MakeCPU, r.MakePeak = c.Seconds, c.CPU, c.Peak
	if r.Patch, err = size(patch); err != nil {
		return r, err
	}
	for i := range max(o.runs, 1) {
		c, err := self("apply", old, patch, out)
		if err != nil {
			return r, err
		}
		if i == 0 || c.Seconds < r.Apply {
			r.Apply, r.ApplyCPU = c.Seconds, c.CPU
		}
		r.ApplyPeak = max(r.ApplyPeak, c.Peak)
	}
	r.PeakRatio = float64(r.ApplyPeak) / float64(r.Size)
	if err := same(new, out); err != nil {
		return r, err
	}
	if err := r.bsdiff(old, new, filepath.Join(dir, "bsdiff")); err != nil {
		return r, err
	}
	r.judge(p)
	return r, nil
}

func (r *result) judge(p pair) {
	miss := func(bad bool, format string, args ...any) {
		if bad {
			r.Missed = append(r.Missed, fmt.Sprintf(format, args...))
		}
	}
	if p.bar == 0 {
		return
	}
	if r.Bsdiff > 0 {
		miss(r.Patch*int64(p.bar) > r.Bsdiff, "patch of %d bytes, want at most 1/%d of %d", r.Patch, p.bar, r.Bsdiff)
		miss(r.MakeCPU > r.BsdiffCPU, "made in %.1f CPU seconds, bsdiff takes %.1f", r.MakeCPU, r.BsdiffCPU)
	}
	miss(r.Apply > maxApply, "applied in %.2f s (%.2f s of CPU), want at most %.1f", r.Apply, r.ApplyCPU, maxApply)
	miss(r.PeakRatio > maxPeak, "applied in %.2f times the size of memory, want at most %.1f", r.PeakRatio, maxPeak)
}

// self runs this program as a child and reads its report.
func self(args ...string) (c cost, err error) {
	exe, err := os.Executable()
	if err != nil {
		return c, err
	}
	cmd := exec.Command(exe, append([]string{"child"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return c, fmt.Errorf("%s: %w", args[0], err)
	}
	err = json.Unmarshal(out, &c)
	return c, err
}

// bsdiff makes bsdiff's patch for comparison, or notes that there is none.
func (r *result) bsdiff(old, new, patch string) error {
	exe, err := exec.LookPath("bsdiff")
	if err != nil {
		r.Note = "bsdiff is not installed (Debian package bsdiff): sizes and times are not compared"
		fmt.Fprintln(os.Stderr, r.Note)
		return nil
	}
	cmd := exec.Command(exe, old, new, patch)
	c, err := timed(cmd)
	if err != nil {
		return fmt.Errorf("bsdiff: %w", err)
	}
	r.BsdiffSec, r.BsdiffCPU = c.Seconds, c.CPU
	if r.Bsdiff, err = size(patch); err != nil {
		return err
	}
	r.Ratio = float64(r.Bsdiff) / float64(r.Patch)
	return nil
}

func size(file string) (int64, error) {
	fi, err := os.Stat(file)
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

func same(a, b string) error {
	x, err := os.ReadFile(a)
	if err != nil {
		return err
	}
	y, err := os.ReadFile(b)
	if err != nil {
		return err
	}
	if !bytes.Equal(x, y) {
		return errors.New("the patch gave another file")
	}
	return nil
}

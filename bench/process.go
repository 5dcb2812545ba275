package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"time"
)

// A reading is what a process holds at one moment.
type reading struct {
	rss        float64 // MB resident; 0 where the system does not tell
	heap       float64 // MB of live Go objects
	held       float64 // MB that the Go runtime has from the system
	threads    float64 // 0 where the system does not tell
	goroutines float64
	fds        float64 // open descriptors; 0 where the system does not tell
}

// read takes readings of this process for a time, each after a garbage collection
// that gives memory back to the system, and returns the least of each number. The
// least, because a burst of requests starts machines that stay for some seconds.
func read(ctx context.Context, length time.Duration) (reading, error) {
	least := reading{rss: math.Inf(1), heap: math.Inf(1), held: math.Inf(1), threads: math.Inf(1), goroutines: math.Inf(1), fds: math.Inf(1)}
	for end := time.Now().Add(length); time.Now().Before(end); {
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		for into, value := range map[*float64]float64{
			&least.rss:        residentMB("self"),
			&least.heap:       float64(m.HeapAlloc) / 1e6,
			&least.held:       float64(m.Sys-m.HeapReleased) / 1e6,
			&least.threads:    entries("/proc/self/task"),
			&least.goroutines: float64(runtime.NumGoroutine()),
			&least.fds:        entries("/proc/self/fd"),
		} {
			*into = min(*into, value)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return reading{}, ctx.Err()
		}
	}
	return least, nil
}

// residentMB returns the resident memory of a process by its id or "self". It is
// that of smaps_rollup, which counts pages: VmRSS in status is kept by processor
// and off by megabytes (proc_pid_status(5)).
func residentMB(pid string) float64 {
	text, err := os.ReadFile(filepath.Join("/proc", pid, "smaps_rollup"))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("Rss:")); ok {
			kb, _ := strconv.ParseFloat(string(bytes.Fields(rest)[0]), 64)
			return kb * 1024 / 1e6
		}
	}
	return 0
}

// entries counts what is in a folder of /proc; 0 where there is none.
func entries(dir string) float64 {
	list, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	return float64(len(list))
}

// startProfile begins a CPU profile when -profile asks for one; end ends it.
func (c config) startProfile(name string) (end func() error, err error) {
	none := func() error { return nil }
	if c.profile == "" {
		return none, nil
	}
	if err := os.MkdirAll(c.profile, 0o755); err != nil {
		return nil, err
	}
	if name == "swaps" { // its memory is measured, and the profiler's would be part of it
		return none, nil
	}
	f, err := os.Create(filepath.Join(c.profile, name+".cpu.pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

// writeProfiles writes the heap and the goroutines of this moment when -profile
// asks for it. Two heap profiles are compared with go tool pprof -base.
func (c config) writeProfiles(moment string) error {
	if c.profile == "" {
		return nil
	}
	for name, debugLevel := range map[string]int{"heap": 0, "goroutine": 1} {
		f, err := os.Create(filepath.Join(c.profile, moment+"."+name+".pprof"))
		if err != nil {
			return err
		}
		if err := errors.Join(pprof.Lookup(name).WriteTo(f, debugLevel), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// writeTree makes the files in dir.
func writeTree(dir string, files map[string]string) error {
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// tempApp copies an app into a new folder; remove deletes it.
func tempApp(files fs.FS) (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp("", "theseus-bench-")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	if err := os.CopyFS(dir, files); err != nil {
		remove()
		return "", nil, fmt.Errorf("copy the app: %w", err)
	}
	return dir, remove, nil
}

//go:build unix

package main

import (
	"context"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// newBench is a bench under small load, and our server.
func newBench(t *testing.T) (*bench, *Peer) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and upgrades real servers")
	}
	b := &bench{warm: 300 * time.Millisecond, calm: 300 * time.Millisecond,
		mix: Mix{Rate: 100, Keep: 8, Fresh: 4, Slow: 2, Finite: 2, Endless: 2, Sockets: 2, HTTP2: 1}}
	b.dir = t.TempDir()
	root, err := sourceRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b.builder = &Builder{root: root, out: b.dir}
	return b, &peers[0]
}

// Under load, three upgrades of our server lose nothing.
func TestThreeUpgrades(t *testing.T) {
	t.Parallel()
	b, p := newBench(t)
	row, err := b.load(t.Context(), p, 3)
	if err != nil {
		t.Fatal(err)
	}
	if row.Taken != 3 || row.Failed != 0 || row.Requests == 0 || row.Skipped != 0 {
		t.Errorf("%d of 3 upgrades took, %d of %d requests failed %v, %d skipped\n%q\n%q",
			row.Taken, row.Failed, row.Requests, row.Kinds, row.Skipped, row.Examples, row.Notes)
	}
	for _, kind := range []string{finite, endless, socket} {
		if s := row.Streams[kind]; s.Broken != 0 || s.Opened == 0 {
			t.Errorf("%d of %d %s streams broke %v", s.Broken, s.Opened, kind, s.Kinds)
		}
	}
	if row.Closes.Idle != 0 {
		t.Errorf("%d idle connections were closed without a word", row.Closes.Idle)
	}
	if row.Steady.Requests == 0 || row.Window.Requests == 0 || row.Serving.N != 3 || row.Bare.N != 3 {
		t.Errorf("something was not measured: %+v", row)
	}
	ended(t, b)
}

// A run that is broken off leaves no process behind.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	b, p := newBench(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := b.load(ctx, p, 1000)
		done <- err
	}()
	begun := filepath.Join(b.dir, "run-1", "pid")
	for deadline := time.Now().Add(2 * time.Minute); ; {
		if _, err := os.Stat(begun); err == nil {
			break
		}
		select {
		case err := <-done:
			t.Fatalf("the run ended by itself: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("the server does not start")
		}
	}
	cancel()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a run that is broken off says nothing")
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("the run goes on")
	}
	ended(t, b)
}

// ended checks that no program of the bench runs any more.
func ended(t *testing.T, b *bench) {
	t.Helper()
	list, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range list {
		if exe, err := os.Readlink(link); err == nil && strings.HasPrefix(exe, b.dir) {
			t.Errorf("%s still runs %s", filepath.Dir(link), exe)
		}
	}
}

// A signal goes to processes of the service only, whatever the pid file says.
func TestTriggerRefuses(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	g, err := startGroup(cmd)
	if err != nil {
		t.Fatal(err)
	}
	s := &Service{pidFile: filepath.Join(t.TempDir(), "pid"), group: g}
	for name, text := range map[string]string{
		"another process": strconv.Itoa(os.Getpid()), "a group": "-" + strconv.Itoa(g.id), "zero": "0", "init": "1", "empty": "", "garbage": "12x",
		"nobody": strconv.Itoa(math.MaxInt32),
	} {
		if err := os.WriteFile(s.pidFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.trigger(); err == nil {
			t.Errorf("%s: the pid file %q is followed", name, text)
		}
	}
	if err := g.end(); err != nil {
		t.Error(err)
	}
	if running(g.id) {
		t.Error("the process runs after the end of its group")
	}
}

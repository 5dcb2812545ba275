package store

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theseus-run/theseus/internal/disk/simdisk"
	"github.com/theseus-run/theseus/internal/tree"
)

// What follows the simulation (internal/sim) has found.

// large is content that does not go into the journal.
func large(n int) *tree.Tree {
	return tree.Of(map[string]string{"table.json": strings.Repeat(fmt.Sprint(n), inlineFile+1)})
}

// Content that was removed and comes back, beside the journal, is not removed again by
// the next process.
func TestContentThatComesBack(t *testing.T) {
	d := simdisk.New(simdisk.Ordered)
	p := d.Process()
	s := open(t, "state", Options{FS: p})
	s.Retain(1)
	for n := range 4 {
		save(t, s, large(n))
	}
	last := save(t, s, large(0))
	p.Kill()
	s = open(t, "state", Options{FS: d.Process()})
	if _, _, err := s.Load(last); err != nil {
		t.Error(err)
	}
}

// The number of a generation that is gone is not used again by the next process.
func TestNumbersAreNotUsedTwice(t *testing.T) {
	d := simdisk.New(simdisk.Ordered)
	s := open(t, "state", Options{FS: d.Process()})
	first := save(t, s, app(1))
	gone := save(t, s, app(2))
	if err := swap(s, first, app(1).Digest()); err != nil {
		t.Fatal(err)
	}
	s.Retain(1)
	for n := range 3 {
		if err := swap(s, first, app(1).Digest()); err != nil {
			t.Fatal(n, err)
		}
	}
	next := s.Next()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s = open(t, "state", Options{FS: d.Process()}); s.Next() < next || s.Next() <= gone {
		t.Errorf("the next number is %d, and was %d", s.Next(), next)
	}
}

// A generation that Repair dropped does not come back with the journal.
func TestRepairLasts(t *testing.T) {
	d := simdisk.New(simdisk.Ordered)
	s := open(t, "state", Options{FS: d.Process()})
	damaged := save(t, s, large(1))
	for n := 2; n < 5; n++ {
		save(t, s, app(n))
	}
	r, err := s.Record(damaged)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Flip(objectName(r.Files[0].Digest), 5); err != nil {
		t.Fatal(err)
	}
	if err := s.Repair(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, "state", Options{FS: d.Process()})
	if h := s.Check(true); !h.OK {
		t.Errorf("%+v", h.Findings)
	}
}

// What Check finds damaged is written anew with the next generation that has it.
func TestCheckedContentIsWrittenAnew(t *testing.T) {
	d := simdisk.New(simdisk.Ordered)
	s := open(t, "state", Options{FS: d.Process()})
	n := save(t, s, app(1))
	r, err := s.Record(n)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Flip(objectName(r.Files[0].Digest), 5); err != nil {
		t.Fatal(err)
	}
	if s.Check(true).OK {
		t.Fatal("the damage is not found")
	}
	save(t, s, app(1))
	if h := s.Check(true); !h.OK {
		t.Errorf("%+v", h.Findings)
	}
}

// A line of a log that lacks its end only is torn, and does not come back.
func TestLineWithoutItsEnd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), ".theseus")
	s := open(t, dir, Options{})
	for n := range 2 {
		if err := s.Append("runs", n); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	if err := os.Truncate(filepath.Join(dir, "log/runs.ndjson"), 3); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, Options{})
	before := fmt.Sprint(tail(t, s, 9))
	if err := s.Append("runs", 2); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(tail(t, s, 9)); before != "[0]" || got != "[0 2]" {
		t.Errorf("Tail = %s, then %s", before, got)
	}
}

// Lines that a killed process has left are made durable with the journal that has them.
func TestLogsOfAKilledProcess(t *testing.T) {
	d := simdisk.New(simdisk.Ordered)
	p := d.Process()
	s := open(t, "state", Options{FS: p})
	if err := s.Append("updates", "a"); err != nil {
		t.Fatal(err)
	}
	p.Kill()
	s = open(t, "state", Options{FS: d.Process()})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, "state", Options{FS: d.Crash(0).Process()})
	if got := fmt.Sprint(tail(t, s, 9)); got != "[]" {
		t.Errorf("runs: %s", got)
	}
	var lines int
	if err := s.Tail("updates", 0, func(json.RawMessage) error { lines++; return nil }); err != nil || lines != 1 {
		t.Errorf("%d lines (%v)", lines, err)
	}
}

// A line behind a hole that the disk has left is read.
func TestLineBehindAHole(t *testing.T) {
	got := parseLines([]byte("1\n{\"torn\x00\x00\x00{\"b\":2}\n\x00\x00\n3\n"), true)
	if text := fmt.Sprintf("%s", got); text != `[1 {"b":2} 3]` {
		t.Errorf("lines %s", text)
	}
}

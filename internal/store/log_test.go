package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/theseus-run/theseus/internal/disk"
	"github.com/theseus-run/theseus/internal/disk/simdisk"
)

func tail(t testing.TB, s *Store, n int) []string {
	t.Helper()
	var out []string
	err := s.Tail("runs", n, func(m json.RawMessage) error { out = append(out, string(m)); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAppendAndTail(t *testing.T) {
	dir := filepath.Join(t.TempDir(), ".theseus")
	s := open(t, dir, Options{})
	if got := tail(t, s, 5); len(got) != 0 {
		t.Errorf("a log that does not exist has %v", got)
	}
	for i := range 10_000 {
		if err := s.Append("runs", i); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(tail(t, s, 3)); got != "[9997 9998 9999]" {
		t.Errorf("Tail(3) = %v, want the last three, oldest first", got)
	}
	if got := tail(t, s, 0); len(got) != 10_000 || got[0] != "0" {
		t.Errorf("Tail(0) gives %d entries, want all 10000", len(got))
	}
	stop := errors.New("stop")
	if err := s.Tail("runs", 3, func(json.RawMessage) error { return stop }); err != stop {
		t.Errorf("Tail = %v, want the error of the callback", err)
	}
	for _, name := range []string{"", "../x", "A", "a/b", "a.b"} {
		if err := s.Append(name, 1); err == nil {
			t.Errorf("Append(%q) succeeded", name)
		}
	}
	if err := s.Append("runs", func() {}); err == nil {
		t.Error("Append of a function succeeded")
	}
	if err := s.Append("runs", strings.Repeat("x", maxLine)); err == nil {
		t.Error("Append of a line of 1 MiB succeeded")
	}
}

func TestLogSurvivesATornLine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), ".theseus")
	s := open(t, dir, Options{})
	for i := range 3 {
		if err := s.Append("runs", i); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	f, err := os.OpenFile(filepath.Join(dir, "log/runs.ndjson"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("\x00\x00\n{\"half"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	s = open(t, dir, Options{})
	if got := fmt.Sprint(tail(t, s, 9)); got != "[0 1 2]" {
		t.Errorf("Tail = %v, want 0 1 2", got)
	}
	if err := s.Append("runs", 3); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(tail(t, s, 9)); got != "[0 1 2 3]" {
		t.Errorf("Tail = %v, want 0 1 2 3", got)
	}
}

func TestLogRotates(t *testing.T) {
	dir := filepath.Join(t.TempDir(), ".theseus")
	s := open(t, dir, Options{NoSync: true})
	pad := strings.Repeat("x", 500_000)
	type entry struct {
		N   int
		Pad string
	}
	for i := range 50 { // three times 8 MiB
		if err := s.Append("runs", entry{i, pad}); err != nil {
			t.Fatal(err)
		}
	}
	var total int64
	for _, p := range found(t, filepath.Join(dir, "log")) {
		info, err := os.Stat(filepath.Join(dir, "log", p))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > maxLog {
			t.Errorf("%s has %d bytes, want at most %d", p, info.Size(), maxLog)
		}
		total += info.Size()
	}
	if got := strings.Join(found(t, filepath.Join(dir, "log")), " "); got != "runs.1.ndjson runs.ndjson" {
		t.Errorf("the log has the files %s", got)
	}
	got := tail(t, s, 0)
	if len(got) < 17 {
		t.Fatalf("%d entries are left, want more than one file holds", len(got))
	}
	for i, line := range got {
		var e entry
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.N != 50-len(got)+i {
			t.Fatalf("entry %d is %d (%v), want %d", i, e.N, err, 50-len(got)+i)
		}
	}
	if got := tail(t, s, 17); len(got) != 17 {
		t.Errorf("Tail(17) gives %d entries", len(got))
	}
}

func TestAppendThatFailsIsTriedAgain(t *testing.T) {
	var fail bool
	root, err := disk.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, root.Dir(), Options{FS: disk.Points(root, func(o disk.Op) error {
		if fail && strings.HasPrefix(o.Name, "log/") {
			return errors.New("no space left")
		}
		return nil
	})})
	if err := s.Append("runs", 1); err != nil {
		t.Fatal(err)
	}
	fail = true
	if err := s.Append("runs", 2); err == nil || !strings.Contains(err.Error(), "runs.ndjson: no space left") {
		t.Errorf("error = %v, want one about runs.ndjson", err)
	}
	fail = false
	if err := s.Append("runs", 3); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(tail(t, s, 9)); got != "[1 2 3]" {
		t.Errorf("Tail = %v, want 1 2 3", got)
	}
	fail = true
	_ = s.Append("runs", 4)
	for n := range 2 * maxUnwritten / maxLine { // there is no room for all of them
		_ = s.Append("other", strings.Repeat(fmt.Sprint(n), maxLine-3))
	}
	fail = false
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, root.Dir(), Options{})
	if got := fmt.Sprint(tail(t, s, 9)); got != "[1 2 3 4]" {
		t.Errorf("after Close: Tail = %v, want 1 2 3 4", got)
	}
	kept := 0
	if err := s.Tail("other", 0, func(json.RawMessage) error { kept++; return nil }); err != nil || kept != maxUnwritten/maxLine {
		t.Errorf("%d long lines are left, %v, want %d", kept, err, maxUnwritten/maxLine)
	}
}

// What the log could not take is in the journal for as long, also when that is begun
// anew: a loss of power at any time takes neither.
func TestJournalKeepsWhatTheLogLacks(t *testing.T) {
	for _, model := range []simdisk.Model{simdisk.Strict, simdisk.Ordered} {
		d := simdisk.New(model)
		fail := true
		s := open(t, "state", Options{JournalLimit: 1, FS: disk.Points(d.Process(), func(o disk.Op) error {
			if fail && strings.HasPrefix(o.Name, "log/") && o.Phase == disk.Before {
				return syscall.ENOSPC
			}
			return nil
		})})
		told := func(n int) (all []string) {
			_ = s.Tail("updates", 0, func(line json.RawMessage) error { all = append(all, string(line)); return nil })
			return all
		}
		for n := 1; n <= 3; n++ {
			if err := apply(s, n, app(n)); err != nil {
				t.Fatal(err)
			}
			_ = s.Append("updates", n)
		}
		if got := told(9); len(got) != 0 {
			t.Fatalf("the log has %v", got)
		}
		states, _ := d.States(6)
		for left := range states {
			after := open(t, "state", Options{FS: left.Process()})
			seen := map[int]bool{}
			for _, r := range after.Recovered().Reports {
				seen[r.Version.Number] = true
			}
			if live := after.Current(); live != 3 || len(seen) != 3 {
				t.Errorf("%s: gen %d is live, the journal tells of %v, want 1 to 3", model, live, seen)
			}
			_ = after.Close()
		}
		fail = false
		if err := apply(s, 4, app(4)); err != nil { // which begins the journal anew, and the log has room
			t.Fatal(err)
		}
		if got := fmt.Sprint(told(9)); got != "[1 2 3]" {
			t.Errorf("%s: the log has %s", model, got)
		}
		if err := apply(s, 5, app(5)); err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
		after := open(t, "state", Options{FS: d.Process()})
		for _, r := range after.Recovered().Reports {
			t.Errorf("%s: the journal still tells of %+v", model, r)
		}
		_ = after.Close()
	}
}

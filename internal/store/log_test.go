package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/theseus-run/theseus/internal/disk"
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

func TestAppendThatFailsLeavesNothing(t *testing.T) {
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
	if got := fmt.Sprint(tail(t, s, 9)); got != "[1 3]" {
		t.Errorf("Tail = %v, want 1 3", got)
	}
}

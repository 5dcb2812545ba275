package store

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"sync"
	"testing"
)

// The right to write goes from one to the other and back; what each wrote the
// other finds.
func TestYieldAndAcquire(t *testing.T) {
	dir := filepath.Join(t.TempDir(), ".theseus")
	a := open(t, dir, Options{})
	one, two := app(1), app(2)
	n := save(t, a, one)
	b := open(t, dir, Options{ReadOnly: true})
	if err := b.Acquire(); !errors.Is(err, ErrLocked) {
		t.Fatalf("Acquire beside a writer: %v", err)
	}
	if _, _, err := b.Load(n); err != nil {
		t.Fatalf("after a failed Acquire: %v", err)
	}
	if err := b.Append("runs", 1); !errors.Is(err, ErrReadOnly) {
		t.Fatalf("Append to a store that reads: %v", err)
	}
	if err := a.Append("runs", "a1"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := a.Yield(); err != nil {
			t.Fatal(err)
		}
	}
	if err := swap(a, n, one.Digest()); !errors.Is(err, ErrReadOnly) {
		t.Fatalf("a change after Yield: %v", err)
	}
	for range 2 {
		if err := b.Acquire(); err != nil {
			t.Fatal(err)
		}
	}
	m := save(t, b, two)
	var wg sync.WaitGroup
	for name, s := range map[string]*Store{"a": a, "b": b} {
		wg.Go(func() {
			for range 200 {
				if err := s.Append("runs", name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := b.Yield(); err != nil {
		t.Fatal(err)
	}
	if err := a.Acquire(); err != nil {
		t.Fatal(err)
	}
	wantCurrent(t, a, m, two)
	if a.Next() != m+1 {
		t.Errorf("Next = %d, want %d", a.Next(), m+1)
	}
	lines := 0
	if err := a.Tail("runs", 0, func(json.RawMessage) error { lines++; return nil }); err != nil || lines != 401 {
		t.Errorf("%d lines of log, want 401 (%v)", lines, err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if err := b.Acquire(); !errors.Is(err, ErrClosed) {
		t.Errorf("Acquire of a closed store: %v", err)
	}
}

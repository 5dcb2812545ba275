package kv

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/theseus-run/theseus/internal/disk"
)

func benchStore(b *testing.B, opt Options) (*Store, *disk.Root) {
	b.Helper()
	r, err := disk.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	s, err := Open(r, "kv", opt)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close(); _ = r.Close() })
	return s, r
}

var benchValue = []byte(`{"cart":[1,2,3]}`)

func BenchmarkDurableGet(b *testing.B) {
	s, _ := benchStore(b, Options{})
	_ = s.Set("session:1", benchValue, time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		s.Get("session:1")
	}
}

func BenchmarkDurableSet(b *testing.B) {
	s, _ := benchStore(b, Options{})
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Set("session:1", benchValue, time.Hour); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDurableSetSync(b *testing.B) {
	s, _ := benchStore(b, Options{SyncInterval: -1})
	for b.Loop() {
		if err := s.Set("session:1", benchValue, time.Hour); err != nil {
			b.Fatal(err)
		}
		if err := s.Sync(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSharedGet(b *testing.B) {
	s, _ := benchStore(b, Options{Shared: true})
	_ = s.Set("session:1", benchValue, time.Hour)
	b.ReportAllocs()
	for b.Loop() {
		s.Get("session:1")
	}
}

func BenchmarkSharedSet(b *testing.B) {
	s, _ := benchStore(b, Options{Shared: true})
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Set("session:1", benchValue, time.Hour); err != nil {
			b.Fatal(err)
		}
	}
}

// Opening a store of 64 MiB in 65,536 keys.
func BenchmarkOpen64M(b *testing.B) {
	s, r := benchStore(b, Options{SyncInterval: -1, MaxTotal: 1 << 30})
	value := []byte(`"` + strings.Repeat("x", 1010) + `"`)
	for i := range 65_536 {
		if err := s.Set(fmt.Sprintf("key:%08d", i), value, 0); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(s.LogSize())
	for b.Loop() {
		s, err := Open(r, "kv", Options{SyncInterval: -1})
		if err != nil {
			b.Fatal(err)
		}
		if s.Stats().Keys != 65_536 {
			b.Fatal(s.Stats())
		}
		_ = s.Close()
	}
}

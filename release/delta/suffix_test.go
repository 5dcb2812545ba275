package delta

import (
	"bytes"
	"index/suffixarray"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestSuffixArray(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	texts := [][]byte{nil, []byte("a"), []byte("aa"), []byte("ab"), []byte("ba"), []byte("banana"), []byte("mississippi"), make([]byte, 5000)}
	for range 500 {
		b := make([]byte, r.IntN(300))
		k := 1 + r.IntN(8)
		for i := range b {
			b[i] = byte(r.IntN(k))
		}
		texts = append(texts, b, bytes.Repeat(b, 3))
	}
	for _, b := range texts {
		want := make([]int32, len(b))
		for i := range want {
			want[i] = int32(i)
		}
		slices.SortFunc(want, func(x, y int32) int { return bytes.Compare(b[x:], b[y:]) })
		if got := suffixArray(b, nil); !slices.Equal(got, want) {
			t.Fatalf("suffixArray(%q) = %v, want %v", b, got, want)
		}
	}
}

func BenchmarkSuffixArray(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	d := make([]byte, 1<<22)
	for i := range d {
		d[i] = byte(r.NormFloat64() * 20)
	}
	b.Run("ours", func(b *testing.B) {
		b.SetBytes(int64(len(d)))
		for b.Loop() {
			suffixArray(d, nil)
		}
	})
	b.Run("std", func(b *testing.B) {
		b.SetBytes(int64(len(d)))
		for b.Loop() {
			suffixarray.New(d)
		}
	})
}

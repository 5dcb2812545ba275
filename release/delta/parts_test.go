package delta

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// Lengths, and where RIP-relative operands and branch distances are.
func TestInstruction(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		code         []byte
		n, at, after int
	}{
		"ret":                 {[]byte{0xc3}, 1, 0, 0},
		"call rel32":          {[]byte{0xe8, 1, 2, 3, 4}, 5, 1, 0},
		"jne rel32":           {[]byte{0x0f, 0x85, 1, 2, 3, 4}, 6, 2, 0},
		"jne rel8":            {[]byte{0x75, 9}, 2, 0, 0},
		"lea rax,[rip+x]":     {[]byte{0x48, 0x8d, 0x05, 1, 2, 3, 4}, 7, 3, 0},
		"lea rcx,[rsp+8]":     {[]byte{0x48, 0x8d, 0x4c, 0x24, 8}, 5, 0, 0},
		"mov rax,[rbp+x]":     {[]byte{0x48, 0x8b, 0x85, 1, 2, 3, 4}, 7, 0, 0},
		"mov [rip+x],imm32":   {[]byte{0x48, 0xc7, 0x05, 1, 2, 3, 4, 5, 6, 7, 8}, 11, 3, 4},
		"mov [rip+x],imm16":   {[]byte{0x66, 0xc7, 0x05, 1, 2, 3, 4, 5, 6}, 9, 3, 2},
		"cmp [rip+x],imm8":    {[]byte{0x83, 0x3d, 1, 2, 3, 4, 0}, 7, 2, 1},
		"test [rip+x],imm8":   {[]byte{0xf6, 0x05, 1, 2, 3, 4, 1}, 7, 2, 1},
		"neg [rip+x]":         {[]byte{0xf7, 0x1d, 1, 2, 3, 4}, 6, 2, 0},
		"movabs rax,imm64":    {[]byte{0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8}, 10, 0, 0},
		"mov eax,imm32":       {[]byte{0xb8, 1, 2, 3, 4}, 5, 0, 0},
		"bts eax,imm8":        {[]byte{0x0f, 0xba, 0xe8, 3}, 4, 0, 0},
		"sete [rip+x]":        {[]byte{0x0f, 0x94, 0x05, 1, 2, 3, 4}, 7, 3, 0},
		"pshufb [rip+x]":      {[]byte{0x66, 0x0f, 0x38, 0x00, 0x05, 1, 2, 3, 4}, 9, 5, 0},
		"palignr imm8":        {[]byte{0x66, 0x0f, 0x3a, 0x0f, 0xc1, 4}, 6, 0, 0},
		"vmovdqu [rip+x]":     {[]byte{0xc5, 0xfe, 0x6f, 0x05, 1, 2, 3, 4}, 8, 4, 0},
		"vzeroupper":          {[]byte{0xc5, 0xf8, 0x77}, 3, 0, 0},
		"vpermq imm8":         {[]byte{0xc4, 0xe3, 0xfd, 0x00, 0xc0, 0x4e}, 6, 0, 0},
		"evex with imm8":      {[]byte{0x62, 0xf3, 0xe5, 0x48, 0xce, 0x1d, 1, 2, 3, 4, 0}, 11, 6, 1},
		"nop word [rax+rax]":  {[]byte{0x66, 0x0f, 0x1f, 0x44, 0, 0}, 6, 0, 0},
		"lock xadd [rip+x]":   {[]byte{0xf0, 0x48, 0x0f, 0xc1, 0x05, 1, 2, 3, 4}, 9, 5, 0},
		"cut short":           {[]byte{0xe8, 1, 2}, 1, 0, 0},
		"prefixes and no end": {[]byte{0x66, 0x66}, 1, 0, 0},
		"no instruction":      {[]byte{0x06, 1, 2}, 1, 0, 0},
		"sib without base":    {[]byte{0x8b, 0x04, 0x25, 1, 2, 3, 4}, 7, 0, 0},
	} {
		if n, at, after := instruction(c.code); n != c.n || at != c.at || after != c.after {
			t.Errorf("%s: instruction(% x) = %d, %d, %d, want %d, %d, %d", name, c.code, n, at, after, c.n, c.at, c.after)
		}
	}
}

func FuzzInstruction(f *testing.F) {
	f.Add([]byte{0x62, 0xf3, 0xe5, 0x48, 0xce, 0x1d, 1, 2, 3, 4, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		n, at, after := instruction(b)
		if n < 1 || n > len(b) || at < 0 || at > 0 && at+4+after != n {
			t.Errorf("instruction(% x) = %d, %d, %d", b, n, at, after)
		}
	})
}

// Whatever a reference means, rewriting it to mean that changes nothing, and
// rewriting it to mean something in reach makes it mean that.
func TestRewrite(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(5, 5))
	at := &[origins]uint64{}
	for i := range at[1:] {
		at[1+i] = 0x400000 + uint64(i)*0x1000
	}
	code := map[kind][]uint32{
		branch26: {0x94000000, 0x14000000},
		pagePair: {0x90000000, 0x91000000, 0x90000001, 0xf9400021, 0x90000002, 0x3dc00041, 0x9000001b, 0x39000360},
	}
	for k := range offset + kind(origins) {
		if k >= offset+kind(atSegment) {
			continue // their origins are of LEB128 offsets
		}
		for range 200 {
			a := 0x500000 + r.Uint64N(1<<20)*4
			b := make([]byte, 8)
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			if c := code[k]; c != nil {
				i := r.IntN(len(c)) &^ 1
				binary.LittleEndian.PutUint32(b, c[i])
				binary.LittleEndian.PutUint32(b[4:], c[i+1])
			}
			was := slices.Clone(b)
			rewrite(b, k, a, target(b, k, a, at), at)
			if !bytes.Equal(b, was) {
				t.Fatalf("kind %d: % x became % x", k, was, b)
			}
			want := 0x480000 + r.Uint64N(1<<16)*16
			rewrite(b, k, a, want, at)
			if got := target(b, k, a, at); got != want {
				t.Fatalf("kind %d: %#x, want %#x", k, got, want)
			}
		}
	}
}

func TestShifts(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(6, 6))
	for range 200 {
		var moves []move
		from := r.Uint64N(1 << 40)
		for range r.IntN(300) {
			from += 1 + r.Uint64N(1<<r.IntN(40))
			moves = append(moves, move{from, int64(r.IntN(2000) - 1000)})
		}
		s := newShifts(moves)
		for range 300 {
			a := r.Uint64N(from + 1<<20)
			if len(moves) > 0 && r.IntN(2) == 0 {
				a = moves[r.IntN(len(moves))].from + r.Uint64N(3) - 1
			}
			want := a
			for _, m := range moves {
				if m.from <= a {
					want = a + uint64(m.by)
				}
			}
			if got := s.to(a); got != want {
				t.Fatalf("to(%#x) = %#x, want %#x", a, got, want)
			}
		}
	}
}

func TestPageSums(t *testing.T) {
	t.Parallel()
	b := noise(rand.New(rand.NewPCG(3, 3)), 10000)
	var want []byte
	for p := range slices.Chunk(b, 1024) {
		sum := sha256.Sum256(p)
		want = append(want, sum[:]...)
	}
	for _, n := range []int{1, 100, 1024, 5000, 10000} {
		p := pageSums{shift: 10, left: 10000}
		for c := range slices.Chunk(append(slices.Clone(b), 1, 2, 3), n) {
			p.write(c)
		}
		if !bytes.Equal(p.sums, want) {
			t.Errorf("in steps of %d bytes: other digests", n)
		}
	}
}

// A list of relocations that nothing moves is read and written as it was, and
// an entry that moves to another page is found there.
func TestRelocations(t *testing.T) {
	t.Parallel()
	table := []byte{0, 0x10, 0, 0, 12, 0, 0, 0, 0x08, 0xa0, 0xf8, 0xaf, 0, 0x30, 0, 0, 12, 0, 0, 0, 0x10, 0xa0, 0, 0}
	g := &program{}
	g.old[atImage], g.new[atImage] = 0x400000, 0x400000
	b := slices.Clone(table)
	g.relocations(b, newShifts(nil))
	if !bytes.Equal(b, table) {
		t.Errorf("not moved: % x", b)
	}
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	g.relocations(b, newShifts([]move{{0x401ff8, 8}, {0x402000, 0}}))
	want := []byte{0, 0x10, 0, 0, 12, 0, 0, 0, 0x08, 0xa0, 0, 0, 0, 0x20, 0, 0, 12, 0, 0, 0, 0, 0xa0, 0, 0, 0, 0x30, 0, 0, 12, 0, 0, 0, 0x10, 0xa0, 0, 0}
	if !bytes.Equal(b, want) {
		t.Errorf("moved: % x", b)
	}
}

func TestRebases(t *testing.T) {
	t.Parallel()
	b := []byte{0x11, 0x22, 0x85, 0x01, 0x51, 0x23, 0x7f, 0x51, 0x22, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0x51}
	var got []int
	rebases(b, func(i int, k kind) {
		at := &[origins]uint64{}
		at[atSegment+1], at[atSegment+2] = 0x1000, 0x2000
		got = append(got, i, k.width(), int(target(b[i:], k, 0, at)))
		rewrite(b[i:], k, 0, target(b[i:], k, 0, at)+1, at)
	})
	if want := []int{2, 2, 0x1085, 6, 1, 0x207f}; !slices.Equal(got, want) {
		t.Errorf("found %#x, want %#x", got, want)
	}
	if b[2] != 0x86 || b[3] != 0x01 || b[6] != 0x7f {
		t.Errorf("rewritten to % x", b)
	}
}

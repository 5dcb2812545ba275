package delta

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7))
	for i := range 40 {
		var base []byte
		switch i % 4 {
		case 0:
			base = noise(r, r.IntN(20000))
		case 1:
			base = words16(r, r.IntN(20000))
		case 2:
			base = bytes.Repeat(noise(r, 1+r.IntN(50)), r.IntN(300))
		case 3:
			base = append(make([]byte, r.IntN(9000)), words16(r, 2000)...)
		}
		patchOf(t, base, edit(r, base), Options{})
	}
}

func TestRoundTripCorners(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(8, 8))
	long := noise(r, 600<<10)
	for name, c := range map[string]struct{ base, target []byte }{
		"both empty":      {nil, nil},
		"base empty":      {nil, words16(r, 5000)},
		"target empty":    {words16(r, 5000), nil},
		"one byte":        {[]byte{1}, []byte{2}},
		"equal":           {long, long},
		"nothing shared":  {noise(r, 4000), noise(r, 5000)},
		"incompressible":  {noise(r, 100), long},
		"reversed halves": {long, append(bytes.Clone(long[len(long)/2:]), long[:len(long)/2]...)},
		"zeros grow":      {make([]byte, 1<<18), make([]byte, 3<<18)},
		"zeros and one":   {make([]byte, 1<<20), append(make([]byte, 1<<19), append([]byte{1}, make([]byte, 1<<19)...)...)},
		"magic only":      {[]byte("\x7fELF"), []byte("\x7fELF\x02")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := patchOf(t, c.base, c.target, Options{})
			if len(p) > len(c.target)+1<<20 {
				t.Errorf("patch of %d bytes for a target of %d", len(p), len(c.target))
			}
			h, err := ReadHeader(bytes.NewReader(p))
			if err != nil || h.BaseSize != int64(len(c.base)) || h.TargetSize != int64(len(c.target)) || h.PatchSize() != int64(len(p)) {
				t.Errorf("ReadHeader = %+v, %v", h, err)
			}
		})
	}
}

// An edit costs about what is new in it, wherever it is.
func TestSize(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 9))
	base := noise(r, 1<<18)
	target := bytes.Clone(base[:1<<17])
	target = append(append(target, noise(r, 1000)...), base[1<<17:]...)
	if n := len(patchOf(t, base, target, Options{})); n > 1000+headerSize+100 {
		t.Errorf("1000 new bytes cost %d", n)
	}
	if n := len(patchOf(t, base, base, Options{})); n > headerSize+64 {
		t.Errorf("no change costs %d", n)
	}
}

func TestDeterministic(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(10, 10))
	base := words16(r, 200000)
	target := edit(r, base)
	first := patchOf(t, base, target, Options{})
	for range 3 {
		if !bytes.Equal(first, patchOf(t, base, target, Options{})) {
			t.Fatal("two patches differ")
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(11, 11))
	base := words16(r, 50000)
	target := edit(r, base)
	patch := patchOf(t, base, target, Options{})
	change := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at] ^= 4
		return b
	}
	size := int64(len(target))
	for name, c := range map[string]struct {
		base, patch []byte
		limits      Limits
		want        error
	}{
		"base changed":      {change(base, 30000), patch, Limits{Target: size}, ErrWrongBase},
		"base longer":       {append(bytes.Clone(base), 0), patch, Limits{Target: size}, ErrWrongBase},
		"base shorter":      {base[:len(base)-1], patch, Limits{Target: size}, ErrWrongBase},
		"base is target":    {target, patch, Limits{Target: size}, ErrWrongBase},
		"base empty":        {nil, patch, Limits{Target: size}, ErrWrongBase},
		"target limit":      {base, patch, Limits{Target: size - 1}, ErrTooLarge},
		"no limit given":    {base, patch, Limits{}, ErrTooLarge},
		"negative limit":    {base, patch, Limits{Target: -1, Patch: -1}, ErrTooLarge},
		"patch limit":       {base, patch, Limits{Target: size, Patch: int64(len(patch)) - 1}, ErrTooLarge},
		"other version":     {base, change(patch, 8), Limits{Target: size}, ErrUnsupported},
		"flags":             {base, change(patch, 12), Limits{Target: size}, ErrUnsupported},
		"not a patch":       {base, []byte("#!/bin/sh\necho this is not a patch\n"), Limits{Target: size}, ErrUnsupported},
		"text-mode damage":  {base, bytes.ReplaceAll(patch, []byte("\r\n"), []byte("\n")), Limits{Target: size}, ErrUnsupported},
		"empty patch":       {base, nil, Limits{Target: size}, ErrCorrupt},
		"patch twice":       {base, append(bytes.Clone(patch), patch...), Limits{Target: size}, ErrCorrupt},
		"header alone":      {base, patch[:headerSize], Limits{Target: size}, ErrCorrupt},
		"last byte changed": {base, change(patch, len(patch)-1), Limits{Target: size}, ErrCorrupt},
	} {
		var out bytes.Buffer
		err := Apply(t.Context(), bytes.NewReader(c.base), bytes.NewReader(c.patch), &out, c.limits)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if c.want != ErrCorrupt && out.Len() > 0 {
			t.Errorf("%s: %d bytes written", name, out.Len())
		}
	}
}

var errBroken = errors.New("broken")

type brokenWriter struct{ left int }

func (w *brokenWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, errBroken
	}
	return len(b), nil
}

type brokenBase struct {
	r     io.ReaderAt
	reads int
}

func (b *brokenBase) ReadAt(p []byte, off int64) (int, error) {
	if b.reads--; b.reads < 0 {
		return 0, errBroken
	}
	return b.r.ReadAt(p, off)
}

func TestErrorsOfOthers(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(12, 12))
	base := noise(r, 3<<19)
	target := edit(r, base)
	patch := patchOf(t, base, target, Options{})
	limits := Limits{Target: int64(len(target))}
	if err := Make(t.Context(), base, target, &brokenWriter{}, Options{}); !errors.Is(err, errBroken) {
		t.Errorf("Make to a broken writer: %v", err)
	}
	for _, n := range []int{0, blockSize, 5 * blockSize} {
		err := Apply(t.Context(), bytes.NewReader(base), bytes.NewReader(patch), &brokenWriter{left: n}, limits)
		if !errors.Is(err, errBroken) {
			t.Errorf("writer broken after %d bytes: %v", n, err)
		}
	}
	for _, n := range []int{0, 1, 8, 9} {
		err := Apply(t.Context(), &brokenBase{bytes.NewReader(base), n}, bytes.NewReader(patch), io.Discard, limits)
		if !errors.Is(err, errBroken) {
			t.Errorf("base broken after %d reads: %v", n, err)
		}
	}
	half := io.MultiReader(bytes.NewReader(patch[:len(patch)/2]), iotest.ErrReader(errBroken))
	if err := Apply(t.Context(), bytes.NewReader(base), half, io.Discard, limits); err == nil {
		t.Error("a broken patch reader is no error")
	}
	slow := iotest.OneByteReader(bytes.NewReader(patch))
	if err := Apply(t.Context(), bytes.NewReader(base), slow, io.Discard, limits); err != nil {
		t.Errorf("patch read byte by byte: %v", err)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(13, 13))
	base := noise(r, 1<<17)
	target := edit(r, base)
	patch := patchOf(t, base, target, Options{})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errBroken)
	if err := Make(ctx, base, target, io.Discard, Options{}); !errors.Is(err, errBroken) {
		t.Errorf("Make: %v", err)
	}
	if _, err := applied(ctx, base, patch, int64(len(target))); !errors.Is(err, errBroken) {
		t.Errorf("Apply: %v", err)
	}
}

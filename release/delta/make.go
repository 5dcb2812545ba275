package delta

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// MaxSize is the largest base or target that [Make] accepts, in bytes.
const MaxSize = 1<<31 - 1<<16

// Options changes how [Make] works. The zero value is ready to use.
type Options struct {
	// Generic treats executables like any other file: references in them
	// are not predicted. Patches are several times larger.
	Generic bool
}

// Make writes a patch to w that turns base into target. It reads the layout of
// ELF, PE and Mach-O files to predict references in them; a layout that it
// does not know makes the patch larger, never wrong: every patch is applied in
// memory before a byte of it is written. The same base, target, options and
// version of this package give the same bytes.
//
// Make takes about a second of one core per 2 MB, and of memory up to twenty
// times the larger file. When ctx ends it returns its cause soon. An error wraps
// [ErrTooLarge] for files over [MaxSize], or is w's.
func Make(ctx context.Context, base, target []byte, w io.Writer, opts Options) error {
	if len(base) > MaxSize || len(target) > MaxSize {
		return fmt.Errorf("make patch: %d to %d bytes: %w", len(base), len(target), ErrTooLarge)
	}
	patch, err := makePatch(ctx, base, target, opts)
	if err != nil {
		return fmt.Errorf("make patch: %w", err)
	}
	if _, err := w.Write(patch); err != nil {
		return fmt.Errorf("write patch: %w", err)
	}
	return nil
}

// makePatch tries what is smallest first, and proves what it returns.
func makePatch(ctx context.Context, base, target []byte, opts Options) ([]byte, error) {
	tries := []func() (*draft, error){
		func() (*draft, error) { return predicted(ctx, base, target) },
		func() (*draft, error) { return generic(ctx, base, target) },
		func() (*draft, error) { return full(target), nil },
	}
	if opts.Generic {
		tries = tries[1:]
	}
	var why error
	for _, try := range tries {
		d, err := try()
		if err != nil {
			return nil, err
		}
		if d == nil {
			continue
		}
		patch, err := d.pack(base, target)
		if err != nil {
			return nil, err
		}
		if why = prove(ctx, base, target, patch); why == nil {
			return patch, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return nil, fmt.Errorf("the patch does not give back the target: %w", why)
}

func prove(ctx context.Context, base, target, patch []byte) error {
	limits := Limits{Target: int64(len(target)), Patch: int64(len(patch))}
	return Apply(ctx, bytes.NewReader(base), bytes.NewReader(patch), io.Discard, limits)
}

// draft is a patch before it is packed.
type draft struct {
	plan   plan
	moves  []move
	source []byte // what steps copy from: the base or its prediction
	coded  []byte // what they make
	ops    []op
}

// full is a draft that copies nothing.
func full(target []byte) *draft {
	return &draft{coded: target, ops: []op{{fresh: len(target)}}}
}

func generic(ctx context.Context, base, target []byte) (*draft, error) {
	ops, err := match(ctx, base, target, nil)
	return &draft{source: base, coded: target, ops: ops}, err
}

// predicted returns nil when base and target are not executables of one kind.
func predicted(ctx context.Context, base, target []byte) (*draft, error) {
	from, to := readLayout(base), readLayout(target)
	if from == nil || to == nil || from.format != to.format || from.arch != to.arch {
		return nil, nil
	}
	d := &draft{plan: plan{program: describe(from), derived: derivable(target, to)}}
	g := d.plan.program
	if len(g.segments) == 0 || len(g.segments) > maxSegments || len(g.regions) > maxRegions || !g.valid(uint64(len(base))) {
		return nil, nil
	}
	g.new = to.origins()
	room := make([]int32, len(base))
	d.source = slices.Clone(base)
	ops, err := alignMasked(ctx, d.source, target, g, to, room)
	if err != nil {
		return nil, err
	}
	s := learn(base, target, g, to.segments, ops)
	d.moves = s.moves
	copy(d.source, base)
	g.predict(d.source, s)
	d.coded = d.plan.derived.strip(target)
	d.ops, err = match(ctx, d.source, d.coded, room)
	return d, err
}

// alignMasked aligns base and target by what is left without references. It
// takes them out of base, and out of a copy of target.
func alignMasked(ctx context.Context, base, target []byte, g *program, to *layout, room []int32) ([]op, error) {
	target = slices.Clone(target)
	g.mask(base)
	describe(to).mask(target)
	return match(ctx, base, target, room)
}

// pack compresses a draft.
func (d *draft) pack(base, target []byte) ([]byte, error) {
	ss, literals := d.streams()
	control, err := packStreams(ss)
	if err != nil {
		return nil, err
	}
	var lit []byte
	if len(literals) > 0 {
		var z bytes.Buffer
		enc, err := newEncoder(&z, literalWindow)
		if err != nil {
			return nil, err
		}
		if _, err := enc.Write(literals); err != nil {
			return nil, err
		}
		if err := enc.Close(); err != nil {
			return nil, err
		}
		lit = z.Bytes()
		if len(lit) >= len(literals) {
			lit = literals
		}
	}
	h := Header{BaseSize: int64(len(base)), TargetSize: int64(len(target)), BaseDigest: sha256.Sum256(base), TargetDigest: sha256.Sum256(target),
		control: int64(len(control)), literals: int64(len(lit)), raw: int64(len(literals))}
	return slices.Concat(h.append(nil, control), control, lit), nil
}

// streams writes a draft's steps as numbers, and apart from them the bytes
// that are copied from nowhere.
func (d *draft) streams() (ss *[streams][]byte, literals []byte) {
	ss = new([streams][]byte)
	ss[planStream] = d.plan.append(nil)
	ss[moveStream] = appendMoves(nil, d.moves)
	from, gap := 0, 0
	for _, o := range d.ops {
		ss[addStream] = binary.AppendUvarint(ss[addStream], uint64(o.add))
		ss[freshStream] = binary.AppendUvarint(ss[freshStream], uint64(o.fresh))
		ss[seekStream] = binary.AppendVarint(ss[seekStream], int64(o.from-from))
		from = o.from + o.add
		src, dst := d.source[o.from:from], d.coded[o.at:o.at+o.add]
		for i, c := range dst {
			if c == src[i] {
				gap++
				continue
			}
			ss[gapStream] = binary.AppendUvarint(ss[gapStream], uint64(gap))
			ss[valueStream] = append(ss[valueStream], c-src[i])
			gap = 0
		}
		literals = append(literals, d.coded[o.at+o.add:o.at+o.add+o.fresh]...)
	}
	return ss, literals
}

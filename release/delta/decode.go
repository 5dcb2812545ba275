package delta

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
)

// decoder makes the target from the source and the streams of a patch.
type decoder struct {
	h        *Header
	base     io.ReaderAt
	ss       *[streams]*stream
	literals *stream

	plan   *plan
	source io.ReaderAt // the base, or what was predicted from it
	size   int64       // of the source

	from  int64  // where the present step copies from
	add   int64  // bytes that it still copies
	fresh int64  // and takes from the literals
	gap   uint64 // right bytes before the next wrong one
	wrong bool   // there is a next wrong one
}

// prepare reads what must be known before the first step, and predicts.
func (d *decoder) prepare() error {
	s := d.ss[planStream]
	if s.left > 1<<16 {
		return corrupt("plan too long")
	}
	b := make([]byte, s.left)
	s.read(b)
	if err := s.end(); err != nil {
		return err
	}
	var err error
	if d.plan, err = parsePlan(b, uint64(d.h.BaseSize), uint64(d.h.TargetSize)); err != nil {
		return err
	}
	moves, err := readMoves(d.ss[moveStream])
	if err != nil {
		return err
	}
	d.source, d.size = d.base, d.h.BaseSize
	if d.plan.program != nil {
		image, err := readBase(d.base, d.h.BaseSize)
		if err != nil {
			return err
		}
		d.plan.program.predict(image, newShifts(moves))
		d.source = bytes.NewReader(image)
	}
	d.nextGap()
	return nil
}

func (d *decoder) nextGap() {
	if d.wrong = d.ss[gapStream].left > 0; d.wrong {
		d.gap = d.ss[gapStream].uint()
	}
}

// fill makes the next len(b) bytes.
func (d *decoder) fill(b []byte) error {
	for len(b) > 0 {
		if d.add == 0 && d.fresh == 0 {
			if err := d.step(); err != nil {
				return err
			}
		}
		if n := int(min(d.add, int64(len(b)))); n > 0 {
			if err := d.copy(b[:n]); err != nil {
				return err
			}
			b = b[n:]
		}
		if n := int(min(d.fresh, int64(len(b)))); n > 0 && d.add == 0 {
			d.literals.read(b[:n])
			if d.literals.err != nil {
				return d.literals.err
			}
			d.fresh -= int64(n)
			b = b[n:]
		}
	}
	return nil
}

// step reads the next step.
func (d *decoder) step() error {
	add, fresh, seek := d.ss[addStream].uint(), d.ss[freshStream].uint(), d.ss[seekStream].int()
	for _, i := range []int{addStream, freshStream, seekStream} {
		if err := d.ss[i].err; err != nil {
			return err
		}
	}
	from := d.from + seek
	switch {
	case add == 0 && fresh == 0:
		return corrupt("empty step")
	case add > uint64(d.size) || fresh > uint64(d.h.TargetSize):
		return corrupt("step too long")
	case from < 0 || from > d.size-int64(add):
		return corrupt("step outside the base")
	}
	d.from, d.add, d.fresh = from, int64(add), int64(fresh)
	return nil
}

// copy takes len(b) bytes from the source and corrects those that are wrong.
func (d *decoder) copy(b []byte) error {
	if n, err := d.source.ReadAt(b, d.from); n < len(b) {
		return fmt.Errorf("read base: %w", err)
	}
	d.from += int64(len(b))
	d.add -= int64(len(b))
	for d.wrong && d.gap < uint64(len(b)) {
		v, err := d.ss[valueStream].ReadByte()
		if err != nil {
			return damage(err)
		}
		b[d.gap] += v
		b = b[d.gap+1:]
		d.nextGap()
		if err := d.ss[gapStream].err; err != nil {
			return err
		}
	}
	d.gap -= uint64(len(b))
	return nil
}

// run makes the whole target, and checks that the patch was used up and the
// digest is right.
func (d *decoder) run(ctx context.Context, w io.Writer, patch io.Reader) error {
	out := newOutput(w, d.h.TargetSize)
	err := d.emit(ctx, out)
	sum, werr := out.close()
	switch {
	case werr != nil:
		return fmt.Errorf("write target: %w", werr)
	case err != nil:
		return err
	}
	for _, s := range append(d.ss[addStream:], d.literals) {
		if err := s.end(); err != nil {
			return err
		}
	}
	if n, err := io.ReadFull(patch, make([]byte, 1)); n > 0 {
		return corrupt("bytes behind the patch")
	} else if err != io.EOF {
		return fmt.Errorf("read patch: %w", err)
	}
	if sum != d.h.TargetDigest {
		return corrupt("digest of the target")
	}
	return nil
}

// emit makes the records of functions first, which the tables before them are
// derived from, and then everything in order.
func (d *decoder) emit(ctx context.Context, out *output) error {
	v := &d.plan.derived
	size := uint64(d.h.TargetSize)
	var records []byte
	if v.end != 0 {
		records = make([]byte, v.end-v.first())
		if err := d.fill(records); err != nil {
			return err
		}
	}
	e := &emitter{d: d, out: out, tables: v.overlays(records), sums: pageSums{shift: v.page, left: v.limit}}
	if v.end != 0 {
		if err := e.until(ctx, v.first(), nil); err != nil {
			return err
		}
		if err := e.until(ctx, v.end, records); err != nil {
			return err
		}
	}
	if v.limit != 0 && v.hashes > e.at {
		if err := e.until(ctx, v.hashes, nil); err != nil {
			return err
		}
		e.tables = append(e.tables, overlay{v.hashes, e.sums.sums})
	}
	return e.until(ctx, size, nil)
}

// emitter writes the target from its start to its end.
type emitter struct {
	d      *decoder
	out    *output
	tables []overlay
	sums   pageSums
	at     uint64
}

// until writes up to offset end, from ready if that is not nil.
func (e *emitter) until(ctx context.Context, end uint64, ready []byte) error {
	for e.at < end {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		b, err := e.out.next()
		if err != nil {
			return err
		}
		b = b[:min(uint64(cap(b)), end-e.at)]
		if ready != nil {
			ready = ready[copy(b, ready):]
		} else if err := e.d.fill(b); err != nil {
			return err
		}
		for _, t := range e.tables {
			t.apply(b, e.at)
		}
		e.sums.write(b)
		e.at += uint64(len(b))
		e.out.put(b)
	}
	return nil
}

// digest is a SHA-256.
type digest = [sha256.Size]byte

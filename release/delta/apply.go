package delta

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// Limits says what [Apply] may use. Take both from what was signed with the
// patch.
type Limits struct {
	// Target is the largest target in bytes. Zero or less allows none.
	Target int64
	// Patch is the largest patch in bytes. Zero means Target plus 1 MiB,
	// which every patch of [Make] keeps to.
	Patch int64
}

func (l Limits) check(h *Header) error {
	patch := l.Patch
	if patch <= 0 {
		patch = max(l.Target, 0) + 1<<20
	}
	switch {
	case h.TargetSize > max(l.Target, 0):
		return fmt.Errorf("%w: target of %d bytes, limit %d", ErrTooLarge, h.TargetSize, l.Target)
	case h.PatchSize() > patch:
		return fmt.Errorf("%w: patch of %d bytes, limit %d", ErrTooLarge, h.PatchSize(), patch)
	case h.control > maxControl:
		return fmt.Errorf("%w: %d bytes of control streams", ErrTooLarge, h.control)
	case h.raw > h.TargetSize:
		return corrupt("more literals than target")
	}
	return nil
}

// Apply writes to w what patch makes of base. It reads base twice, and
// refuses it before it writes anything when its size or SHA-256 is not the one
// in the patch. The target's SHA-256 is known only at its end: what was written
// to w is the target if and only if Apply returns nil. Write to a temporary
// file, and rename it only then.
//
// Apply takes the memory of one base, for executables, and at most 64 MiB
// more; what it reads from patch decides about nothing else. It runs one
// goroutine, which has ended when it returns. When ctx ends it returns its
// cause soon. An error wraps [ErrWrongBase], [ErrCorrupt], [ErrTooLarge] or
// [ErrUnsupported], or is the error of base, patch or w.
func Apply(ctx context.Context, base io.ReaderAt, patch io.Reader, w io.Writer, limits Limits) error {
	if err := apply(ctx, base, patch, w, limits); err != nil {
		return fmt.Errorf("apply patch: %w", err)
	}
	return nil
}

func apply(ctx context.Context, base io.ReaderAt, patch io.Reader, w io.Writer, limits Limits) error {
	h, control, err := readControl(patch, limits)
	if err != nil {
		return err
	}
	if err := checkBase(ctx, base, h); err != nil {
		return err
	}
	ss, err := unpackStreams(control)
	if err != nil {
		return err
	}
	defer closeStreams(&ss)
	literals, err := openStream(&io.LimitedReader{R: patch, N: h.literals}, uint64(h.literals), uint64(h.raw), literalWindow)
	if err != nil {
		return err
	}
	defer literals.close()
	d := &decoder{h: h, base: base, ss: &ss, literals: literals}
	if err := d.prepare(); err != nil {
		return err
	}
	return d.run(ctx, w, patch)
}

// readControl reads all but the literals, and checks the digest over it.
func readControl(patch io.Reader, limits Limits) (*Header, []byte, error) {
	h, head, err := readHeader(patch)
	if err != nil {
		return nil, nil, err
	}
	if err := limits.check(h); err != nil {
		return nil, nil, err
	}
	var control bytes.Buffer // grows with what really comes
	n, err := control.ReadFrom(&io.LimitedReader{R: patch, N: h.control})
	if err != nil {
		return nil, nil, fmt.Errorf("read patch: %w", err)
	}
	if n < h.control {
		return nil, nil, corrupt("cut short")
	}
	sum := sha256.New()
	sum.Write(head[:headerSize-sha256.Size])
	sum.Write(control.Bytes())
	if !bytes.Equal(sum.Sum(nil), head[headerSize-sha256.Size:]) {
		return nil, nil, corrupt("digest of header and control streams")
	}
	return h, control.Bytes(), nil
}

// checkBase compares size and digest of the base with the header's.
func checkBase(ctx context.Context, base io.ReaderAt, h *Header) error {
	sum := sha256.New()
	r := io.NewSectionReader(base, 0, 1<<62)
	buf := make([]byte, min(256<<10, h.BaseSize+1))
	var size int64
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := r.Read(buf)
		sum.Write(buf[:n])
		size += int64(n)
		if size > h.BaseSize {
			return fmt.Errorf("%w: it is longer than %d bytes", ErrWrongBase, h.BaseSize)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("read base: %w", err)
		}
	}
	if size != h.BaseSize || !bytes.Equal(sum.Sum(nil), h.BaseDigest[:]) {
		return fmt.Errorf("%w: %d bytes with another digest than the patch's %d", ErrWrongBase, size, h.BaseSize)
	}
	return nil
}

// readBase reads all of a base whose size was checked.
func readBase(base io.ReaderAt, size int64) ([]byte, error) {
	b := make([]byte, size)
	if n, err := base.ReadAt(b, 0); err != nil && !(errors.Is(err, io.EOF) && int64(n) == size) {
		return nil, fmt.Errorf("read base: %w", err)
	}
	return b, nil
}

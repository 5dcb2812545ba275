package delta

import (
	"bytes"
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patchOf makes a patch and checks that it gives back the target.
func patchOf(t testing.TB, base, target []byte, opts Options) []byte {
	t.Helper()
	var patch bytes.Buffer
	if err := Make(t.Context(), base, target, &patch, opts); err != nil {
		t.Fatal(err)
	}
	got, err := applied(t.Context(), base, patch.Bytes(), int64(len(target)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, target) {
		t.Fatal("the patch gives back something else")
	}
	return patch.Bytes()
}

func applied(ctx context.Context, base, patch []byte, limit int64) ([]byte, error) {
	var out bytes.Buffer
	err := Apply(ctx, bytes.NewReader(base), bytes.NewReader(patch), &out, Limits{Target: limit})
	return out.Bytes(), err
}

func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// text is what a program or a document is like: words from a small set.
func words16(r *rand.Rand, n int) []byte {
	vocabulary := make([][]byte, 40)
	for i := range vocabulary {
		vocabulary[i] = noise(r, 1+r.IntN(16))
	}
	var b []byte
	for len(b) < n {
		b = append(b, vocabulary[r.IntN(len(vocabulary))]...)
	}
	return b[:n]
}

// edit changes b in several places: it inserts, deletes, overwrites, moves,
// and repeats.
func edit(r *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + r.IntN(12) {
		at := r.IntN(len(b) + 1)
		n := min(r.IntN(400), len(b)-at)
		switch r.IntN(5) {
		case 0:
			b = append(b[:at], append(noise(r, r.IntN(300)), b[at:]...)...)
		case 1:
			b = append(b[:at], b[at+n:]...)
		case 2:
			copy(b[at:at+n], noise(r, n))
		case 3:
			cut := bytes.Clone(b[at : at+n])
			b = append(b[:at], b[at+n:]...)
			to := r.IntN(len(b) + 1)
			b = append(b[:to], append(cut, b[to:]...)...)
		case 4:
			b = append(b, b[at:at+n]...)
		}
	}
	return b
}

// reseal makes the digest of header and control streams right again, so that
// damage is not found by that.
func reseal(patch []byte) []byte {
	patch = bytes.Clone(patch)
	h := &Header{}
	if len(patch) < headerSize || h.parse(patch) != nil || h.control > int64(len(patch)-headerSize) {
		return patch
	}
	sum := sha256.New()
	sum.Write(patch[:headerSize-sha256.Size])
	sum.Write(patch[headerSize : headerSize+h.control])
	sum.Sum(patch[:headerSize-sha256.Size])
	return patch
}

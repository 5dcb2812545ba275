package delta

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// program64 makes a base that has something of everything a program describes,
// its program, and a map.
func program64(r *rand.Rand) (base []byte, g *program, moves []move) {
	const addr = 0x400000
	base = words16(r, 32<<10)
	for i := range 500 { // calls and addresses
		base[i*16] = 0xe8
		binary.LittleEndian.PutUint32(base[i*16+1:], r.Uint32N(1<<14))
		binary.LittleEndian.PutUint64(base[0x3000+i*8:], addr+r.Uint64N(32<<10))
	}
	const table, funcs = 0x6000, 20
	at := funcs*8 + 4
	for i := range funcs {
		at = (at + 7) &^ 7
		b := base[table+at:]
		clear(b[:recordSize+16])
		binary.LittleEndian.PutUint32(b, uint32(i*100))
		b[atNPC], b[atNData] = 1, 3
		for j := range 4 {
			binary.LittleEndian.PutUint32(b[recordSize+4*j:], uint32(i*64+j*16))
		}
		at += recordSize + 16
	}
	g = &program{segments: []segment{{0, addr, 32 << 10}}, top: addr + 40<<10, funcs: funcs}
	g.regions = []region{
		{scan: scanAMD64, off: 0, n: 0x2000}, {scan: scanARM64, off: 0x2000, n: 0x1000},
		{scan: scanTypes, off: 0x3000, n: 0x1000}, {scan: scanWords, off: 0x4000, n: 0x400},
		{scan: scanOffsets, origin: atTypes, off: 0x4400, n: 0x400}, {scan: scanGoFiles, off: 0x4800, n: 0x400},
		{scan: scanGoInline, off: 0x5000, n: 0x1000}, {scan: scanGoFuncs, off: table, n: 0x1000},
	}
	g.regions = append(g.regions, region{scan: scanRebase, off: 0x7000, n: 0x400}, region{scan: scanRelocs, off: 0x7400, n: 0x400})
	for i := range 60 {
		copy(base[0x7000+i*5:], []byte{0x21 + byte(i&3), 0x80 | byte(i), 0x01, 0x51})
		copy(base[0x7400+i*12:], []byte{0, byte(i) << 4, 0, 0, 12, 0, 0, 0, 0x10, 0xa0, 0x20, 0xa0})
	}
	for i := range g.old[1:] {
		g.old[1+i] = addr + uint64(i)*0x400
		g.new[1+i] = g.old[1+i] + 64
	}
	g.old[atGoFuncs] = addr + 0x5000
	for i := range 40 {
		moves = append(moves, move{addr + uint64(i)*700, int64(r.IntN(1000))})
	}
	return base, g, moves
}

// predictedPatch is a small patch that uses every stream and every region.
func predictedPatch(t testing.TB) (base, target, patch []byte) {
	t.Helper()
	r := rand.New(rand.NewPCG(21, 21))
	base, g, moves := program64(r)
	d := &draft{plan: plan{program: g}, moves: moves, source: slices.Clone(base)}
	g.predict(d.source, newShifts(moves))
	target = edit(r, d.source)
	target = append(target, make([]byte, 4096)...)
	v := &d.plan.derived
	v.table, v.funcs, v.end = 0x6000, 20, 0x7000
	v.index, v.span = 0x7000, 5000
	v.limit, v.page, v.hashes = 0x7400, 12, uint64(len(target)-4096)
	if !v.valid(uint64(len(target))) {
		t.Fatal("bad test")
	}
	d.coded = v.strip(target)
	var err error
	if d.ops, err = match(t.Context(), d.source, d.coded, nil); err != nil {
		t.Fatal(err)
	}
	if patch, err = d.pack(base, target); err != nil {
		t.Fatal(err)
	}
	if got, err := applied(t.Context(), base, patch, int64(len(target))); err != nil || !bytes.Equal(got, target) {
		t.Fatalf("the undamaged patch: %v", err)
	}
	return base, target, patch
}

// refused applies a patch that must not work, and returns what it allocated.
func refused(t testing.TB, base, target, patch []byte) {
	t.Helper()
	got, err := applied(t.Context(), base, patch, int64(len(target)))
	switch {
	case err == nil && bytes.Equal(got, target):
		// What damage there was changed nothing, such as the order of
		// moves that no address meets.
	case err == nil:
		t.Fatal("a damaged patch gave another target")
	case !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrWrongBase):
		t.Fatalf("untyped error: %v", err)
	case len(got) > len(target):
		t.Fatalf("%d bytes written for a target of %d", len(got), len(target))
	}
}

func TestDamageEveryByte(t *testing.T) {
	t.Parallel()
	base, target, patch := predictedPatch(t)
	changes := []byte{0x01, 0x80, 0xff}
	if testing.Short() {
		changes = changes[:1]
	}
	for i := range patch {
		for _, x := range changes {
			damaged := bytes.Clone(patch)
			damaged[i] ^= x
			if _, err := applied(t.Context(), base, damaged, int64(len(target))); err == nil {
				t.Fatalf("byte %d changed by %#x: no error", i, x)
			}
			refused(t, base, target, damaged)
			if i < headerSize || i%7 == 0 {
				refused(t, base, target, reseal(damaged))
			}
		}
	}
}

func TestTruncateEveryByte(t *testing.T) {
	t.Parallel()
	base, target, patch := predictedPatch(t)
	for i := range patch {
		if _, err := applied(t.Context(), base, patch[:i], int64(len(target))); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut to %d bytes: %v", i, err)
		}
	}
}

// Streams that decompress well but say wrong things reach further than a
// damaged patch can.
func TestDamagedStreams(t *testing.T) {
	t.Parallel()
	n := 100_000
	if testing.Short() {
		n = 800
	}
	base, target, patch := predictedPatch(t)
	h, raw, literals := takeApart(t, patch)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(31, uint64(worker)))
			for range n / 4 {
				if r.IntN(3) == 0 {
					refused(t, base, target, damage2(r, patch))
					continue
				}
				ss := raw
				for range 1 + r.IntN(3) {
					i := r.IntN(streams)
					ss[i] = scramble(r, ss[i])
				}
				refused(t, base, target, putTogether(*h, &ss, literals))
			}
		})
	}
	wg.Wait()
}

// damage2 changes some bytes of a patch, and sometimes makes its digest right.
func damage2(r *rand.Rand, patch []byte) []byte {
	b := scramble(r, patch)
	if r.IntN(2) == 0 {
		return reseal(b)
	}
	return b
}

// scramble changes, removes or inserts some bytes.
func scramble(r *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + r.IntN(4) {
		at := r.IntN(len(b) + 1)
		n := min(1+r.IntN(8), len(b)-at)
		switch r.IntN(4) {
		case 0:
			b = append(b[:at], b[at+n:]...)
		case 1:
			b = slices.Insert(b, at, noise(r, 1+r.IntN(8))...)
		case 2:
			copy(b[at:at+n], bytes.Repeat([]byte{0xff}, n))
		default:
			copy(b[at:at+n], noise(r, n))
		}
	}
	return b
}

// takeApart returns a patch's header, its streams and its packed literals.
func takeApart(t testing.TB, patch []byte) (*Header, [streams][]byte, []byte) {
	t.Helper()
	h, err := ReadHeader(bytes.NewReader(patch))
	if err != nil {
		t.Fatal(err)
	}
	control := patch[headerSize : headerSize+h.control]
	ss, err := unpackStreams(control)
	if err != nil {
		t.Fatal(err)
	}
	defer closeStreams(&ss)
	var raw [streams][]byte
	for i, s := range ss {
		raw[i] = make([]byte, s.left)
		s.read(raw[i])
	}
	return h, raw, patch[headerSize+h.control:]
}

// putTogether makes a patch of streams, stored as they are.
func putTogether(h Header, ss *[streams][]byte, literals []byte) []byte {
	var head, body []byte
	for _, s := range ss {
		head = binary.AppendUvarint(head, uint64(len(s)))
		head = binary.AppendUvarint(head, uint64(len(s)))
		body = append(body, s...)
	}
	control := append(head, body...)
	h.control = int64(len(control))
	return slices.Concat(h.append(nil, control), control, literals)
}

// The largest things that a patch can ask for, all at once.
func TestMemoryOfGreedyPatch(t *testing.T) {
	base := make([]byte, 64<<20)
	for i := 0; i < len(base); i += recordSize {
		base[i+3] = byte(i >> 9)
	}
	const size = 1 << 30
	g := &program{segments: []segment{{0, 1 << 20, 64 << 20}}, top: 1 << 30, funcs: (32 << 20) / 60}
	g.regions = []region{{scan: scanGoInline, off: 0, n: maxGoData}, {scan: scanGoFuncs, off: 32 << 20, n: 32 << 20}, {scan: scanTypes, off: 0, n: 32 << 20}}
	var moves []move
	for i := range maxMoves {
		moves = append(moves, move{1<<20 + uint64(i)*64, int64(i)})
	}
	p := &plan{program: g}
	v := &p.derived
	v.funcs = 1
	v.end = v.first() + maxHoisted
	v.index, v.span = v.end, maxSpan
	v.limit, v.page, v.hashes = 256<<20, 10, 512<<20
	var ss [streams][]byte
	ss[planStream], ss[moveStream] = p.append(nil), appendMoves(nil, moves)
	ss[addStream] = binary.AppendUvarint(nil, uint64(len(base)))
	ss[freshStream], ss[seekStream] = []byte{0}, []byte{0}
	for range 5 {
		ss[addStream] = binary.AppendUvarint(ss[addStream], uint64(len(base)))
		ss[freshStream] = append(ss[freshStream], 0)
		ss[seekStream] = binary.AppendVarint(ss[seekStream], -int64(len(base)))
	}
	h := Header{BaseSize: int64(len(base)), TargetSize: size, BaseDigest: sha256.Sum256(base)}
	patch := putTogether(h, &ss, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := Apply(context.Background(), bytes.NewReader(base), bytes.NewReader(patch), io.Discard, Limits{Target: size})
	runtime.ReadMemStats(&after)
	if !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v, want ErrCorrupt", err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > uint64(len(base))+64<<20 {
		t.Errorf("%d MiB allocated for a base of %d", n>>20, len(base)>>20)
	} else {
		t.Logf("%d MiB allocated for a base of %d", n>>20, len(base)>>20)
	}
}

// What a header claims costs nothing before it is true.
func TestMemoryOfClaims(t *testing.T) {
	base := words16(rand.New(rand.NewPCG(1, 1)), 1000)
	for name, h := range map[string]Header{
		"control":  {BaseSize: 1000, TargetSize: 1 << 40, control: maxControl},
		"literals": {BaseSize: 1000, TargetSize: 1 << 40, literals: 1 << 39, raw: 1 << 40},
		"base":     {BaseSize: 1 << 47, TargetSize: 1 << 40},
	} {
		h.BaseDigest = sha256.Sum256(base)
		patch := append(h.append(nil, nil), 1, 2, 3)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := applied(context.Background(), base, patch, 1<<41)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; err == nil || n > 8<<20 {
			t.Errorf("%s: %v, %d bytes allocated", name, err, n)
		}
	}
}

func FuzzApply(f *testing.F) {
	base, target, patch := predictedPatch(f)
	f.Add(patch, true)
	h, raw, literals := takeApart(f, patch)
	f.Add(putTogether(*h, &raw, literals), true)
	f.Add(patch[:headerSize], false)
	f.Fuzz(func(t *testing.T, patch []byte, sealed bool) {
		if sealed {
			patch = reseal(patch)
		}
		refused(t, base, target, patch)
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("\x7fELF\x02\x01\x01"), []byte("\x7fELF\x02\x01\x02"))
	f.Add([]byte("MZ and more"), []byte("MZ and less"))
	f.Add([]byte("\xcf\xfa\xed\xfe and more"), []byte("\xcf\xfa\xed\xfe"))
	f.Fuzz(func(t *testing.T, base, target []byte) { patchOf(t, base, target, Options{}) })
}

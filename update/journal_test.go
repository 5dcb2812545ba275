package update

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

func sampleRecord(n int) Record {
	return Record{
		At:      time.Unix(int64(n), 0).UTC(),
		Synced:  uint64(n - 1),
		Machine: &Machine{Phase: Swapping, Change: &Change{ID: "u1", Slot: "app", To: Version{Number: n, Digest: "00ff"}}, Slots: map[string]*Slot{"app": {Live: Version{Number: n - 1}}}},
		Reports: []Report{{Change: "u0", Outcome: Permanent, At: time.Unix(1, 0).UTC()}},
		Files:   []File{{Name: "objects/00/ff", Data: []byte("line\nbreak\x00"), Perm: 0o444}},
	}
}

func sampleJournal(t testing.TB, n int) []byte {
	t.Helper()
	var b []byte
	for i := range n {
		var err error
		if b, err = AppendRecord(b, uint64(i+1), sampleRecord(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func TestJournalRoundTrip(t *testing.T) {
	t.Parallel()
	data := sampleJournal(t, 5)
	j := ReadJournal(data)
	if len(j.Records) != 5 || j.Seq != 5 || j.Size != int64(len(data)) || j.Torn != 0 || j.Damaged != nil {
		t.Fatalf("%+v", j)
	}
	if want := sampleRecord(5); !reflect.DeepEqual(j.Records[4], want) {
		t.Errorf("got %+v\nwant %+v", j.Records[4], want)
	}
}

// TestJournalCut: whatever the last write left of its bytes, all records before it
// are there and nothing else is.
func TestJournalCut(t *testing.T) {
	t.Parallel()
	data := sampleJournal(t, 3)
	whole := len(sampleJournal(t, 2))
	for n := whole; n < len(data); n++ {
		for name, b := range map[string][]byte{
			"cut":    data[:n],
			"zeroed": append(bytes.Clone(data[:n]), make([]byte, len(data)-n)...),
			"stale":  append(bytes.Clone(data[:n]), data[:whole]...), // a block of old content behind it
		} {
			j := ReadJournal(b)
			if len(j.Records) != 2 || j.Seq != 2 {
				t.Fatalf("%s at %d: %d records", name, n, len(j.Records))
			}
			if j.Size != int64(whole) || j.Torn != int64(len(b)-whole) || len(j.Damaged) > 0 {
				t.Fatalf("%s at %d: size %d torn %d damaged %v", name, n, j.Size, j.Torn, j.Damaged)
			}
		}
	}
}

// TestJournalFlips: every flipped bit is found, and costs the one record.
func TestJournalFlips(t *testing.T) {
	t.Parallel()
	data := sampleJournal(t, 3)
	first := len(sampleJournal(t, 1))
	second := len(sampleJournal(t, 2))
	for bit := first * 8; bit < second*8; bit++ {
		b := bytes.Clone(data)
		b[bit/8] ^= 1 << (bit % 8)
		j := ReadJournal(b)
		if bit/8 == second-1 { // the line break: the third is lost with it, as if torn
			if len(j.Records) != 1 || j.Torn == 0 {
				t.Fatalf("bit %d: %d records, %d torn", bit, len(j.Records), j.Torn)
			}
			continue
		}
		if len(j.Damaged) == 0 || len(j.Records) != 2 || j.Seq != 3 {
			t.Fatalf("bit %d: %d records up to %d, damaged %v", bit, len(j.Records), j.Seq, j.Damaged)
		}
	}
}

func TestJournalMissing(t *testing.T) {
	t.Parallel()
	one, two, three := sampleJournal(t, 1), sampleJournal(t, 2), sampleJournal(t, 3)
	for name, b := range map[string][]byte{
		"record left out":   append(bytes.Clone(one), three[len(two):]...),
		"record duplicated": append(append(bytes.Clone(two), two[len(one):]...), three[len(two):]...),
	} {
		if j := ReadJournal(b); len(j.Damaged) != 1 || j.Seq != 3 {
			t.Errorf("%s: %+v", name, j.Damaged)
		}
	}
	// One that begins later is whole: what was before it is on the disk.
	if j := ReadJournal(three[len(two):]); len(j.Records) != 1 || j.Damaged != nil || j.Seq != 3 {
		t.Errorf("begun later: %+v", j)
	}
}

func TestJournalTooLarge(t *testing.T) {
	t.Parallel()
	r := sampleRecord(1)
	r.Files[0].Data = make([]byte, MaxRecord)
	b, err := AppendRecord([]byte("x"), 1, r)
	if !errors.Is(err, ErrRecordTooLarge) || string(b) != "x" {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestJournalIsText(t *testing.T) {
	t.Parallel()
	lines := strings.Split(strings.TrimSpace(string(sampleJournal(t, 2))), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], ` 1 {"at":"1970-01-01T00:00:01Z","synced":0,"machine":{"phase":"swapping"`) {
		t.Errorf("%q", lines)
	}
}

// TestJournalMutants: no mutant yields a record that was not written.
func TestJournalMutants(t *testing.T) {
	t.Parallel()
	data := sampleJournal(t, 6)
	good := map[string]bool{}
	for _, r := range ReadJournal(data).Records {
		good[r.At.String()] = true
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		b := bytes.Clone(data)
		for range 1 + r.IntN(3) {
			i, n := r.IntN(len(b)), 1+r.IntN(64)
			n = min(n, len(b)-i)
			switch r.IntN(5) {
			case 0:
				b[i] ^= byte(1 + r.IntN(255))
			case 1:
				clear(b[i : i+n])
			case 2:
				b = append(b[:i], b[i+n:]...)
			case 3:
				b = append(b[:i+n], append(bytes.Clone(b[i:i+n]), b[i+n:]...)...)
			case 4:
				copy(b[i:i+n], b[r.IntN(len(b)-n+1):])
			}
			if len(b) == 0 {
				break
			}
		}
		j := ReadJournal(b)
		for _, rec := range j.Records {
			if !good[rec.At.String()] || !reflect.DeepEqual(rec, sampleRecord(int(rec.At.Unix()))) {
				t.Fatalf("a third record: %+v", rec)
			}
		}
	}
}

func FuzzReadJournal(f *testing.F) {
	f.Add(sampleJournal(f, 3))
	f.Add([]byte("00000000 1 {}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		j := ReadJournal(data)
		if j.Size+j.Torn != int64(len(data)) || j.Size < 0 {
			t.Fatalf("size %d torn %d of %d", j.Size, j.Torn, len(data))
		}
		again := ReadJournal(data[:j.Size])
		if !reflect.DeepEqual(again.Records, j.Records) || again.Torn != 0 {
			t.Fatal("cut to its size it reads otherwise")
		}
	})
}

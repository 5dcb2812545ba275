package kv

import (
	"bytes"
	"errors"
	"hash/crc32"
	"os"
	"testing"

	"github.com/theseus-run/theseus/internal/disk"
	"github.com/theseus-run/theseus/internal/disk/simdisk"
)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

func FuzzPayload(f *testing.F) {
	all := startFrame(nil, 12345)
	for _, c := range []change{
		{op: opSet, key: "a", text: []byte("1")}, {op: opSet, key: "b", text: []byte(`"x"`), expires: 99},
		{op: opDelete, key: "a"}, {op: opVersion, key: "v", number: 300}, {op: opSynced, number: 1 << 40},
	} {
		all = appendChange(all, c, 1000)
	}
	f.Add(all[frameHeader:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		stamp, changes, err := decodePayload(b, 1000)
		if err != nil {
			if !errors.Is(err, errPayload) && !errors.Is(err, ErrNewer) {
				t.Fatal(err)
			}
			return
		}
		again := startFrame(nil, stamp)
		for _, c := range changes {
			if len(c.key)+len(c.text) > len(b) {
				t.Fatal("more than there is")
			}
			again = appendChange(again, c, 1000)
		}
		stamp2, changes2, err := decodePayload(again[frameHeader:], 1000)
		if err != nil && len(changes) > 0 || stamp2 != stamp || len(changes2) != len(changes) {
			t.Fatalf("a round trip: %v, %v", err, changes2)
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add(header{id: 7, base: 99}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		h, damaged, err := decodeHeader(b)
		if err == nil && !damaged && !bytes.Equal(h.encode(), b[:headerSize]) {
			t.Fatal("another header has the same meaning")
		}
	})
}

// Any file opens, or is refused as one of a newer version; what opens can be
// written to and opened again.
func FuzzLog(f *testing.F) {
	f.Add([]byte{})
	d := simdisk.New(simdisk.Ordered)
	s, err := Open(d.Process(), "kv", byHand)
	if err != nil {
		f.Fatal(err)
	}
	for i := range byte(3) {
		_ = s.Set("k", []byte{'0' + i}, 0)
		_ = s.Sync()
	}
	if err := s.Close(); err != nil {
		f.Fatal(err)
	}
	data, err := disk.ReadFile(d.Process(), "kv/data.log", 1<<20)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:len(data)-5])
	f.Fuzz(func(t *testing.T, b []byte) {
		p := simdisk.New(simdisk.Ordered).Process()
		_ = p.Mkdir("kv", 0o700)
		file, err := p.OpenFile("kv/data.log", os.O_CREATE|os.O_RDWR, 0o600)
		must(t, err)
		_, err = file.Write(b)
		must(t, err)
		s, err := Open(p, "kv", byHand)
		if errors.Is(err, ErrNewer) {
			return
		}
		must(t, err)
		set(t, s, "one more", "1")
		want := content(s)
		must(t, s.Close())
		s, err = Open(p, "kv", byHand)
		must(t, err)
		if got := content(s); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
		must(t, s.Close())
	})
}

package executable

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"testing"
)

// fatOf joins two Mach-O files, for amd64 and arm64.
func fatOf(t testing.TB, parts ...[]byte) []byte {
	t.Helper()
	cpus := []uint32{0x01000007, 0x0100000c}
	const align = 1 << 14
	head := binary.BigEndian.AppendUint32(nil, 0xcafebabe)
	head = binary.BigEndian.AppendUint32(head, uint32(len(parts)))
	var body []byte
	for i, p := range parts {
		for len(body)%align != 0 {
			body = append(body, 0)
		}
		for _, v := range []uint32{cpus[i], 0, uint32(align + len(body)), uint32(len(p)), 14} {
			head = binary.BigEndian.AppendUint32(head, v)
		}
		body = append(body, p...)
	}
	return append(append(head, make([]byte, align-len(head))...), body...)
}

// A shape is an ELF file to craft.
type shape struct {
	head     elf.Header64
	progs    []elf.Prog64
	sections []elf.Section64
	data     []byte // after the tables, at byte dataAt
}

// dataAt is where the data of a shape begins when it has at most 16 program
// headers.
const dataAt = 64 + 16*56

// bytes lays the file out: header, program headers, data, section headers.
func (s shape) bytes(t testing.TB) []byte {
	t.Helper()
	h := s.head
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	h.Phoff, h.Phentsize, h.Phnum = 64, 56, uint16(len(s.progs))
	if len(s.sections) > 0 {
		h.Shoff, h.Shentsize, h.Shnum = uint64(dataAt+len(s.data)), 64, uint16(len(s.sections))
	}
	var b bytes.Buffer
	for _, v := range []any{h, s.progs} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	b.Write(make([]byte, dataAt-b.Len()))
	b.Write(s.data)
	if err := binary.Write(&b, binary.LittleEndian, s.sections); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// program is the shape of a program for linux/amd64 with one segment.
func program(t elf.Type, data []byte) shape {
	return shape{
		head:  elf.Header64{Type: uint16(t), Machine: uint16(elf.EM_X86_64), Version: 1, Entry: 0x400000},
		progs: []elf.Prog64{{Type: uint32(elf.PT_LOAD), Flags: 5, Vaddr: 0x400000, Filesz: dataAt + uint64(len(data)), Memsz: dataAt + uint64(len(data))}},
		data:  data,
	}
}

// manySections has 65,000 sections that all have one long name.
func manySections(t testing.TB) []byte {
	names := append(bytes.Repeat([]byte("x"), 1<<20), 0)
	s := program(elf.ET_EXEC, names)
	s.sections = make([]elf.Section64, 65000)
	for i := range s.sections {
		s.sections[i] = elf.Section64{Type: uint32(elf.SHT_STRTAB), Off: dataAt, Size: uint64(len(names))}
	}
	s.head.Shstrndx = 1
	return s.bytes(t)
}

// dynamicProgram needs libraries, and has notes and a loader.
func dynamicProgram(t testing.TB, loader string, libraries ...string) []byte {
	const base = 0x400000
	var table, dynamic, data []byte
	table = append(table, 0)
	pair := func(tag elf.DynTag, v uint64) {
		dynamic = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(dynamic, uint64(tag)), v)
	}
	for _, l := range libraries {
		pair(elf.DT_NEEDED, uint64(len(table)))
		table = append(append(table, l...), 0)
	}
	add := func(b []byte) (off, n uint64) {
		off = dataAt + uint64(len(data))
		data = append(data, b...)
		for len(data)%8 != 0 {
			data = append(data, 0)
		}
		return off, uint64(len(b))
	}
	texts, _ := add(table)
	pair(elf.DT_STRTAB, base+texts)
	pair(elf.DT_NULL, 0)
	dynOff, dynSize := add(dynamic)
	intOff, intSize := add(append([]byte(loader), 0))
	noteOff, noteSize := add([]byte("\x04\x00\x00\x00\x04\x00\x00\x00\x03\x00\x00\x00GNU\x00\xde\xad\xbe\xef" +
		"\x04\x00\x00\x00\x10\x00\x00\x00\x01\x00\x00\x00GNU\x00\x00\x00\x00\x00\x03\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00"))
	s := program(elf.ET_DYN, data)
	for kind, at := range map[elf.ProgType][2]uint64{elf.PT_DYNAMIC: {dynOff, dynSize}, elf.PT_INTERP: {intOff, intSize}, elf.PT_NOTE: {noteOff, noteSize}} {
		s.progs = append(s.progs, elf.Prog64{Type: uint32(kind), Flags: 4, Off: at[0], Vaddr: base + at[0], Filesz: at[1], Memsz: at[1], Align: 4})
	}
	return s.bytes(t)
}

// A sparse is a file of which only the beginning is not zero.
type sparse struct {
	head []byte
	size int64
}

func (s sparse) ReadAt(b []byte, off int64) (int, error) {
	n := int(max(min(s.size-off, int64(len(b))), 0))
	clear(b[:n])
	if off < int64(len(s.head)) {
		copy(b[:n], s.head[off:])
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

package executable

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strings"
)

// An elfFile walks an ELF file: System V ABI, chapters 4 and 5; elf(5). Headers
// of 32-bit files are widened to those of 64 bits.
type elfFile struct {
	*Info
	src   source
	order binary.ByteOrder
	wide  bool // 64-bit
	head  elf.Header64
	progs []elf.Prog64
	names []byte // of sections
}

func (i *Info) elf(src source, ident []byte) error {
	f := &elfFile{Info: i, src: src}
	for _, step := range []func() error{
		func() error { return f.header(ident) },
		f.programs, f.sections, f.dynamic, f.notes, f.build,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	f.finish()
	return nil
}

// header reads the ELF header.
func (f *elfFile) header(ident []byte) error {
	if len(ident) < elf.EI_NIDENT {
		return f.src.truncated("ELF header", 0, elf.EI_NIDENT)
	}
	switch elf.Data(ident[elf.EI_DATA]) {
	case elf.ELFDATA2LSB:
		f.order = binary.LittleEndian
	case elf.ELFDATA2MSB:
		f.order = binary.BigEndian
	default:
		return malformed("its ELF header names byte order %d, which is none", ident[elf.EI_DATA])
	}
	switch elf.Class(ident[elf.EI_CLASS]) {
	case elf.ELFCLASS64:
		f.Bits, f.wide = 64, true
		if err := f.src.decode(0, f.order, &f.head, "ELF header"); err != nil {
			return err
		}
	case elf.ELFCLASS32:
		f.Bits = 32
		var h elf.Header32
		if err := f.src.decode(0, f.order, &h, "ELF header"); err != nil {
			return err
		}
		f.head = elf.Header64{Ident: h.Ident, Type: h.Type, Machine: h.Machine, Version: h.Version,
			Entry: uint64(h.Entry), Phoff: uint64(h.Phoff), Shoff: uint64(h.Shoff), Flags: h.Flags, Ehsize: h.Ehsize,
			Phentsize: h.Phentsize, Phnum: h.Phnum, Shentsize: h.Shentsize, Shnum: h.Shnum, Shstrndx: h.Shstrndx}
	default:
		return malformed("its ELF header names class %d, which is none", ident[elf.EI_CLASS])
	}
	f.describe()
	return nil
}

// describe tells what the header says.
func (f *elfFile) describe() {
	h := &f.head
	f.ByteOrder = orderName(f.order)
	f.Machine = elf.Machine(h.Machine).String()
	f.GOARCH = elfArch(elf.Machine(h.Machine), f.wide, f.order == binary.ByteOrder(binary.LittleEndian))
	f.GOOS = elfOS[elf.OSABI(h.Ident[elf.EI_OSABI])]
	switch elf.Type(h.Type) {
	case elf.ET_EXEC:
		f.Type = TypeExecutable
	case elf.ET_DYN:
		f.Type = TypeLibrary // until its segments say more
	case elf.ET_REL:
		f.Type = TypeObject
	case elf.ET_CORE:
		f.Type = TypeCore
	default:
		f.Type = TypeOther
	}
	f.Info.header("elf type", "%s", elf.Type(h.Type))
	f.Info.header("os abi", "%s version %d", elf.OSABI(h.Ident[elf.EI_OSABI]), h.Ident[elf.EI_ABIVERSION])
	f.Info.header("entry", "%s", hex64(h.Entry))
	f.Info.header("flags", "%#x", h.Flags)
	f.Info.header("program headers", "%d at byte %d", h.Phnum, h.Phoff)
	f.Info.header("section headers", "%d at byte %d", h.Shnum, h.Shoff)
}

// programs reads the program headers; what they load must be in the file.
func (f *elfFile) programs() error {
	n, size := uint64(f.head.Phnum), f.entry(elf.Prog64{}, elf.Prog32{})
	if n == 0 {
		if t := elf.Type(f.head.Type); t == elf.ET_EXEC || t == elf.ET_DYN {
			return malformed("it has no program headers, so that nothing of it can be loaded")
		}
		return nil
	}
	if n > MaxSegments {
		return malformed("it has %d program headers, more than the limit of %d", n, MaxSegments)
	}
	if uint64(f.head.Phentsize) != size {
		return malformed("its program headers have %d bytes each, not %d", f.head.Phentsize, size)
	}
	table, err := f.src.read(f.head.Phoff, n*size, "table of program headers")
	if err != nil {
		return err
	}
	for ; len(table) > 0; table = table[size:] {
		p, err := f.prog(table)
		if err != nil {
			return err
		}
		if err := f.program(p); err != nil {
			return err
		}
	}
	return nil
}

// entry is the size of a table entry.
func (f *elfFile) entry(wide, narrow any) uint64 {
	if f.wide {
		return uint64(binary.Size(wide))
	}
	return uint64(binary.Size(narrow))
}

// prog decodes a program header.
func (f *elfFile) prog(b []byte) (p elf.Prog64, err error) {
	if f.wide {
		_, err = binary.Decode(b, f.order, &p)
		return p, err
	}
	var n elf.Prog32
	_, err = binary.Decode(b, f.order, &n)
	return elf.Prog64{Type: n.Type, Flags: n.Flags, Off: uint64(n.Off), Vaddr: uint64(n.Vaddr), Paddr: uint64(n.Paddr),
		Filesz: uint64(n.Filesz), Memsz: uint64(n.Memsz), Align: uint64(n.Align)}, err
}

// program records one segment.
func (f *elfFile) program(p elf.Prog64) error {
	kind, flags := elf.ProgType(p.Type), elf.ProgFlag(p.Flags)
	f.progs = append(f.progs, p)
	f.Segments = append(f.Segments, Segment{Name: kind.String(), Address: p.Vaddr, Offset: p.Off, FileSize: p.Filesz, MemSize: p.Memsz,
		Flags: rwx(flags&elf.PF_R != 0, flags&elf.PF_W != 0, flags&elf.PF_X != 0)})
	switch kind {
	case elf.PT_LOAD:
		if !f.src.within(p.Off, p.Filesz) {
			return f.src.truncated(fmt.Sprintf("segment %d", len(f.progs)-1), p.Off, p.Filesz)
		}
	case elf.PT_INTERP:
		if p.Filesz > 4096 { // PATH_MAX; the kernel refuses it as well
			return malformed("the path of its dynamic loader has %d bytes", p.Filesz)
		}
		b, err := f.src.read(p.Off, p.Filesz, "path of the dynamic loader")
		if err != nil {
			return err
		}
		f.Interpreter = strings.ToValidUTF8(strings.TrimRight(string(b), "\x00"), "\uFFFD")
	}
	return nil
}

// finish decides what needs the whole file.
func (f *elfFile) finish() {
	if f.GOOS == "" {
		f.GOOS = loaderOS(f.Interpreter)
	}
	if f.Build != nil && f.Build.GOOS != "" { // android and illumos look like linux and solaris
		f.GOOS = f.Build.GOOS
	}
	// A library has no loader and, as a rule, nowhere to start; a static
	// position-independent program has no loader either, but an entry.
	if f.Type == TypeLibrary && (f.Interpreter != "" || f.head.Entry != 0) {
		f.Type = TypePIE
	}
}

package executable

import (
	"debug/elf"
	"fmt"
)

// sections reads the section headers, if the file has any: a program starts
// without them, but one whose table lies beyond its end has been cut off.
func (f *elfFile) sections() error {
	h := &f.head
	if h.Shoff == 0 {
		return nil
	}
	size := f.entry(elf.Section64{}, elf.Section32{})
	if uint64(h.Shentsize) != size {
		return malformed("its section headers have %d bytes each, not %d", h.Shentsize, size)
	}
	n, strings := uint64(h.Shnum), uint64(h.Shstrndx)
	if n == 0 || strings == uint64(elf.SHN_XINDEX) { // the first section says it (elf(5))
		first, err := f.section(h.Shoff)
		if err != nil {
			return err
		}
		if n == 0 {
			n = first.Size
		}
		if strings == uint64(elf.SHN_XINDEX) {
			strings = uint64(first.Link)
		}
	}
	if !f.src.within(h.Shoff, 0) || n > (uint64(f.src.size)-h.Shoff)/size {
		return f.src.truncated("table of section headers", h.Shoff, n*size)
	}
	if strings != 0 && strings < n {
		if err := f.sectionNames(h.Shoff + strings*size); err != nil {
			return err
		}
	}
	if n > MaxSections {
		f.note("%d of %d sections are left out", n-MaxSections, n)
		n = MaxSections
	}
	for k := range n {
		s, err := f.section(h.Shoff + k*size)
		if err != nil {
			return err
		}
		if err := f.addSection(s); err != nil {
			return err
		}
	}
	return nil
}

// section decodes the section header at off.
func (f *elfFile) section(off uint64) (s elf.Section64, err error) {
	if f.wide {
		return s, f.src.decode(off, f.order, &s, "table of section headers")
	}
	var n elf.Section32
	err = f.src.decode(off, f.order, &n, "table of section headers")
	return elf.Section64{Name: n.Name, Type: n.Type, Flags: uint64(n.Flags), Addr: uint64(n.Addr), Off: uint64(n.Off), Size: uint64(n.Size),
		Link: n.Link, Info: n.Info, Addralign: uint64(n.Addralign), Entsize: uint64(n.Entsize)}, err
}

// sectionNames reads the string table whose header is at off.
func (f *elfFile) sectionNames(off uint64) error {
	s, err := f.section(off)
	if err != nil {
		return err
	}
	if !f.src.within(s.Off, s.Size) {
		return f.src.truncated("table of section names", s.Off, s.Size)
	}
	f.names, err = f.src.some(s.Off, min(s.Size, maxRead))
	return err
}

// addSection records one section; its bytes must be in the file.
func (f *elfFile) addSection(s elf.Section64) error {
	kind, flags := elf.SectionType(s.Type), elf.SectionFlag(s.Flags)
	if kind == elf.SHT_NULL {
		return nil
	}
	name := cstringAt(f.names, uint64(s.Name))
	if kind != elf.SHT_NOBITS && !f.src.within(s.Off, s.Size) {
		return f.src.truncated(fmt.Sprintf("section %q", name), s.Off, s.Size)
	}
	f.Sections = append(f.Sections, Section{Name: name, Address: s.Addr, Offset: s.Off, Size: s.Size,
		Flags: rwx(flags&elf.SHF_ALLOC != 0, flags&elf.SHF_WRITE != 0, flags&elf.SHF_EXECINSTR != 0)})
	return nil
}

// build reads Go build information: from its section, or without sections from
// the first writable segment, where the linker puts it near the beginning.
func (f *elfFile) build() error {
	for _, s := range f.Sections {
		if s.Name == ".go.buildinfo" && s.Flags[0] == 'r' {
			return f.goBuild(f.src, s.Offset, s.Address, s.Size)
		}
	}
	for _, p := range f.progs {
		if elf.ProgType(p.Type) == elf.PT_LOAD && elf.ProgFlag(p.Flags)&(elf.PF_X|elf.PF_W) == elf.PF_W {
			return f.goBuild(f.src, p.Off, p.Vaddr, p.Filesz)
		}
	}
	return nil
}

// fileOffset is where in the file n bytes at address addr lie.
func (f *elfFile) fileOffset(addr, n uint64) (uint64, bool) {
	for _, p := range f.progs {
		if elf.ProgType(p.Type) == elf.PT_LOAD && addr >= p.Vaddr && addr-p.Vaddr < p.Filesz && n <= p.Filesz-(addr-p.Vaddr) {
			return p.Off + (addr - p.Vaddr), true
		}
	}
	return 0, false
}

// word reads an address of the file's class.
func (f *elfFile) word(b []byte) uint64 {
	if f.wide {
		return f.order.Uint64(b)
	}
	return uint64(f.order.Uint32(b))
}

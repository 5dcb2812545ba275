package delta

import (
	"bytes"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"slices"
	"strings"
)

// layout is what is known of an executable file: only the maker of a patch
// reads one.
type layout struct {
	format   string
	arch     string // "amd64", "arm64" or "" for others
	segments []segment
	sections []section
	image    uint64 // where the file is loaded
	top      uint64 // past the last address in use
	golang   golang
}

// section is a named part of the file.
type section struct {
	name         string
	off, addr, n uint64
	role         role
}

type role uint8

const (
	other     role = iota
	code           // machine instructions
	words          // may hold addresses
	typeLinks      // offsets of types
	unwind         // PE's exception table: offsets from the image
	rebase         // Mach-O's addresses to relocate
	relocs         // PE's
)

// readLayout returns nil when b is no executable it knows. What debug/elf and
// its like make of a strange file is no reason to fail.
func readLayout(b []byte) *layout {
	var l *layout
	switch {
	case bytes.HasPrefix(b, []byte(elf.ELFMAG)):
		l = readELF(b)
	case bytes.HasPrefix(b, []byte("MZ")):
		l = readPE(b)
	case bytes.HasPrefix(b, []byte{0xcf, 0xfa, 0xed, 0xfe}):
		l = readMachO(b)
	}
	if l == nil || l.arch == "" {
		return nil
	}
	l.tidy(uint64(len(b)))
	for _, s := range l.segments {
		l.top = max(l.top, s.addr+s.n)
	}
	l.golang = findGo(b, l)
	return l
}

// tidy drops what does not lie in the file or overlaps.
func (l *layout) tidy(size uint64) {
	inFile := func(off, n uint64) bool { return n > 0 && off <= size && n <= size-off }
	l.segments = slices.DeleteFunc(l.segments, func(s segment) bool {
		return !inFile(s.off, s.n) || s.addr >= 1<<62
	})
	slices.SortFunc(l.segments, func(a, b segment) int { return cmp(a.off, b.off) })
	var end uint64
	l.segments = slices.DeleteFunc(l.segments, func(s segment) bool {
		drop := s.off < end
		end = max(end, s.off+s.n)
		return drop
	})
	l.sections = slices.DeleteFunc(l.sections, func(s section) bool {
		_, mapped := addressIn(l.segments, s.off)
		_, whole := addressIn(l.segments, s.off+s.n-1)
		return !inFile(s.off, s.n) || !mapped || !whole
	})
	slices.SortFunc(l.sections, func(a, b section) int { return cmp(a.off, b.off) })
	end = 0
	l.sections = slices.DeleteFunc(l.sections, func(s section) bool {
		drop := s.off < end
		end = max(end, s.off+s.n)
		return drop
	})
}

func cmp(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func readELF(b []byte) *layout {
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil || f.Class != elf.ELFCLASS64 || f.Data != elf.ELFDATA2LSB {
		return nil
	}
	l := &layout{format: "elf", arch: map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64"}[f.Machine]}
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			l.segments = append(l.segments, segment{p.Off, p.Vaddr, p.Filesz})
			l.top = max(l.top, p.Vaddr+p.Memsz)
		}
	}
	for _, s := range f.Sections {
		if s.Type == elf.SHT_NOBITS || s.Flags&elf.SHF_ALLOC == 0 {
			continue
		}
		l.sections = append(l.sections, section{s.Name, s.Offset, s.Addr, s.FileSize, elfRole(s)})
	}
	return l
}

func elfRole(s *elf.Section) role {
	switch {
	case s.Flags&elf.SHF_EXECINSTR != 0:
		return code
	case s.Name == ".typelink":
		return typeLinks
	case s.Type == elf.SHT_PROGBITS || s.Type == elf.SHT_RELA || s.Type == elf.SHT_DYNAMIC || s.Type == elf.SHT_INIT_ARRAY || s.Type == elf.SHT_FINI_ARRAY:
		return words
	}
	return other
}

func readPE(b []byte) *layout {
	f, err := pe.NewFile(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	h, ok := f.OptionalHeader.(*pe.OptionalHeader64)
	if !ok {
		return nil
	}
	l := &layout{format: "pe", image: h.ImageBase}
	l.arch = map[uint16]string{pe.IMAGE_FILE_MACHINE_AMD64: "amd64", pe.IMAGE_FILE_MACHINE_ARM64: "arm64"}[f.Machine]
	for _, s := range f.Sections {
		n := uint64(min(s.Size, s.VirtualSize))
		off, addr := uint64(s.Offset), h.ImageBase+uint64(s.VirtualAddress)
		l.top = max(l.top, addr+uint64(s.VirtualSize))
		if n == 0 || s.VirtualAddress == 0 {
			continue
		}
		l.segments = append(l.segments, segment{off, addr, n})
		l.sections = append(l.sections, section{s.Name, off, addr, n, peRole(s)})
	}
	return l
}

func peRole(s *pe.Section) role {
	switch {
	case s.Characteristics&pe.IMAGE_SCN_CNT_CODE != 0 && s.Characteristics&pe.IMAGE_SCN_MEM_EXECUTE != 0:
		return code
	case s.Name == ".pdata":
		return unwind
	case s.Name == ".reloc":
		return relocs
	case s.Name == ".rdata" || s.Name == ".data":
		return words
	}
	return other
}

func readMachO(b []byte) *layout {
	f, err := macho.NewFile(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	l := &layout{format: "macho", arch: map[macho.Cpu]string{macho.CpuAmd64: "amd64", macho.CpuArm64: "arm64"}[f.Cpu]}
	for _, c := range f.Loads {
		if s, ok := c.(*macho.Segment); ok && s.Filesz > 0 {
			l.segments = append(l.segments, segment{s.Offset, s.Addr, s.Filesz})
			l.top = max(l.top, s.Addr+s.Memsz)
			if s.Name == "__TEXT" {
				l.image = s.Addr
			}
		}
	}
	for _, c := range f.Loads {
		if off, n := rebaseList(c.Raw(), f.ByteOrder); n > 0 {
			l.sections = append(l.sections, section{"rebase", off, 0, n, rebase})
		}
	}
	for _, s := range f.Sections {
		if s.Offset == 0 || s.Flags&0xff == 1 { // S_ZEROFILL
			continue
		}
		l.sections = append(l.sections, section{s.Name, uint64(s.Offset), s.Addr, s.Size, machoRole(s)})
	}
	return l
}

func machoRole(s *macho.Section) role {
	switch {
	case s.Flags&0x80000400 != 0: // S_ATTR_PURE_INSTRUCTIONS, S_ATTR_SOME_INSTRUCTIONS
		return code
	case s.Name == "__typelink":
		return typeLinks
	case strings.HasPrefix(s.Name, "__debug") || strings.HasPrefix(s.Name, "__zdebug"):
		return other
	}
	return words
}

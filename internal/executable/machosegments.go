package executable

import (
	"debug/macho"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
)

// segment reads a segment and its sections; their bytes must be in the file.
func (f *machoFile) segment(wide bool, b []byte) error {
	s, err := f.decodeSegment(wide, b)
	if err != nil {
		return malformed("a segment's load command has only %d bytes", len(b))
	}
	name := cstring(s.Name[:])
	if len(f.Segments) < MaxSegments {
		f.Segments = append(f.Segments, Segment{Name: name, Address: s.Addr, Offset: s.Offset, FileSize: s.Filesz, MemSize: s.Memsz,
			Flags: rwx(s.Prot&machoProtR != 0, s.Prot&machoProtW != 0, s.Prot&machoProtX != 0)})
	}
	if !f.src.within(s.Offset, s.Filesz) {
		return f.src.truncated(fmt.Sprintf("segment %q", name), s.Offset, s.Filesz)
	}
	head, each := binary.Size(macho.Segment32{}), binary.Size(macho.Section32{})
	if wide {
		head, each = binary.Size(macho.Segment64{}), binary.Size(macho.Section64{})
	}
	b = b[head:]
	for range s.Nsect {
		if len(b) < each {
			return malformed("segment %q lacks some of its %d sections", name, s.Nsect)
		}
		if err := f.section(wide, b, name, s.Prot); err != nil {
			return err
		}
		b = b[each:]
	}
	return nil
}

// decodeSegment widens a 32-bit segment.
func (f *machoFile) decodeSegment(wide bool, b []byte) (s macho.Segment64, err error) {
	if wide {
		_, err = binary.Decode(b, f.order, &s)
		return s, err
	}
	var n macho.Segment32
	_, err = binary.Decode(b, f.order, &n)
	return macho.Segment64{Cmd: n.Cmd, Len: n.Len, Name: n.Name, Addr: uint64(n.Addr), Memsz: uint64(n.Memsz), Offset: uint64(n.Offset),
		Filesz: uint64(n.Filesz), Maxprot: n.Maxprot, Prot: n.Prot, Nsect: n.Nsect, Flag: n.Flag}, err
}

// section records one section; it has the permissions of its segment.
func (f *machoFile) section(wide bool, b []byte, segment string, prot uint32) error {
	var s macho.Section64
	if wide {
		if _, err := binary.Decode(b, f.order, &s); err != nil {
			return err
		}
	} else {
		var n macho.Section32
		if _, err := binary.Decode(b, f.order, &n); err != nil {
			return err
		}
		s = macho.Section64{Name: n.Name, Seg: n.Seg, Addr: uint64(n.Addr), Size: uint64(n.Size), Offset: n.Offset, Flags: n.Flags}
	}
	name := cstring(s.Seg[:]) + "," + cstring(s.Name[:])
	switch s.Flags & 0xff { // its type
	case machoZeroFill, machoGBZeroFill, machoThreadZeroFill:
	default:
		if !f.src.within(uint64(s.Offset), s.Size) {
			return f.src.truncated(fmt.Sprintf("section %q", name), uint64(s.Offset), s.Size)
		}
	}
	if len(f.Sections) == MaxSections {
		f.noteOnce(fmt.Sprintf("sections beyond the first %d are left out", MaxSections))
		return nil
	}
	f.Sections = append(f.Sections, Section{Name: name, Address: s.Addr, Offset: uint64(s.Offset), Size: s.Size,
		Flags: rwx(prot&machoProtR != 0, prot&machoProtW != 0, prot&machoProtX != 0)})
	return nil
}

func (i *Info) noteOnce(text string) {
	if !slices.Contains(i.Notes, text) {
		i.note("%s", text)
	}
}

// isFat reports whether head is that of a fat file; Java classes share the
// magic, and have a version of 45 or more where the count of parts is.
func isFat(head []byte) bool {
	if len(head) < 8 {
		return false
	}
	magic, n := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
	return (magic == macho.MagicFat || magic == macho.MagicFat+1) && n > 0 && n <= MaxArches
}

// fat reads the parts of a fat file, and describes the one for this machine, or
// else the first. All must be whole.
func (i *Info) fat(src source) error {
	parts, err := i.fatParts(src)
	if err != nil {
		return err
	}
	var chosen *Info
	for _, part := range parts {
		one := &Info{}
		err := one.macho(part)
		i.Arches = append(i.Arches, one.GOARCH)
		if chosen == nil || one.GOARCH == runtime.GOARCH && chosen.GOARCH != runtime.GOARCH {
			chosen = one
		}
		if err != nil {
			return err
		}
	}
	c := *chosen
	c.Path, c.Size, c.Mode, c.Modified, c.Digest = i.Path, i.Size, i.Mode, i.Modified, i.Digest
	c.Format, c.Arches = FormatFat, i.Arches
	if len(parts) > 1 {
		c.note("headers, sections and build information are those of the part for %s", c.GOARCH)
	}
	*i = c
	return nil
}

// fatParts finds the parts: a magic and a count, and for each part processor,
// type, offset, size and alignment, big endian (<mach-o/fat.h>).
func (i *Info) fatParts(src source) ([]source, error) {
	head, err := src.read(0, 8, "fat header")
	if err != nil {
		return nil, err
	}
	n, each := uint64(binary.BigEndian.Uint32(head[4:])), uint64(20)
	if binary.BigEndian.Uint32(head) != macho.MagicFat { // 64-bit offsets
		each = 32
	}
	table, err := src.read(8, n*each, "fat header")
	if err != nil {
		return nil, err
	}
	var parts []source
	for ; len(table) > 0; table = table[each:] {
		off, size := uint64(binary.BigEndian.Uint32(table[8:])), uint64(binary.BigEndian.Uint32(table[12:]))
		if each == 32 {
			off, size = binary.BigEndian.Uint64(table[8:]), binary.BigEndian.Uint64(table[16:])
		}
		if !src.within(off, size) {
			return nil, src.truncated(fmt.Sprintf("part %d", len(parts)), off, size)
		}
		part := source{src.r, src.base + int64(off), int64(size)}
		if magic, err := part.some(0, 4); err != nil || !isMachO(magic) {
			if err == nil {
				err = malformed("part %d of it is no Mach-O file", len(parts))
			}
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}

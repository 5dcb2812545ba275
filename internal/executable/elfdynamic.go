package executable

import (
	"bytes"
	"debug/elf"
	"encoding/hex"
	"strings"
)

// maxTable bounds dynamic sections and notes, in bytes.
const maxTable = 64 << 10

// dynamic reads which libraries the program needs.
func (f *elfFile) dynamic() error {
	for _, p := range f.progs {
		if elf.ProgType(p.Type) != elf.PT_DYNAMIC {
			continue
		}
		if !f.src.within(p.Off, p.Filesz) {
			return f.src.truncated("dynamic section", p.Off, p.Filesz)
		}
		b, err := f.src.some(p.Off, min(p.Filesz, maxTable))
		if err != nil {
			return err
		}
		return f.needed(b)
	}
	return nil
}

// needed reads the names of libraries from a dynamic section.
func (f *elfFile) needed(b []byte) error {
	size := 8
	if f.wide {
		size = 16
	}
	var names []uint64
	var table uint64
	for ; len(b) >= size; b = b[size:] {
		tag, value := elf.DynTag(f.word(b)), f.word(b[size/2:])
		if tag == elf.DT_NULL {
			break
		}
		switch tag {
		case elf.DT_NEEDED:
			names = append(names, value)
		case elf.DT_STRTAB:
			table = value
		}
	}
	if len(names) > MaxLibraries {
		f.note("%d of %d linked libraries are left out", len(names)-MaxLibraries, len(names))
		names = names[:MaxLibraries]
	}
	for _, n := range names {
		off, ok := f.fileOffset(table+n, 1)
		if !ok {
			continue
		}
		text, err := f.src.some(off, MaxText)
		if err != nil {
			return err
		}
		f.Libraries = append(f.Libraries, cstring(text))
	}
	return nil
}

// notes reads build IDs and what systems sign their programs with.
func (f *elfFile) notes() error {
	read := uint64(0)
	for _, p := range f.progs {
		if elf.ProgType(p.Type) != elf.PT_NOTE || !f.src.within(p.Off, p.Filesz) {
			continue
		}
		if read += p.Filesz; p.Filesz > maxTable || read > maxTable {
			f.note("notes beyond %d bytes are left out", maxTable)
			return nil
		}
		b, err := f.src.read(p.Off, p.Filesz, "notes")
		if err != nil {
			return err
		}
		f.noteSegment(b, p.Align)
	}
	return nil
}

// noteSegment walks notes: sizes of name and content, type, name, content, each
// aligned (elf(5)).
func (f *elfFile) noteSegment(b []byte, align uint64) {
	if align != 8 {
		align = 4
	}
	for len(b) >= 12 {
		nameSize, descSize, kind := uint64(f.order.Uint32(b)), uint64(f.order.Uint32(b[4:])), f.order.Uint32(b[8:])
		desc := (12 + nameSize + align - 1) &^ (align - 1)
		if 12+nameSize > uint64(len(b)) || desc+descSize > uint64(len(b)) {
			return
		}
		name := string(bytes.TrimRight(b[12:12+nameSize], "\x00"))
		f.noteEntry(name, kind, b[desc:desc+descSize])
		b = b[min((desc+descSize+align-1)&^(align-1), uint64(len(b))):]
	}
}

// noteEntry records one note.
func (f *elfFile) noteEntry(name string, kind uint32, desc []byte) {
	switch name {
	case "Go":
		if kind == 4 { // cmd/link: ELF_NOTE_GOBUILDID_TAG
			f.BuildID = cstring(desc)
		}
	case "GNU":
		switch {
		case kind == 3 && f.BuildID == "": // NT_GNU_BUILD_ID
			f.BuildID = hex.EncodeToString(desc[:min(len(desc), MaxText/2)])
		case kind == 1 && f.GOOS == "" && len(desc) >= 4 && f.order.Uint32(desc) == 0: // NT_GNU_ABI_TAG: Linux
			f.GOOS = "linux"
		}
	case "Android", "DragonFly", "FreeBSD", "NetBSD", "OpenBSD":
		if kind == 1 {
			f.GOOS = strings.ToLower(name)
		}
	}
}

package executable

import (
	"debug/pe"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// PE constants that debug/pe does not name (Microsoft's "PE Format").
const (
	peOffset     = 0x3c // of the position of the PE header in the DOS header
	pe32         = 0x10b
	pe32Plus     = 0x20b
	peExecute    = 0x20000000
	peRead       = 0x40000000
	peWrite      = 0x80000000
	peInit       = 0x40 // initialised data
	peImport     = 1    // index of the import directory
	peImportSize = 20
)

// A peFile walks a PE file.
type peFile struct {
	*Info
	src      source
	head     pe.FileHeader
	sections []pe.SectionHeader32
	imports  pe.DataDirectory
	base     uint64
	texts    uint64 // offset of the string table, 0 for none
}

// isPE reports whether a DOS header leads to a PE header.
func isPE(src source, head []byte) bool {
	if len(head) < peOffset+4 || head[0] != 'M' || head[1] != 'Z' {
		return false
	}
	at := uint64(binary.LittleEndian.Uint32(head[peOffset:]))
	if !src.within(at, 4) {
		return true // cut off before it
	}
	sig, err := src.some(at, 4)
	return err == nil && string(sig) == "PE\x00\x00"
}

func (i *Info) pe(src source) error {
	f := &peFile{Info: i, src: src}
	f.ByteOrder = "little"
	f.GOOS = "windows"
	for _, step := range []func() error{f.header, f.readSections, f.readImports, f.build} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// header reads the file header and the optional header.
func (f *peFile) header() error {
	var at uint32
	if err := f.src.decode(peOffset, binary.LittleEndian, &at, "DOS header"); err != nil {
		return err
	}
	if !f.src.within(uint64(at), 4) {
		return f.src.truncated("PE header", uint64(at), 4)
	}
	if err := f.src.decode(uint64(at)+4, binary.LittleEndian, &f.head, "PE header"); err != nil {
		return err
	}
	f.Machine = peMachine(f.head.Machine)
	f.GOARCH = peArch(f.head.Machine)
	switch c := f.head.Characteristics; {
	case c&pe.IMAGE_FILE_DLL != 0:
		f.Type = TypeLibrary
	case c&pe.IMAGE_FILE_EXECUTABLE_IMAGE != 0:
		f.Type = TypeExecutable
	default:
		f.Type = TypeObject
	}
	f.Info.header("characteristics", "%#x", f.head.Characteristics)
	f.Info.header("time stamp", "%#x", f.head.TimeDateStamp)
	return f.optional(uint64(at) + 4 + uint64(binary.Size(f.head)))
}

// optional reads the optional header, which may end before its last directories.
func (f *peFile) optional(at uint64) error {
	size := uint64(f.head.SizeOfOptionalHeader)
	b, err := f.src.read(at, size, "optional header")
	if err != nil || len(b) < 2 {
		return err
	}
	padded := append(b, make([]byte, 256)...)
	var dirs []pe.DataDirectory
	var n, subsystem, entry uint32
	switch binary.LittleEndian.Uint16(b) {
	case pe32:
		var o pe.OptionalHeader32
		if _, err := binary.Decode(padded, binary.LittleEndian, &o); err != nil {
			return err
		}
		f.Bits, f.base, dirs, n = 32, uint64(o.ImageBase), o.DataDirectory[:], o.NumberOfRvaAndSizes
		subsystem, entry = uint32(o.Subsystem), o.AddressOfEntryPoint
	case pe32Plus:
		var o pe.OptionalHeader64
		if _, err := binary.Decode(padded, binary.LittleEndian, &o); err != nil {
			return err
		}
		f.Bits, f.base, dirs, n = 64, o.ImageBase, o.DataDirectory[:], o.NumberOfRvaAndSizes
		subsystem, entry = uint32(o.Subsystem), o.AddressOfEntryPoint
	default:
		return malformed("its optional header begins with %#x, which is neither PE32 nor PE32+", b[:2])
	}
	if n > peImport {
		f.imports = dirs[peImport]
	}
	f.Info.header("image base", "%s", hex64(f.base))
	f.Info.header("entry", "%s", hex64(f.base+uint64(entry)))
	f.Info.header("subsystem", "%s", peSubsystem(subsystem))
	return nil
}

// readSections reads the section table, which follows the optional header; the
// bytes of sections must be in the file.
func (f *peFile) readSections() error {
	var at uint32
	if err := f.src.decode(peOffset, binary.LittleEndian, &at, "DOS header"); err != nil {
		return err
	}
	table := uint64(at) + 4 + uint64(binary.Size(f.head)) + uint64(f.head.SizeOfOptionalHeader)
	n := int(f.head.NumberOfSections)
	if n > MaxSections {
		f.note("%d of %d sections are left out", n-MaxSections, n)
		n = MaxSections
	}
	f.sections = make([]pe.SectionHeader32, n)
	if err := f.src.decode(table, binary.LittleEndian, f.sections, "section table"); err != nil {
		f.sections = nil
		return err
	}
	if err := f.stringTable(); err != nil {
		return err
	}
	for k := range f.sections {
		if err := f.addSection(&f.sections[k]); err != nil {
			return err
		}
	}
	return nil
}

// stringTable finds the string table, whose size comes first. It follows the
// symbol table at the end of the file, so it shows whether that is there.
func (f *peFile) stringTable() error {
	if f.head.PointerToSymbolTable == 0 {
		return nil
	}
	f.texts = uint64(f.head.PointerToSymbolTable) + uint64(f.head.NumberOfSymbols)*pe.COFFSymbolSize
	var size uint32
	if err := f.src.decode(f.texts, binary.LittleEndian, &size, "string table"); err != nil {
		return err
	}
	if !f.src.within(f.texts, uint64(size)) {
		return f.src.truncated("string table", f.texts, uint64(size))
	}
	return nil
}

// addSection records one section.
func (f *peFile) addSection(s *pe.SectionHeader32) error {
	name, err := f.sectionName(cstring(s.Name[:]))
	if err != nil {
		return err
	}
	if s.PointerToRawData != 0 && !f.src.within(uint64(s.PointerToRawData), uint64(s.SizeOfRawData)) {
		return f.src.truncated(fmt.Sprintf("section %q", name), uint64(s.PointerToRawData), uint64(s.SizeOfRawData))
	}
	size := uint64(s.VirtualSize)
	if size == 0 {
		size = uint64(s.SizeOfRawData)
	}
	c := s.Characteristics
	f.Sections = append(f.Sections, Section{Name: name, Address: f.base + uint64(s.VirtualAddress), Offset: uint64(s.PointerToRawData), Size: size,
		Flags: rwx(c&peRead != 0, c&peWrite != 0, c&peExecute != 0)})
	return nil
}

// sectionName resolves a name as "/123", an offset in the string table.
func (f *peFile) sectionName(name string) (string, error) {
	off, err := strconv.ParseUint(strings.TrimPrefix(name, "/"), 10, 32)
	if f.texts == 0 || err != nil || !strings.HasPrefix(name, "/") {
		return name, nil
	}
	b, err := f.src.some(f.texts+off, MaxText)
	if err != nil || len(b) == 0 {
		return name, err
	}
	return cstring(b), nil
}

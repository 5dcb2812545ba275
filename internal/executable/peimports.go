package executable

import (
	"debug/pe"
	"encoding/binary"
	"fmt"
)

// readImports reads the names of the DLLs in the import directory.
func (f *peFile) readImports() error {
	off, ok := f.fileOffset(uint64(f.imports.VirtualAddress))
	if f.imports.VirtualAddress == 0 || !ok {
		return nil
	}
	table, err := f.src.some(off, (MaxLibraries+1)*peImportSize)
	if err != nil {
		return err
	}
	for ; len(table) >= peImportSize; table = table[peImportSize:] {
		rva := binary.LittleEndian.Uint32(table[12:]) // Name
		if rva == 0 {
			return nil
		}
		if len(f.Libraries) == MaxLibraries {
			f.note("linked libraries beyond the first %d are left out", MaxLibraries)
			return nil
		}
		at, ok := f.fileOffset(uint64(rva))
		if !ok {
			continue
		}
		name, err := f.src.some(at, MaxText)
		if err != nil {
			return err
		}
		f.Libraries = append(f.Libraries, cstring(name))
	}
	return nil
}

// fileOffset is where in the file the byte at a relative virtual address lies.
func (f *peFile) fileOffset(rva uint64) (uint64, bool) {
	for i := range f.sections {
		s := &f.sections[i]
		if start := uint64(s.VirtualAddress); rva >= start && rva-start < uint64(s.SizeOfRawData) {
			return uint64(s.PointerToRawData) + (rva - start), true
		}
	}
	return 0, false
}

// build reads Go build information, which is in the first writable section.
func (f *peFile) build() error {
	for i := range f.sections {
		s := &f.sections[i]
		if s.SizeOfRawData == 0 || s.Characteristics&(peInit|peRead|peWrite|peExecute) != peInit|peRead|peWrite {
			continue
		}
		return f.goBuild(f.src, uint64(s.PointerToRawData), f.base+uint64(s.VirtualAddress), uint64(s.SizeOfRawData))
	}
	return nil
}

// peMachine names a machine.
func peMachine(m uint16) string {
	switch m {
	case pe.IMAGE_FILE_MACHINE_AMD64:
		return "IMAGE_FILE_MACHINE_AMD64"
	case pe.IMAGE_FILE_MACHINE_I386:
		return "IMAGE_FILE_MACHINE_I386"
	case pe.IMAGE_FILE_MACHINE_ARM64:
		return "IMAGE_FILE_MACHINE_ARM64"
	case pe.IMAGE_FILE_MACHINE_ARMNT:
		return "IMAGE_FILE_MACHINE_ARMNT"
	}
	return fmt.Sprintf("IMAGE_FILE_MACHINE %#x", m)
}

// peSubsystem names a subsystem.
func peSubsystem(n uint32) string {
	switch n {
	case pe.IMAGE_SUBSYSTEM_WINDOWS_GUI:
		return "windows gui"
	case pe.IMAGE_SUBSYSTEM_WINDOWS_CUI:
		return "windows console"
	}
	return fmt.Sprint(n)
}

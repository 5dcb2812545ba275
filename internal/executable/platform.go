package executable

import (
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"strings"
)

// elfOS names the operating systems that the ELF header can name. Most programs
// for Linux name none.
var elfOS = map[elf.OSABI]string{
	elf.ELFOSABI_LINUX:   "linux",
	elf.ELFOSABI_FREEBSD: "freebsd",
	elf.ELFOSABI_NETBSD:  "netbsd",
	elf.ELFOSABI_OPENBSD: "openbsd",
	elf.ELFOSABI_SOLARIS: "solaris",
}

// elfArch is Go's name of an ELF machine, "" when it has none.
func elfArch(m elf.Machine, wide, little bool) string {
	type key struct {
		m            elf.Machine
		wide, little bool
	}
	return map[key]string{
		{elf.EM_X86_64, true, true}:    "amd64",
		{elf.EM_386, false, true}:      "386",
		{elf.EM_ARM, false, true}:      "arm",
		{elf.EM_AARCH64, true, true}:   "arm64",
		{elf.EM_LOONGARCH, true, true}: "loong64",
		{elf.EM_MIPS, false, false}:    "mips",
		{elf.EM_MIPS, false, true}:     "mipsle",
		{elf.EM_MIPS, true, false}:     "mips64",
		{elf.EM_MIPS, true, true}:      "mips64le",
		{elf.EM_PPC64, true, false}:    "ppc64",
		{elf.EM_PPC64, true, true}:     "ppc64le",
		{elf.EM_RISCV, true, true}:     "riscv64",
		{elf.EM_S390, true, false}:     "s390x",
		{elf.EM_SPARCV9, true, false}:  "sparc64",
	}[key{m, wide, little}]
}

// loaderOS tells the operating system by its dynamic loader, "" if it cannot.
func loaderOS(path string) string {
	for _, l := range []struct{ part, goos string }{
		{"/system/bin/linker", "android"},
		{"/ld-linux", "linux"},
		{"/ld-musl-", "linux"},
		{"/lib/ld64.so", "linux"},
		{"/libexec/ld-elf.so", "freebsd"},
		{"/libexec/ld.elf_so", "netbsd"},
		{"/usr/libexec/ld.so", "openbsd"},
		{"/lib/amd64/ld.so.1", "solaris"},
	} {
		if strings.Contains(path, l.part) {
			return l.goos
		}
	}
	return ""
}

// peArch is Go's name of a PE machine, "" when it has none.
func peArch(m uint16) string {
	switch m {
	case pe.IMAGE_FILE_MACHINE_AMD64:
		return "amd64"
	case pe.IMAGE_FILE_MACHINE_I386:
		return "386"
	case pe.IMAGE_FILE_MACHINE_ARM64:
		return "arm64"
	case pe.IMAGE_FILE_MACHINE_ARM, pe.IMAGE_FILE_MACHINE_ARMNT:
		return "arm"
	}
	return ""
}

// machoArch is Go's name of a Mach-O processor, "" when it has none.
func machoArch(c macho.Cpu) string {
	switch c {
	case macho.CpuAmd64:
		return "amd64"
	case macho.Cpu386:
		return "386"
	case macho.CpuArm64:
		return "arm64"
	case macho.CpuArm:
		return "arm"
	case macho.CpuPpc64:
		return "ppc64"
	}
	return ""
}

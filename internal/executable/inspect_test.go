package executable

import (
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/hex"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// platforms covers every format, both widths and both byte orders.
var platforms = []struct {
	goos, goarch string
	format       Format
	bits         int
	order        string
}{
	{"linux", "amd64", FormatELF, 64, "little"},
	{"linux", "arm64", FormatELF, 64, "little"},
	{"linux", "mips", FormatELF, 32, "big"},
	{"windows", "amd64", FormatPE, 64, "little"},
	{"windows", "386", FormatPE, 32, "little"},
	{"darwin", "amd64", FormatMachO, 64, "little"},
	{"darwin", "arm64", FormatMachO, 64, "little"},
}

func TestInspectPrograms(t *testing.T) {
	for _, p := range platforms {
		t.Run(p.goos+"-"+p.goarch, func(t *testing.T) {
			t.Parallel()
			path := hello(t, p.goos, p.goarch)
			i := inspected(t, path)
			if i.Damage != nil || len(i.Notes) > 0 {
				t.Errorf("damage %v, notes %q", i.Damage, i.Notes)
			}
			if i.Format != p.format || i.GOOS != p.goos || i.GOARCH != p.goarch || i.Bits != p.bits || i.ByteOrder != p.order {
				t.Errorf("%s %s/%s %d bits %s, want %v", i.Format, i.GOOS, i.GOARCH, i.Bits, i.ByteOrder, p)
			}
			if i.Platform() != p.goos+"/"+p.goarch {
				t.Errorf("Platform() = %q", i.Platform())
			}
			b := bytesOf(t, path, nil)
			if sum := sha256.Sum256(b); i.Digest != hex.EncodeToString(sum[:]) || i.Size != int64(len(b)) {
				t.Errorf("size %d, digest %s", i.Size, i.Digest)
			}
			if err := i.Runnable(p.goos, p.goarch); err != nil {
				t.Errorf("Runnable: %v", err)
			}
			sameBuild(t, path, i)
			sameParts(t, path, i)
		})
	}
}

// sameBuild compares with debug/buildinfo.
func sameBuild(t *testing.T, path string, i *Info) {
	t.Helper()
	want, err := buildinfo.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b := i.Build
	if b == nil {
		t.Fatal("no build information")
	}
	if b.GoVersion != want.GoVersion || b.Package != want.Path || b.Module != want.Main.Path || b.Version != want.Main.Version ||
		len(b.Deps) != len(want.Deps) || b.GOOS != i.GOOS || b.GOARCH != i.GOARCH {
		t.Errorf("build %+v, want %v", b, want)
	}
	var settings []Field
	for _, s := range want.Settings {
		settings = append(settings, Field{s.Key, s.Value})
	}
	if !slices.Equal(b.Settings, settings) {
		t.Errorf("settings %v, want %v", b.Settings, settings)
	}
}

// sameParts compares sections, segments and libraries with the readers of the
// standard library.
func sameParts(t *testing.T, path string, i *Info) {
	t.Helper()
	var want, got []Section
	var libraries []string
	var err error
	switch i.Format {
	case FormatELF:
		var f *elf.File
		if f, err = elf.Open(path); err == nil {
			defer f.Close()
			libraries, err = f.ImportedLibraries()
			for _, s := range f.Sections[1:] {
				want = append(want, Section{Name: s.Name, Address: s.Addr, Offset: s.Offset, Size: s.FileSize}) // Size is that without compression
			}
			for n, p := range f.Progs {
				if s := i.Segments[n]; s.Name != p.Type.String() || s.Address != p.Vaddr || s.Offset != p.Off || s.FileSize != p.Filesz || s.MemSize != p.Memsz {
					t.Errorf("segment %d = %v, want %v", n, s, p)
				}
			}
		}
	case FormatPE:
		var f *pe.File
		if f, err = pe.Open(path); err == nil {
			defer f.Close()
			libraries, err = []string{"kernel32.dll"}, nil // ImportedLibraries of debug/pe is not written
			for _, s := range f.Sections {
				want = append(want, Section{Name: s.Name, Offset: uint64(s.Offset), Size: uint64(s.VirtualSize)})
			}
		}
	case FormatMachO:
		var f *macho.File
		if f, err = macho.Open(path); err == nil {
			defer f.Close()
			libraries, err = f.ImportedLibraries()
			for _, s := range f.Sections {
				want = append(want, Section{Name: s.Seg + "," + s.Name, Address: s.Addr, Offset: uint64(s.Offset), Size: s.Size})
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range i.Sections {
		s.Flags = ""
		if i.Format == FormatPE {
			s.Address = 0 // debug/pe has it relative to the image
		}
		got = append(got, s)
	}
	if len(want) < 5 || !slices.Equal(got, want) {
		t.Errorf("sections\n%v, want\n%v", got, want)
	}
	if !slices.Equal(i.Libraries, libraries) {
		t.Errorf("libraries %q, want %q", i.Libraries, libraries)
	}
}

func TestSectionFlags(t *testing.T) {
	t.Parallel()
	i := inspected(t, hello(t, "linux", "amd64"))
	flags := map[string]string{}
	for _, s := range i.Sections {
		flags[s.Name] = s.Flags
	}
	for name, want := range map[string]string{".text": "r-x", ".gopclntab": "r--", ".go.buildinfo": "rw-", ".symtab": "---"} {
		if flags[name] != want {
			t.Errorf("flags of %s = %q, want %q", name, flags[name], want)
		}
	}
	if i.BuildID == "" || i.Type != TypeExecutable || i.Interpreter != "" {
		t.Errorf("build ID %q, type %s, interpreter %q", i.BuildID, i.Type, i.Interpreter)
	}
}

func TestPositionIndependent(t *testing.T) {
	t.Parallel()
	i := inspected(t, hello(t, "linux", "amd64", "-buildmode=pie"))
	if i.Type != TypePIE || !strings.Contains(i.Interpreter, "ld-linux") || i.Runnable("linux", "amd64") != nil {
		t.Errorf("type %s, interpreter %q, %v", i.Type, i.Interpreter, i.Runnable("linux", "amd64"))
	}
}

// A program whose section headers are stripped still starts, and its build
// information is found in the data segment.
func TestWithoutSections(t *testing.T) {
	t.Parallel()
	whole := inspected(t, hello(t, "linux", "amd64"))
	i := inspected(t, fileOf(t, bytesOf(t, whole.Path, func(b []byte) []byte {
		clear(b[0x28:0x30]) // e_shoff
		clear(b[0x3a:0x40]) // e_shentsize, e_shnum, e_shstrndx
		return b
	}), 0o755))
	if len(i.Sections) != 0 || i.Build == nil || i.Build.GoVersion != whole.Build.GoVersion || i.Runnable("linux", "amd64") != nil {
		t.Errorf("%d sections, build %+v, %v", len(i.Sections), i.Build, i.Runnable("linux", "amd64"))
	}
}

func TestFat(t *testing.T) {
	t.Parallel()
	b := fatOf(t, bytesOf(t, hello(t, "darwin", "amd64"), nil), bytesOf(t, hello(t, "darwin", "arm64"), nil))
	i := inspected(t, fileOf(t, b, 0o755))
	if i.Format != FormatFat || i.Platform() != "darwin/amd64+arm64" || i.Build == nil || i.Size != int64(len(b)) || i.Digest == "" {
		t.Errorf("format %s, platform %s, build %v", i.Format, i.Platform(), i.Build)
	}
	if runtime.GOARCH == "arm64" && i.GOARCH != "arm64" {
		t.Errorf("describes the part for %s", i.GOARCH)
	}
	for arch, want := range map[string]bool{"amd64": true, "arm64": true, "386": false} {
		if err := i.Runnable("darwin", arch); (err == nil) != want {
			t.Errorf("Runnable(darwin, %s) = %v", arch, err)
		}
	}
	cut := inspected(t, fileOf(t, b[:len(b)-1], 0o755))
	if cut.Damage == nil || cut.Damage.Check != CheckTruncated || cut.Format != FormatFat {
		t.Errorf("cut by a byte: %v", cut.Damage)
	}
}

// TestCut cuts programs at many places: none of the parts passes for a program.
func TestCut(t *testing.T) {
	for _, p := range platforms {
		t.Run(p.goos+"-"+p.goarch, func(t *testing.T) {
			t.Parallel()
			b := bytesOf(t, hello(t, p.goos, p.goarch), nil)
			path := fileOf(t, b, 0o755)
			cuts := []int{len(b) - 1, len(b) - 100}
			for n := len(b) * 9 / 10; n > 8; n = n * 3 / 4 {
				cuts = append(cuts, n)
			}
			for _, n := range cuts {
				if err := os.Truncate(path, int64(n)); err != nil {
					t.Fatal(err)
				}
				i := inspected(t, path)
				if i.Damage == nil || n > 64 && i.Damage.Check != CheckTruncated {
					t.Errorf("cut to %d of %d bytes: %v", n, len(b), i.Damage)
				}
			}
		})
	}
}

// TestLimits feeds headers that speak of far more than there is.
func TestLimits(t *testing.T) {
	t.Parallel()
	i := inspected(t, fileOf(t, manySections(t), 0o755))
	if len(i.Sections) != MaxSections || len(i.Notes) != 1 || i.Damage != nil {
		t.Errorf("%d sections, notes %q, damage %v", len(i.Sections), i.Notes, i.Damage)
	}
	total := 0
	for _, s := range i.Sections {
		total += len(s.Name)
	}
	if total > MaxSections*MaxText {
		t.Errorf("%d bytes of names", total)
	}
}

func TestInspectClosesFiles(t *testing.T) {
	dir := "/proc/self/fd"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("descriptors cannot be counted here")
	}
	open := func() (names []string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if to, _ := os.Readlink(filepath.Join(dir, e.Name())); strings.HasPrefix(to, builds.dir) || strings.HasPrefix(to, t.TempDir()) {
				names = append(names, to)
			}
		}
		return names
	}
	for _, path := range []string{native(t), fileOf(t, nil, 0o755), fileOf(t, []byte("#!/bin/sh\n"), 0o755)} {
		_ = Check(path)
	}
	if left := open(); len(left) > 0 {
		t.Errorf("left open: %q", left)
	}
}

package executable

import (
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// refused requires a complete CheckError of a kind.
func refused(t *testing.T, err error, want Kind, text string) {
	t.Helper()
	ce, ok := errors.AsType[*CheckError](err)
	if !ok {
		t.Fatalf("error %v, want check %s", err, want)
	}
	if ce.Check != want || !strings.Contains(ce.Error(), text) {
		t.Errorf("check %s: %v; want %s with %q", ce.Check, ce, want, text)
	}
	if ce.Path == "" || ce.Hint == "" || !errors.Is(ce, ce.Err) || !strings.Contains(ce.Error(), ce.Hint) {
		t.Errorf("incomplete error %+v", ce)
	}
}

func TestRunnableElsewhere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		built, target string
		want          Kind // "" for none
		text          string
	}{
		{"linux/arm64", "linux/arm64", "", ""},
		{"linux/arm64", "android/arm64", "", ""},
		{"linux/arm64", "linux/riscv64", CheckPlatform, "built for linux/arm64, the target is linux/riscv64; build it with GOOS=linux GOARCH=riscv64"},
		{"linux/arm64", "freebsd/arm64", CheckPlatform, "the target is freebsd/arm64"},
		{"linux/mips", "linux/mipsle", CheckPlatform, "built for linux/mips"},
		{"windows/amd64", "linux/riscv64", CheckFormat, "of format pe, built for windows/amd64"},
		{"windows/amd64", "windows/arm64", CheckPlatform, "built for windows/amd64"},
		{"darwin/amd64", "darwin/arm64", CheckPlatform, "built for darwin/amd64"},
		{"darwin/arm64", "ios/arm64", CheckPlatform, "built for darwin/arm64"},
		{"linux/amd64", "plan9/amd64", CheckFormat, "unsupported"},
	} {
		goos, goarch, _ := strings.Cut(c.built, "/")
		err := inspected(t, hello(t, goos, goarch)).Runnable(splitPlatform(c.target))
		if c.want == "" {
			if err != nil {
				t.Errorf("%s on %s: %v", c.built, c.target, err)
			}
			continue
		}
		refused(t, err, c.want, c.text)
		if got := errors.Is(err, errors.ErrUnsupported); got != (c.target == "plan9/amd64") {
			t.Errorf("%s on %s: errors.Is(%v, ErrUnsupported) = %v", c.built, c.target, err, got)
		}
	}
}

func splitPlatform(p string) (goos, goarch string) {
	goos, goarch, _ = strings.Cut(p, "/")
	return goos, goarch
}

func TestMessageNamesThisMachine(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" || runtime.GOARCH == "arm64" {
		t.Skip("needs linux on another architecture than arm64")
	}
	refused(t, Check(hello(t, "linux", "arm64")), CheckPlatform, "it is built for linux/arm64, this machine is linux/"+runtime.GOARCH)
}

// TestDamage has every file that no machine can start.
func TestDamage(t *testing.T) {
	t.Parallel()
	exe := bytesOf(t, hello(t, "linux", "amd64"), nil)
	edit := func(at int, b ...byte) []byte {
		out := append([]byte(nil), exe...)
		copy(out[at:], b)
		return out
	}
	library := program(elf.ET_DYN, nil)
	library.head.Entry = 0
	for _, c := range []struct {
		name string
		data []byte
		want Kind
		text string
	}{
		{"empty", nil, CheckEmpty, "it is empty"},
		{"garbage", []byte("\x00\x01\x02\x03garbage\xff\xfe"), CheckFormat, "00 01 02 03"},
		{"one byte", []byte{0}, CheckFormat, "no program format"},
		{"elf magic only", []byte("\x7fELF"), CheckTruncated, "ELF header ends at byte 16, the file at byte 4"},
		{"elf header cut", exe[:40], CheckTruncated, "ELF header"},
		{"elf program headers cut", exe[:100], CheckTruncated, "table of program headers"},
		{"elf program headers beyond the end", edit(0x20, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), CheckTruncated, "beyond any file"},
		{"elf section headers beyond the end", edit(0x28, 0, 0, 0, 0x7f), CheckTruncated, "table of section headers"},
		{"elf segment cut", exe[:len(exe)/3], CheckTruncated, "segment"},
		{"elf last section cut", exe[:len(exe)-1], CheckTruncated, "table of section names"},
		{"elf class", edit(4, 9), CheckFormat, "class 9"},
		{"elf byte order", edit(5, 9), CheckFormat, "byte order 9"},
		{"elf entry size", edit(0x36, 1), CheckFormat, "have 1 bytes each"},
		{"elf without program headers", edit(0x38, 0, 0), CheckFormat, "nothing of it can be loaded"},
		{"elf with too many program headers", edit(0x38, 0xff, 0xfe), CheckFormat, "more than the limit"},
		{"elf object file", edit(0x10, 1), CheckType, TypeObject},
		{"elf core dump", edit(0x10, 4), CheckType, TypeCore},
		{"elf library", library.bytes(t), CheckType, TypeLibrary},
		{"windows program cut", bytesOf(t, hello(t, "windows", "amd64"), func(b []byte) []byte { return b[:len(b)-1] }), CheckTruncated, ".symtab"},
		{"text", []byte("echo hello\n"), CheckShebang, "#!/bin/sh"},
		{"text of one letter", []byte("ä"), CheckShebang, "without a first line"},
		{"text with a byte order mark", []byte("\ufeff#!/bin/sh\n"), CheckShebang, "byte order mark"},
		{"shebang without interpreter", []byte("#! \necho\n"), CheckShebang, "names no interpreter"},
		{"shebang with CR", []byte("#!/bin/sh\r\necho\r\n"), CheckShebang, "CR LF"},
		{"shebang too long", []byte("#!/" + strings.Repeat("x", 300) + "\n"), CheckShebang, "more than 255 bytes"},
		{"shebang with NUL", []byte("#!/bin/\x00sh\n"), CheckShebang, "NUL"},
		{"java class", []byte("\xca\xfe\xba\xbe\x00\x00\x00\x41\x00\x10"), CheckFormat, "no program format"},
		{"fat of nothing", []byte("\xca\xfe\xba\xbe\x00\x00\x00\x02"), CheckTruncated, "fat header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			i := inspected(t, fileOf(t, c.data, 0o755))
			refused(t, i.Runnable("linux", "amd64"), c.want, c.text)
		})
	}
}

func TestNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, MaxSize+1); err != nil {
		t.Skipf("no sparse files: %v", err)
	}
	refused(t, Check(filepath.Join(dir, "nowhere")), CheckMissing, "check the path")
	if err := Check(filepath.Join(dir, "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not ErrNotExist", err)
	}
	refused(t, Check(dir), CheckDirectory, "it is a directory")
	refused(t, Check(large), CheckSize, "more than the limit")
	refused(t, Check("nul\x00byte"), CheckUnreadable, "invalid argument")
}

// A growing is a file to which somebody writes while it is read.
type growing struct {
	*os.File
	t *testing.T
}

func (g growing) ReadAt(b []byte, off int64) (int, error) {
	f, err := os.OpenFile(g.Name(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		g.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("more"); err != nil {
		g.t.Fatal(err)
	}
	return g.File.ReadAt(b, off)
}

func TestChangedMeanwhile(t *testing.T) {
	t.Parallel()
	path := fileOf(t, []byte("#!/bin/sh\n"), 0o755)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = inspect(path, growing{f, t})
	refused(t, err, CheckChanged, "rename it when it is whole")
}

func TestCheckSelf(t *testing.T) {
	t.Parallel()
	if err := Check(native(t)); err != nil {
		t.Error(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := Check(self); err != nil {
		t.Error(err)
	}
}

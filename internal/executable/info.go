package executable

import (
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// A Format is the kind of a file.
type Format string

// The formats.
const (
	FormatELF     Format = "elf"
	FormatPE      Format = "pe"
	FormatMachO   Format = "mach-o"
	FormatFat     Format = "fat mach-o"
	FormatScript  Format = "script"
	FormatUnknown Format = "unknown"
)

// The types that files have, the same for all formats.
const (
	TypeExecutable = "executable"
	TypePIE        = "position-independent executable"
	TypeLibrary    = "shared library"
	TypeObject     = "object file"
	TypeCore       = "core dump"
	TypeText       = "text" // of an unknown format or a script
	TypeOther      = "other"
)

// An Info is what a file says about itself. Texts are as the file has them, cut
// to their limits and made valid UTF-8, and may hold control characters.
type Info struct {
	Path     string      `json:"path"` // as it was given
	Size     int64       `json:"size"` // bytes
	Mode     fs.FileMode `json:"-"`
	Modified time.Time   `json:"written"` // when the file was last written, UTC
	Digest   string      `json:"digest"`  // SHA-256 of all bytes, in hexadecimal

	Format    Format   `json:"format"`
	GOOS      string   `json:"goos,omitempty"`   // empty when the file does not say
	GOARCH    string   `json:"goarch,omitempty"` // empty when Go has no name for Machine
	Arches    []string `json:"arches,omitempty"` // of a fat file: the GOARCH of each part
	Machine   string   `json:"machine,omitempty"`
	Bits      int      `json:"bits,omitempty"` // 32 or 64
	ByteOrder string   `json:"byte_order,omitempty"`
	Type      string   `json:"type,omitempty"` // TypeExecutable, …

	Headers  []Field   `json:"headers,omitempty"`  // facts that only this format has
	Sections []Section `json:"sections,omitempty"` // in the order of the file
	Segments []Segment `json:"segments,omitempty"` // what is loaded, ELF and Mach-O

	// Interpreter is the path of the dynamic loader, or of what runs a script,
	// and InterpreterArg the rest of the shebang line.
	Interpreter    string   `json:"interpreter,omitempty"`
	InterpreterArg string   `json:"interpreter_arg,omitempty"`
	Libraries      []string `json:"libraries,omitempty"` // needed at start, as they are named

	BuildID string `json:"build_id,omitempty"` // Go build ID, else GNU build ID or Mach-O UUID in hexadecimal
	Build   *Build `json:"build,omitempty"`    // nil for a program that does not carry Go build information

	// Damage says why the file is not a whole program: it is empty, truncated or
	// of an unknown format. Nil means that nothing is wrong with it. The other
	// fields then hold what could be read.
	Damage *CheckError `json:"-"`

	Notes []string `json:"notes,omitempty"` // what was left out and why
}

// A Field is a name and a value.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// A Section is a named part of a file. Fat files: of the part described.
type Section struct {
	Name    string `json:"name"`    // Mach-O: segment and section, "__TEXT,__text"
	Address uint64 `json:"address"` // in memory; 0 when it is not loaded
	Offset  uint64 `json:"offset"`  // in the file, bytes
	Size    uint64 `json:"size"`    // bytes in memory, or in the file when it is not loaded
	Flags   string `json:"flags"`   // "r-x": loaded, writable, executable
}

// A Segment is a range of the file that is mapped as one.
type Segment struct {
	Name     string `json:"name"` // ELF: its type, as PT_LOAD
	Address  uint64 `json:"address"`
	Offset   uint64 `json:"offset"`    // in the file, bytes
	FileSize uint64 `json:"file_size"` // bytes
	MemSize  uint64 `json:"mem_size"`  // bytes; what FileSize lacks is zero
	Flags    string `json:"flags"`     // "r-x"
}

// Platform is GOOS/GOARCH with what is known, as "linux/amd64", "amd64",
// "darwin/amd64+arm64", or "" when nothing is.
func (i *Info) Platform() string {
	arch := strings.Join(i.arches(), "+")
	if arch == "" && i.Machine != "" {
		arch = i.Machine
	}
	if i.GOOS == "" {
		return arch
	}
	return i.GOOS + "/" + arch
}

// arches lists what the file holds code for.
func (i *Info) arches() []string {
	if i.Format == FormatFat {
		return i.Arches
	}
	if i.GOARCH == "" {
		return nil
	}
	return []string{i.GOARCH}
}

// rwx spells permissions.
func rwx(r, w, x bool) string {
	b := []byte("---")
	for i, set := range []bool{r, w, x} {
		if set {
			b[i] = "rwx"[i]
		}
	}
	return string(b)
}

// header adds a fact of the format.
func (i *Info) header(name, format string, args ...any) {
	i.Headers = append(i.Headers, Field{name, fmt.Sprintf(format, args...)})
}

func (i *Info) note(format string, args ...any) {
	i.Notes = append(i.Notes, fmt.Sprintf(format, args...))
}

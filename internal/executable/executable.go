// Package executable tells what a program file is, and whether it can be
// started, without starting it. It reads ELF, PE, Mach-O and fat Mach-O files,
// and scripts with a shebang line.
//
// Start with [Check] to ask whether this machine can start a file, or with
// [Inspect] to learn all about it: [Info] has its headers, sections, linked
// libraries, Go build information and [Fingerprint]. [Info.CheckHere] asks
// about this machine without reading the file again, [Info.Runnable] about any
// other. Errors are of type [*CheckError] and say what to do.
//
// Files are not trusted. Nothing here reads more than a file's headers into
// memory, whatever the headers say; every count, table and text has a limit
// (the constants Max…), and what is left out is told in [Info.Notes]. For that
// reason the package walks the formats by itself, with the types of debug/elf,
// debug/pe and debug/macho but not their readers, which copy one string table
// entry per section or symbol (golang/go#43827, #68454): a file of some
// megabytes can make them, and debug/buildinfo above them, take all memory.
//
// The functions are safe for concurrent use; an Info must not be changed while
// others read it. Every platform reads every format.
package executable

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Limits of what is read of one file. What goes beyond them is left out, with a
// note in [Info.Notes], or refused where it makes the file unusable.
const (
	MaxSize      = 4 << 30 // bytes of the file; larger files are refused
	MaxSections  = 4096    // sections
	MaxSegments  = 1024    // ELF program headers and Mach-O segments
	MaxLibraries = 256     // linked libraries
	MaxArches    = 20      // architectures of a fat Mach-O file
	MaxText      = 256     // bytes of a name
	MaxBuildInfo = 1 << 20 // bytes of Go build information
)

// Inspect reads the file at path, following symbolic links, and tells what it
// is. A file that is empty, damaged or no program at all has an Info too, and
// Info.Damage says what is wrong with it.
//
// The error is a [*CheckError] when there is nothing to tell: the file is
// missing, a directory, not a regular file, unreadable, larger than [MaxSize],
// or was written to meanwhile. Devices and named pipes are not opened.
func Inspect(path string) (*Info, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return inspect(path, f)
}

// open opens a regular file and never blocks.
func open(path string) (*os.File, error) {
	before, err := os.Stat(path)
	if err != nil {
		return nil, openError(path, err)
	}
	if err := regular(path, before); err != nil {
		return nil, err
	}
	// Not to wait for a writer if a named pipe has taken the file's place.
	f, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, openError(path, err)
	}
	after, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, openError(path, err)
	}
	if err := regular(path, after); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// regular refuses what is not a regular file of a size within the limit.
func regular(path string, st fs.FileInfo) error {
	switch {
	case st.IsDir():
		return refuse(path, CheckDirectory, "it is a directory", "name the program file in it")
	case !st.Mode().IsRegular():
		return refuse(path, CheckRegular, "it is not a regular file but "+kindOf(st.Mode()), "name a program file")
	case st.Size() > MaxSize:
		return refuse(path, CheckSize, fmt.Sprintf("its %d bytes are more than the limit of %d", st.Size(), int64(MaxSize)),
			"name a program file, or ship large data beside the program")
	}
	return nil
}

func kindOf(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "of mode " + m.String()
}

// openError says why a file could not be opened.
func openError(path string, err error) *CheckError {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err // the message names the path already
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &CheckError{path, CheckMissing, err, "check the path; a symbolic link may point to a file that is gone"}
	case errors.Is(err, fs.ErrPermission):
		return &CheckError{path, CheckUnreadable, err, "let the user of this process read the file and search its directories"}
	}
	return &CheckError{path, CheckUnreadable, err, "check the path and the file system"}
}

// A file is what inspect needs of an *os.File.
type file interface {
	io.ReaderAt
	Stat() (fs.FileInfo, error)
}

// inspect reads an open file.
func inspect(path string, f file) (*Info, error) {
	before, err := f.Stat()
	if err != nil {
		return nil, openError(path, err)
	}
	info := &Info{Path: path, Size: before.Size(), Mode: before.Mode(), Modified: before.ModTime().UTC(), Format: FormatUnknown}
	sum := sha256.New()
	n, err := io.Copy(sum, io.NewSectionReader(f, 0, before.Size()))
	if err == nil && n == before.Size() {
		err = info.parse(source{f, 0, before.Size()})
	}
	if err != nil {
		return nil, openError(path, err)
	}
	after, err := f.Stat()
	if err != nil {
		return nil, openError(path, err)
	}
	if n != before.Size() || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return nil, refuse(path, CheckChanged, "it changed while it was read",
			"write the new program beside the old one and rename it when it is whole")
	}
	info.Digest = hex.EncodeToString(sum.Sum(nil))
	return info, nil
}

package executable

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
)

// A Kind names what a file failed.
type Kind string

// The checks, in the order in which they are made.
const (
	CheckMissing     Kind = "missing"     // there is no such file
	CheckDirectory   Kind = "directory"   // it is a directory
	CheckRegular     Kind = "regular"     // it is a device, a named pipe or a socket
	CheckSize        Kind = "size"        // it is larger than MaxSize
	CheckUnreadable  Kind = "unreadable"  // it cannot be read
	CheckChanged     Kind = "changed"     // it was written to meanwhile
	CheckEmpty       Kind = "empty"       // it has no bytes
	CheckTruncated   Kind = "truncated"   // its headers speak of bytes beyond its end
	CheckShebang     Kind = "shebang"     // a text without a usable first line
	CheckFormat      Kind = "format"      // of no known format, or not of this system's
	CheckType        Kind = "type"        // a library, an object file or a core dump
	CheckPlatform    Kind = "platform"    // for another operating system or architecture
	CheckMode        Kind = "mode"        // no permission bit says that it is a program
	CheckPermission  Kind = "permission"  // this process must not execute it
	CheckLoader      Kind = "loader"      // its dynamic loader is missing
	CheckInterpreter Kind = "interpreter" // what its first line names cannot be started
)

// A CheckError says why a file cannot be started. It wraps its cause, for
// example fs.ErrNotExist for [CheckMissing].
type CheckError struct {
	Path  string
	Check Kind
	Err   error  // what is wrong
	Hint  string // what to do, an imperative
}

func (e *CheckError) Error() string { return fmt.Sprintf("check %s: %v; %s", e.Path, e.Err, e.Hint) }

// Unwrap returns the cause.
func (e *CheckError) Unwrap() error { return e.Err }

func refuse(path string, k Kind, what, hint string) *CheckError {
	return &CheckError{path, k, errors.New(what), hint}
}

// Runnable reports whether a machine of this platform could start the file, as
// far as the file's bytes say: nil, or a [*CheckError] of a check from
// [CheckEmpty] to [CheckPlatform]. Emulation is not counted on, nor that most
// amd64 systems run 386 programs too. An ELF file that does not name its
// operating system passes for any that uses ELF. For a platform whose programs
// are none of the formats, the error wraps errors.ErrUnsupported.
func (i *Info) Runnable(goos, goarch string) error {
	if err := i.runnable(goos, goarch); err != nil {
		return err // not a nil *CheckError in an error
	}
	return nil
}

func (i *Info) runnable(goos, goarch string) *CheckError {
	if i.Damage != nil {
		return i.Damage
	}
	want := formatOf(goos)
	target := subject(goos, goarch) + " " + goos + "/" + goarch
	build := fmt.Sprintf("build it with GOOS=%s GOARCH=%s, or name the file for that platform", goos, goarch)
	switch {
	case want == FormatUnknown:
		return &CheckError{i.Path, CheckFormat, fmt.Errorf("the programs of %s/%s: %w", goos, goarch, errors.ErrUnsupported),
			"start it there, to see whether it is one"}
	case i.Format == FormatScript && goos == "windows":
		return refuse(i.Path, CheckFormat, "it is a script, which windows does not start by itself", "name the interpreter's program instead")
	case i.Format == FormatScript:
		return nil
	case i.Format != want && (want != FormatMachO || i.Format != FormatFat):
		return refuse(i.Path, CheckFormat, fmt.Sprintf("it is of format %s, built for %s; %s, which starts %s", i.Format, i.Platform(), target, want), build)
	case i.Type != TypeExecutable && i.Type != TypePIE:
		return refuse(i.Path, CheckType, "it is no program: its type is "+i.Type, "name the linked program; for Go, build package main without -buildmode=c-shared, c-archive or plugin")
	case !sameOS(i.GOOS, goos), !slices.Contains(i.arches(), goarch):
		return refuse(i.Path, CheckPlatform, fmt.Sprintf("it is built for %s, %s", i.Platform(), target), build)
	}
	return nil
}

// subject begins the clause that names the platform.
func subject(goos, goarch string) string {
	if goos == runtime.GOOS && goarch == runtime.GOARCH {
		return "this machine is"
	}
	return "the target is"
}

// formatOf is the format of programs on an operating system.
func formatOf(goos string) Format {
	switch goos {
	case "windows":
		return FormatPE
	case "darwin", "ios":
		return FormatMachO
	case "android", "dragonfly", "freebsd", "illumos", "linux", "netbsd", "openbsd", "solaris":
		return FormatELF
	}
	return FormatUnknown
}

// sameOS reports whether goos starts programs for built.
func sameOS(built, goos string) bool {
	switch {
	case built == "", built == goos:
		return true
	case goos == "illumos":
		return built == "solaris"
	case goos == "android":
		return built == "linux"
	}
	return false
}

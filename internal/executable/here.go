package executable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// maxScripts is how many scripts may interpret one another. Linux follows five
// (fs/exec.c); a chain of more than two is a mistake.
const maxScripts = 4

// Check reports whether this machine can start the file at path: nil, or the
// first check that it failed, as a [*CheckError]. Nothing is executed; linked
// libraries are not looked for, and a program that starts may still be the wrong
// one. The file is not read whole, and may change afterwards: compare the
// [Fingerprint] of an [Inspect].
func Check(path string) error {
	if err := checkProgram(path, 0); err != nil {
		return err // not a nil *CheckError in an error
	}
	return nil
}

// CheckHere is [Check] of a file that was inspected: [Info.Runnable] for this
// machine, and then the permission to execute the file and its dynamic loader or
// interpreter, which it looks for in the file system now.
func (i *Info) CheckHere() error {
	if err := i.checkHere(0); err != nil {
		return err
	}
	return nil
}

func (i *Info) checkHere(depth int) *CheckError {
	if err := i.runnable(runtime.GOOS, runtime.GOARCH); err != nil {
		return err
	}
	if err := i.checkMode(); err != nil {
		return err
	}
	switch {
	case i.Format == FormatScript:
		return i.checkInterpreter(depth)
	case i.Format == FormatELF && i.Interpreter != "":
		return i.checkLoader()
	}
	return nil
}

// checkMode looks at the permission to execute.
func (i *Info) checkMode() *CheckError {
	if runtime.GOOS == "windows" { // has no such bits
		return nil
	}
	if i.Mode.Perm()&0o111 == 0 {
		return refuse(i.Path, CheckMode, fmt.Sprintf("it is not executable: its mode is %s", i.Mode.Perm()), "run chmod +x on it")
	}
	if err := mayExecute(i.Path); err != nil {
		return &CheckError{i.Path, CheckPermission, fmt.Errorf("this process must not execute it: %w", err),
			"give its user the permission, or move the file from a file system that is mounted noexec"}
	}
	return nil
}

// checkLoader looks for the dynamic loader of an ELF program.
func (i *Info) checkLoader() *CheckError {
	st, err := os.Stat(i.Interpreter)
	switch {
	case err == nil && st.Mode().IsRegular():
		return nil
	case err == nil:
		err = errors.New("not a regular file")
	case errors.Is(err, fs.ErrNotExist):
		err = fs.ErrNotExist
	}
	return &CheckError{i.Path, CheckLoader, fmt.Errorf("its dynamic loader %q: %w", i.Interpreter, err),
		"build it with CGO_ENABLED=0 so that it needs none, or against the C library of this machine (musl and glibc differ)"}
}

// checkInterpreter looks at what a script's first line names.
func (i *Info) checkInterpreter(depth int) *CheckError {
	fail := func(name string, err error, hint string) *CheckError {
		return &CheckError{i.Path, CheckInterpreter, fmt.Errorf("its interpreter %q: %w", name, err), hint}
	}
	if depth+1 >= maxScripts {
		return fail(i.Interpreter, errors.New("too many scripts that interpret one another"), "name a program in the first line")
	}
	const hint = "install it, or correct the path in the script's first line"
	if err := checkProgram(i.Interpreter, depth+1); err != nil {
		return fail(i.Interpreter, err.Err, hint)
	}
	name := envProgram(i.Interpreter, i.InterpreterArg)
	if name == "" {
		return nil
	}
	if _, err := exec.LookPath(name); err != nil {
		if ee, ok := errors.AsType[*exec.Error](err); ok {
			err = ee.Err
		}
		return fail(name, err, "install it, or add its directory to PATH")
	}
	return nil
}

// checkProgram is Check without a digest.
func checkProgram(path string, depth int) *CheckError {
	f, err := open(path)
	if err == nil {
		defer f.Close()
		var i *Info
		if i, err = peek(path, f); err == nil {
			return i.checkHere(depth)
		}
	}
	if ce, ok := errors.AsType[*CheckError](err); ok {
		return ce
	}
	return openError(path, err)
}

// peek is inspect without a digest.
func peek(path string, f file) (*Info, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	i := &Info{Path: path, Size: st.Size(), Mode: st.Mode(), Format: FormatUnknown}
	return i, i.parse(source{f, 0, st.Size()})
}

// envProgram is the program that env(1) as an interpreter looks for in PATH, ""
// when that cannot be told.
func envProgram(interpreter, arg string) string {
	if filepath.Base(interpreter) != "env" {
		return ""
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(arg, "-S "), " ")
	if strings.HasPrefix(name, "-") || strings.Contains(name, "=") {
		return ""
	}
	return name
}

package executable

import (
	"bytes"
	"errors"
	"strings"
)

// scriptHead is how much of a file shows what it is.
const scriptHead = 4096

// maxShebang is how long a first line may be: BINPRM_BUF_SIZE of Linux 5.1 and
// later (execve(2)); other systems allow more.
const maxShebang = 255

// script reads the first line, "#!" interpreter [argument]: one argument, with
// all blanks inside it, as Linux passes it on.
func (i *Info) script(head []byte) error {
	line, _, ended := bytes.Cut(head, []byte("\n"))
	if len(line) > maxShebang || !ended && len(head) == scriptHead {
		return shebang("its first line has more than 255 bytes", "shorten the path of the interpreter")
	}
	if bytes.HasSuffix(line, []byte("\r")) {
		return shebang("its lines end in CR LF, so that its interpreter's name would end in CR", "save it with Unix line ends")
	}
	if bytes.IndexByte(line, 0) >= 0 {
		return shebang("its first line holds a NUL byte", "save it as text")
	}
	rest := strings.Trim(strings.ToValidUTF8(string(line[2:]), "\uFFFD"), " \t")
	cut := strings.IndexAny(rest, " \t")
	if cut < 0 {
		cut = len(rest)
	}
	i.Interpreter, i.InterpreterArg = rest[:cut], strings.Trim(rest[cut:], " \t")
	if i.Interpreter == "" {
		return shebang("its first line names no interpreter", "begin it with a line as #!/bin/sh")
	}
	return nil
}

// noShebang says why a text is no script.
func noShebang(head []byte) *CheckError {
	if bytes.HasPrefix(head, []byte("\ufeff#!")) {
		return shebang("it begins with a byte order mark, not with #!", "save it as UTF-8 without a byte order mark")
	}
	return shebang("it is a text without a first line that names its interpreter", "begin it with a line as #!/bin/sh, or name the program file")
}

func shebang(what, hint string) *CheckError {
	return &CheckError{Check: CheckShebang, Err: errors.New(what), Hint: hint}
}

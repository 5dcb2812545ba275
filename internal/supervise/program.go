//go:build unix

package supervise

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// A program is one version of what children run.
type program struct {
	path   string   // absolute; a link is not followed, for its name may matter
	argv   []string // argv[0] as it was given
	file   string   // SHA-256 of the file
	digest string   // that of the file and of those that arguments name
	pin    *os.File // the file itself, which outlives its name; nil for a script
}

func (p *program) close() {
	if p != nil && p.pin != nil {
		_ = p.pin.Close()
	}
}

// lookup finds the program of argv as it is now. dir resolves relative paths.
func lookup(argv []string, dir string) (*program, error) {
	name := argv[0]
	if strings.Contains(name, "/") && !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, &StartError{Path: argv[0], Err: unwrapExec(err)}
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, &StartError{Path: argv[0], Err: err}
	}
	p := &program{path: path, argv: argv}
	if err := p.read(dir); err != nil {
		return nil, &StartError{Path: path, Err: err}
	}
	return p, nil
}

// unwrapExec drops the name that the StartError has already.
func unwrapExec(err error) error {
	if e, ok := err.(*exec.Error); ok {
		return e.Err
	}
	return err
}

// read sets digest and pin.
func (p *program) read(dir string) error {
	f, err := os.Open(p.path)
	if os.IsPermission(err) { // may be executable all the same; it has no digest then
		return nil
	} else if err != nil {
		return err
	}
	if err := p.fingerprint(f, dir); err != nil {
		_ = f.Close()
		return err
	}
	if !isBinary(f) {
		return f.Close()
	}
	p.pin = f
	return nil
}

// fingerprint sets file and digest. Arguments often name the script of an
// interpreter or a configuration; what those include in turn is not seen.
func (p *program) fingerprint(f *os.File, dir string) error {
	own := sha256.New()
	if _, err := io.Copy(own, io.NewSectionReader(f, 0, 1<<62)); err != nil {
		return err
	}
	p.file = hex.EncodeToString(own.Sum(nil))
	all := sha256.New()
	_, _ = io.WriteString(all, p.file)
	for _, arg := range p.argv[1:] {
		addFile(all, arg, dir)
	}
	p.digest = hex.EncodeToString(all.Sum(nil))
	return nil
}

// addFile writes the digest of the regular file that arg names, if it does and
// can be read.
func addFile(h io.Writer, arg, dir string) {
	const most = 64 << 20
	if !filepath.IsAbs(arg) {
		arg = filepath.Join(dir, arg)
	}
	info, err := os.Stat(arg)
	if err != nil || !info.Mode().IsRegular() || info.Size() > most {
		return
	}
	if data, err := os.ReadFile(arg); err == nil {
		_, _ = fmt.Fprintf(h, "%s %x\n", arg, sha256.Sum256(data))
	}
}

// isBinary reports whether the kernel runs the file itself: by a descriptor that
// is closed on exec, an interpreter could not open its script.
func isBinary(f *os.File) bool {
	var head [4]byte
	_, err := f.ReadAt(head[:], 0)
	return err == nil && slices.Contains([]string{"\x7fELF", "\xcf\xfa\xed\xfe", "\xca\xfe\xba\xbe"}, string(head[:]))
}

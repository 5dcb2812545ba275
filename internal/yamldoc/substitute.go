package yamldoc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/theseus-run/theseus/script"
)

// maxSubstituted bounds the bytes that references add to one document.
const maxSubstituted = 4 * MaxBytes

// Substitute replaces references in the string values of the document (not in
// keys): ${NAME} and ${NAME:-default} by what lookup returns, ${file:/path} by
// the file's text without trailing line breaks. A default also stands in for an
// empty value. "$${" stands for "${"; "${{ … }}" is left alone. The result stays
// a string, whatever it looks like, and is not looked at again.
//
// A reference to something missing is an error at the value. A nil lookup knows
// no name; a nil readFile allows no files. On error the document is unchanged.
func (d *Doc) Substitute(lookup func(name string) (string, bool), readFile func(path string) ([]byte, error)) error {
	s := substituter{lookup: lookup, readFile: readFile, seen: map[*Node]string{}}
	if d.root != nil {
		s.walk(d.root)
	}
	if err := s.errs.Err(); err != nil {
		return err
	}
	for n, text := range s.seen {
		if n.kind == String && text != n.text {
			n.raw, n.text, n.value = n.text, text, text
		}
	}
	return nil
}

type substituter struct {
	lookup   func(string) (string, bool)
	readFile func(string) ([]byte, error)
	seen     map[*Node]string // new text of strings; other nodes only visited
	added    int
	errs     Errors
}

func (s *substituter) walk(n *Node) {
	if _, ok := s.seen[n]; ok {
		return
	}
	s.seen[n] = ""
	for _, x := range n.items {
		s.walk(x)
	}
	for _, e := range n.pairs {
		s.walk(e.Value)
	}
	if n.kind == String {
		s.seen[n] = s.expand(n)
	}
}

func (s *substituter) expand(n *Node) string {
	if !strings.Contains(n.text, "${") {
		return n.text
	}
	var b strings.Builder
	rest := n.text
	for {
		i := strings.Index(rest, "${")
		if i < 0 {
			b.WriteString(rest)
			return b.String()
		}
		switch {
		case i > 0 && rest[i-1] == '$':
			b.WriteString(rest[:i-1] + "${")
			rest = rest[i+2:]
			continue
		case strings.HasPrefix(rest[i:], "${{"):
			end := strings.Index(rest[i:], "}}")
			if end < 0 {
				b.WriteString(rest)
				return b.String()
			}
			b.WriteString(rest[:i+end+2])
			rest = rest[i+end+2:]
			continue
		}
		end := strings.IndexByte(rest[i:], '}')
		if end < 0 {
			s.fail(n, `write ${NAME}, or "$${" for the text itself`, `"${" without "}"`)
			return n.text
		}
		text, ok := s.reference(n, rest[i+2:i+end])
		if !ok {
			return n.text
		}
		if s.added += len(text); s.added > maxSubstituted {
			s.fail(n, "keep data of this size out of the configuration", "references add more than %d bytes", maxSubstituted)
			return n.text
		}
		b.WriteString(rest[:i] + text)
		rest = rest[i+end+1:]
	}
}

// reference returns what the text between "${" and "}" stands for.
func (s *substituter) reference(n *Node, ref string) (string, bool) {
	if path, ok := strings.CutPrefix(ref, "file:"); ok {
		return s.file(n, path)
	}
	name, fallback, hasFallback := strings.Cut(ref, ":-")
	if !validName(name) {
		s.fail(n, `write ${NAME}, ${NAME:-default}, ${file:/path}, or "$${" for the text itself`, "%q is not a reference", "${"+ref+"}")
		return "", false
	}
	if s.lookup != nil {
		if v, ok := s.lookup(name); ok && (v != "" || !hasFallback) {
			return v, true
		}
	}
	if !hasFallback {
		s.fail(n, fmt.Sprintf("set it, or write ${%s:-default}", name), "environment variable %s is not set", name)
	}
	return fallback, hasFallback
}

func (s *substituter) file(n *Node, path string) (string, bool) {
	if s.readFile == nil {
		s.fail(n, "", "files cannot be read here: ${file:%s}", path)
		return "", false
	}
	text, err := s.readFile(path)
	switch {
	case err != nil:
		s.fail(n, "create the file, or correct the path", "cannot read file %s: %v", path, err)
		return "", false
	case len(text) > MaxBytes:
		s.fail(n, "", "file %s has %d bytes, at most %d are read", path, len(text), MaxBytes)
		return "", false
	}
	return strings.TrimRight(string(text), "\r\n"), true
}

func (s *substituter) fail(n *Node, hint, format string, args ...any) {
	s.errs = append(s.errs, n.Problem(script.Refused, fmt.Sprintf(format, args...), hint))
}

func validName(s string) bool {
	for i, c := range []byte(s) {
		switch {
		case c == '_', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', i > 0 && c >= '0' && c <= '9':
		default:
			return false
		}
	}
	return s != ""
}

// ReadFile reads a file that ${file:/path} names: a regular file of at most
// [MaxBytes], by its absolute path.
func ReadFile(path string) ([]byte, error) {
	if !filepath.IsAbs(path) {
		return nil, errors.New("the path is not absolute")
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() { // a pipe or device could block or never end
		return nil, errors.New("it is not a regular file")
	}
	var f *os.File
	if err == nil {
		f, err = os.Open(path)
	}
	if err != nil {
		if pe, ok := errors.AsType[*os.PathError](err); ok {
			err = pe.Err
		}
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxBytes+1))
}

package tree

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxDepth is how many elements a path may have.
const MaxDepth = 32

// A FileError says why one file or folder keeps a tree from being made.
type FileError struct {
	Path   string // as in [File.Path]; for the root itself the path given to Scan
	Reason string // completes the sentence "<path> …"
	Hint   string // what to do about it; may be empty
	Err    error  // the cause; may be nil
}

// Error returns "path: reason".
func (e *FileError) Error() string { return quoted(e.Path) + ": " + e.Reason }

// Unwrap returns the cause.
func (e *FileError) Unwrap() error { return e.Err }

// quoted returns p as it is when it can be printed safely.
func quoted(p string) string {
	for _, r := range p {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return fmt.Sprintf("%q", p)
		}
	}
	return p
}

// Ignored reports whether an entry with this name, file or folder, is no part of
// an app: dotfiles (with them .git, .theseus and the "..data" of Kubernetes
// volumes), node_modules, and what editors leave for a moment while they save.
func Ignored(name string) bool {
	if name == "" {
		return true
	}
	switch {
	case name[0] == '.', name == "node_modules":
		return true
	case name == "4913": // vim asks with it whether the folder is writable
		return true
	case name[0] == '#' && name[len(name)-1] == '#', name[len(name)-1] == '~': // emacs
		return true
	case strings.Contains(name, "___jb_"): // JetBrains' safe write
		return true
	}
	switch path.Ext(name) {
	case ".swp", ".swo", ".swx", ".tmp":
		return true
	}
	return false
}

// ignored is Ignored with what its place adds: public/.well-known is served.
func ignored(dir, name string) bool {
	return Ignored(name) && (dir != "public" || name != ".well-known")
}

// badName says what is wrong with the text of a path, or returns "".
func badName(p string) (reason, hint string) {
	const rename = "rename it with letters, digits, '-', '_' and '.'"
	if !utf8.ValidString(p) {
		return "its name is not valid UTF-8", rename
	}
	for _, r := range p {
		switch {
		case unicode.IsControl(r):
			return fmt.Sprintf("its name contains the control character %U", r), rename
		case r == '\\':
			return "its name contains a backslash", rename
		}
	}
	if !fs.ValidPath(p) || p == "." {
		return "is not a relative path inside the app", "use a path such as handlers/hello.js"
	}
	if n := strings.Count(p, "/") + 1; n > MaxDepth {
		return fmt.Sprintf("lies %d folders deep; the limit is %d", n, MaxDepth), "move it up"
	}
	return "", ""
}

// maxProblems bounds the errors of one tree; the rest is counted.
const maxProblems = 50

// A namer checks the paths of one tree against each other.
type namer struct {
	seen     map[string]string // folded path → path; folders end in "/"
	problems []error
}

func (n *namer) fail(p, reason, hint string) {
	n.problems = append(n.problems, &FileError{Path: p, Reason: reason, Hint: hint})
}

// add takes the path of one file. Paths come in sorted order.
func (n *namer) add(p string) {
	if len(n.problems) >= maxProblems {
		return
	}
	if reason, hint := badName(p); reason != "" {
		n.fail(p, reason, hint)
		return
	}
	for i := 0; i < len(p); i++ {
		if p[i] == '/' && !n.claim(p[:i], true) {
			return
		}
	}
	n.claim(p, false)
}

func (n *namer) claim(p string, dir bool) bool {
	key, mark := fold(p), p
	if dir {
		mark += "/"
	}
	old, taken := n.seen[key]
	switch {
	case !taken:
		n.seen[key] = mark
		return true
	case old == mark:
		return dir
	case strings.TrimSuffix(old, "/") == p:
		n.fail(p, "is both a file and a folder", "rename one of the two")
	default:
		n.fail(p, "differs only in letter case from "+quoted(strings.TrimSuffix(old, "/")),
			"rename one of the two; some systems cannot hold both")
	}
	return false
}

// fold maps texts that differ only in letter case to one text.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf {
			if 'A' <= r && r <= 'Z' {
				return r + 'a' - 'A'
			}
			return r
		}
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		if 'A' <= least && least <= 'Z' {
			least += 'a' - 'A'
		}
		return least
	}, s)
}

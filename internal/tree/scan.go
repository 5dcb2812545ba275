package tree

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Options bounds what [Scan] reads. The zero value holds the limits of an app.
type Options struct {
	MaxFile   int64 // bytes of one file outside public/; 0 means 1 MiB
	MaxPublic int64 // bytes of one file below public/; 0 means 16 MiB
	MaxTotal  int64 // bytes of all files; 0 means 64 MiB
	MaxFiles  int   // files and folders; 0 means 10,000
}

func (o Options) withDefaults() Options {
	o.MaxFile = cmp.Or(o.MaxFile, 1<<20)
	o.MaxPublic = cmp.Or(o.MaxPublic, 16<<20)
	o.MaxTotal = cmp.Or(o.MaxTotal, 64<<20)
	o.MaxFiles = cmp.Or(o.MaxFiles, 10_000)
	return o
}

// A scan starts over at most attempts times because files changed under it, after
// pauses that grow from one millisecond to 64: 127 ms together.
const attempts = 8

// Scan reads the folder at root, or the single file at root, into a tree. A
// tree of a single file holds it under its base name.
//
// Entries that [Ignored] names are left out, as are sockets and empty folders;
// only public/.well-known is read in spite of its dot. Symbolic links are
// followed while they stay inside the root. Where a link is replaced or a file
// is written while it is read, the scan starts over after a short pause, so that a
// Kubernetes volume is read from one revision or the other. A folder in which several files are
// being written can still be caught half way: internal/watch waits until it is
// still.
//
// Prev, which may be nil, is an earlier tree of the same root. A file whose
// size, times and inode are those seen then is taken over without being read,
// unless it was so young at that time that a later write may have left the same
// times.
//
// The error joins a [*FileError] for each problem, at most 50; for a root that
// does not exist it wraps [fs.ErrNotExist]. Nothing outside the root is read, no
// more than the limits is held in memory, and devices and pipes are not opened.
func Scan(root string, prev *Tree, opt Options) (*Tree, error) {
	opt = opt.withDefaults()
	var moved string
	for n := range attempts {
		if n > 0 {
			time.Sleep(time.Millisecond << (n - 1))
		}
		s := &scanner{opt: opt, prev: prev, started: time.Now(), links: make(map[string]string), stamps: make(map[string]stamp)}
		err := s.run(root)
		if moved = s.moved; moved != "" {
			continue
		}
		if err != nil {
			return nil, err
		}
		return build(s.files, s.stamps)
	}
	return nil, &FileError{Path: moved, Reason: "changes while it is read",
		Hint: "wait until the program that writes it has finished"}
}

// A scanner is one attempt to read a root.
type scanner struct {
	opt     Options
	prev    *Tree
	started time.Time

	root  *os.Root
	names []string          // absolute names of the root, for absolute links
	links map[string]string // each link followed → its target; read once, so that all see the same

	files    []*File
	stamps   map[string]stamp
	total    int64
	count    int
	full     bool // a limit of the whole tree is exceeded; the rest is not looked at
	problems []error
	dropped  int    // problems beyond maxProblems
	moved    string // a path that changed under the scan; start over
}

func (s *scanner) run(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return rootError(name, err)
	}
	switch {
	case info.IsDir():
		err = s.folder(name, info)
	case info.Mode().IsRegular():
		err = s.single(name)
	default:
		return &FileError{Path: name, Reason: "is " + kind(info.Mode()), Hint: "name a folder or a file"}
	}
	if err != nil {
		return err
	}
	if s.dropped > 0 {
		s.problems = append(s.problems, fmt.Errorf("and %d more", s.dropped))
	}
	return errors.Join(s.problems...)
}

func (s *scanner) folder(name string, info fs.FileInfo) error {
	var err error
	if s.root, err = os.OpenRoot(name); err != nil {
		return rootError(name, err)
	}
	defer s.root.Close()
	if abs, err := filepath.Abs(name); err == nil {
		s.names = append(s.names, abs)
		if real, err := filepath.EvalSymlinks(abs); err == nil && real != abs {
			s.names = append(s.names, real)
		}
	}
	s.walk(".", []string{"."})
	for link, target := range s.links {
		if now, err := s.root.Readlink(filepath.FromSlash(link)); err != nil || filepath.ToSlash(now) != target {
			s.moved = link
		}
	}
	if now, err := os.Stat(name); err != nil || !os.SameFile(info, now) {
		s.moved = name
	}
	return nil
}

func (s *scanner) single(name string) error {
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return rootError(name, err)
	}
	if s.root, err = os.OpenRoot(filepath.Dir(real)); err != nil {
		return rootError(name, err)
	}
	defer s.root.Close()
	base := filepath.Base(real)
	info, err := s.root.Lstat(base)
	if err != nil {
		return rootError(name, err)
	}
	s.file(filepath.Base(name), base, info)
	return nil
}

func rootError(name string, err error) error {
	e := &FileError{Path: name, Reason: reason(err), Hint: "check the path", Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Reason = "does not exist"
	case errors.Is(err, fs.ErrPermission):
		e.Hint = "give this user the right to read it"
	}
	return e
}

// reason returns the text of err without the operation and the path.
func reason(err error) string {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		err = pe.Err
	}
	return "cannot be read: " + err.Error()
}

func (s *scanner) fail(p, reason, hint string, err error) {
	if len(s.problems) >= maxProblems {
		s.dropped++
		return
	}
	s.problems = append(s.problems, &FileError{Path: p, Reason: reason, Hint: hint, Err: err})
}

// walk reads the folder dir. Chain holds the real paths of the folders that led
// there, the last being its own.
func (s *scanner) walk(dir string, chain []string) {
	real := chain[len(chain)-1]
	for _, info := range s.list(dir, real) {
		if s.full {
			return
		}
		p, at := path.Join(dir, info.Name()), path.Join(real, info.Name())
		if reason, hint := badName(p); reason != "" {
			s.fail(p, reason, hint, nil)
			continue
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			var ok bool
			if at, info, ok = s.follow(p, real); !ok {
				continue
			}
		}
		switch mode := info.Mode(); {
		case mode.IsDir() && slices.Contains(chain, at):
			s.fail(p, "is a link to a folder that it lies in", "remove the link", nil)
		case mode.IsDir():
			s.walk(p, append(slices.Clone(chain), at))
		case mode.IsRegular():
			s.file(p, at, info)
		case mode&fs.ModeSocket != 0: // listen: unix:… may put one here
		default:
			s.fail(p, "is "+kind(mode), "an app holds only plain files; remove it", nil)
		}
	}
}

// list returns what the folder dir holds and is not ignored, sorted by name.
func (s *scanner) list(dir, real string) []fs.FileInfo {
	f, err := s.root.Open(filepath.FromSlash(real))
	if err != nil {
		s.unreadable(dir, err)
		return nil
	}
	defer f.Close()
	var out []fs.FileInfo
	for {
		batch, err := f.ReadDir(512)
		for _, e := range batch {
			if ignored(dir, e.Name()) {
				continue
			}
			info, err := e.Info()
			if err != nil {
				s.unreadable(path.Join(dir, e.Name()), err)
				continue
			}
			if s.count++; s.count > s.opt.MaxFiles {
				if !s.full {
					s.fail(dir, fmt.Sprintf("brings the app to more than %d files and folders", s.opt.MaxFiles),
						"move what is not part of the app out of its folder", nil)
				}
				s.full = true
				return nil
			}
			out = append(out, info)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			s.unreadable(dir, err)
			return nil
		}
	}
	slices.SortFunc(out, func(a, b fs.FileInfo) int { return strings.Compare(a.Name(), b.Name()) })
	return out
}

// unreadable notes an error of the operating system: what has just vanished
// starts the scan over, the rest is a problem.
func (s *scanner) unreadable(p string, err error) {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.moved = p
	case errors.Is(err, fs.ErrPermission):
		s.fail(p, "cannot be read: permission denied", "give this user the right to read it", err)
	default:
		s.fail(p, reason(err), "", err)
	}
}

// kind names a mode that is neither a folder nor a regular file.
func kind(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "not a regular file"
}

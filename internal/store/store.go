// Package store keeps what a running app must not forget: its generations with
// all their files, which of them is current, and its logs. It is a folder of
// plain files, .theseus/, that ls and cat can read:
//
//	format                   "1": the version of this layout
//	lock                     held while a process writes here; names its id
//	current                  the number of the current generation, "12"
//	generations/000012.json  a [Record]: one generation with the digest of each file
//	objects/ab/cdef…         the content of a file; the path is its sha256
//	log/NAME.ndjson          one JSON value a line; NAME.1.ndjson is the part before
//	tmp/                     files being written; emptied by [Open]
//
// Start with [Open]. A generation is written by [Store.Save] and becomes current
// by [Store.SetCurrent]; each either happens or leaves what was there. The order
// on disk is: objects (write, fsync, rename, fsync of their folders), then the
// record (the same), then current (the same), so that whatever is named exists. A
// file that is damaged nevertheless is found when it is read, by its digest.
//
// One process at a time may write; any number may read with Options.ReadOnly. The
// one that writes can hand that on: [Store.Yield] and [Store.Acquire]. All
// methods are safe for concurrent use. A process reads every layout up to its own
// version, and refuses newer ones with [ErrNewer].
package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

const format = 1

// Options configures a [Store]. The zero value is ready to use.
type Options struct {
	// ReadOnly opens a store that exists without locking or changing it. Methods
	// that write return ErrReadOnly.
	ReadOnly bool

	// NoSync leaves out fsync: what was written survives the end of the process
	// but not a loss of power. For tests and throw-away apps.
	NoSync bool

	fault func(op, name string) error // tests: called before each operation that writes
}

// A Store is an open .theseus folder.
type Store struct {
	dir  string
	disk *disk

	mu       sync.Mutex
	lock     *os.File // nil when read-only
	readOnly bool     // changes under mu and logMu
	lent     bool     // another process may write; changes under mu and logMu
	problems []error
	closed   bool
	doubtful bool            // the last process ended without Close: renames may not be on disk
	records  map[int]Record  // those that can be read
	last     int             // highest number ever seen, readable or not
	unread   int             // records that cannot be read; their objects are unknown
	bad      map[string]bool // objects found damaged
	logMu    sync.Mutex      // guards logs; taken without mu
	logs     map[string]*logFile
}

// Open opens the folder dir, usually APP/.theseus, and creates it when it is
// missing; the folder it lies in must exist. What a crash has left is cleaned
// up. Records that are damaged are left alone and reported by [Store.Problems].
//
// The error is, or wraps, [ErrLocked] when another process writes to dir,
// [ErrNewer] when a newer version wrote it, and [fs.ErrNotExist] when ReadOnly is
// set and there is none; errors of the disk are of type [*Error].
func Open(dir string, opt Options) (*Store, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) && !opt.ReadOnly {
		if err = os.Mkdir(dir, 0o700); err == nil || errors.Is(err, fs.ErrExist) {
			info, err = os.Stat(dir)
		}
	}
	if err != nil {
		return nil, failed("open", dir, err)
	}
	if !info.IsDir() {
		return nil, &Error{Op: "open", Path: dir, Hint: "remove it; theseus keeps a folder there", Err: errNotFolder}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, failed("open", dir, err)
	}
	s := &Store{
		dir: dir, readOnly: opt.ReadOnly,
		disk:    &disk{dir: dir, root: root, noSync: opt.NoSync, fault: opt.fault},
		records: make(map[int]Record), bad: make(map[string]bool), logs: make(map[string]*logFile),
	}
	if err := s.open(); err != nil {
		s.release(false)
		return nil, err
	}
	return s, nil
}

func (s *Store) open() error {
	if !s.readOnly {
		if err := s.takeLock(); err != nil {
			return err
		}
	}
	if err := s.checkFormat(); err != nil {
		return err
	}
	if !s.readOnly {
		if err := s.layOut(); err != nil {
			return err
		}
	}
	if err := s.index(); err != nil {
		return err
	}
	n, err := s.Current()
	if err != nil {
		s.problems = append(s.problems, err)
	} else if _, ok := s.records[n]; n != 0 && !ok {
		s.problems = append(s.problems, &Error{Op: "read", Path: s.disk.name("current"),
			Err: fmt.Errorf("generation %d is current but its record cannot be read", n)})
	}
	s.last = max(s.last, n)
	return nil
}

// checkFormat refuses a store of a newer version.
func (s *Store) checkFormat() error {
	data, err := s.disk.read("format", 64)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	text := string(bytes.TrimSpace(data))
	n, err := strconv.Atoi(text)
	switch {
	case err != nil || n < 1:
		s.problems = append(s.problems, &Error{Op: "read", Path: s.disk.name("format"),
			Err: fmt.Errorf("%q is not a version; taken for %d", text, format)})
	case n > format:
		return &Error{Op: "open", Path: s.dir, Err: fmt.Errorf("%w: it has format %d, this theseus reads up to %d", ErrNewer, n, format),
			Hint: "run the newer theseus, or move the folder away to start without history"}
	}
	return nil
}

// layOut creates what is missing of the layout and empties tmp. The folders below
// objects are made when they are needed: 256 at once take a tenth of a second on a
// slow disk.
func (s *Store) layOut() error {
	for _, dir := range []string{"tmp", "generations", "log", "objects"} {
		if _, err := s.disk.mkdir(dir); err != nil {
			return err
		}
	}
	left, err := s.disk.list("tmp")
	if err != nil {
		return err
	}
	for _, e := range left {
		if err := s.disk.root.RemoveAll("tmp/" + e.Name()); err != nil {
			return failed("remove", s.disk.name("tmp/"+e.Name()), err)
		}
	}
	for name, text := range map[string]string{"format": fmt.Sprintln(format), ".gitignore": "*\n"} {
		if old, err := s.disk.read(name, 64); err == nil && string(old) == text {
			continue
		}
		if err := s.disk.replace(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// index reads the records.
func (s *Store) index() error {
	list, err := s.disk.list("generations")
	if err != nil {
		if s.readOnly && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	for _, e := range list {
		name := "generations/" + e.Name()
		n, ok := recordNumber(e.Name())
		if !ok {
			s.problems = append(s.problems, &Error{Op: "read", Path: s.disk.name(name),
				Err: errors.New("not the name of a record; left alone"), Hint: "remove it"})
			continue
		}
		s.last = max(s.last, n)
		r, err := s.readRecord(n)
		if err != nil {
			s.unread++
			s.problems = append(s.problems, err)
			continue
		}
		s.records[n] = r
	}
	return nil
}

// Dir returns the folder of the store.
func (s *Store) Dir() string { return s.dir }

// Current returns the number of the current generation, 0 when there is none.
func (s *Store) Current() (int, error) {
	data, err := s.disk.read("current", 64)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || n < 1 {
		return 0, &Error{Op: "read", Path: s.disk.name("current"), Err: fmt.Errorf("%q is not the number of a generation", data),
			Hint: "write the number of a file in generations/ into it, or remove it"}
	}
	return n, nil
}

// SetCurrent makes generation n, which must have been saved, the current one. The
// error wraps [ErrNotFound] when it was not. After any error the generation that
// was current still is.
func (s *Store) SetCurrent(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	if _, ok := s.records[n]; !ok {
		return fmt.Errorf("generation %d: %w", n, ErrNotFound)
	}
	old, err := s.Current()
	if err == nil && old == n {
		return nil
	}
	if err := s.disk.replace("current", fmt.Appendln(nil, n), 0o644); err != nil {
		// The rename may have happened while its fsync failed: put back what was.
		if now, e := s.Current(); e == nil && now != old {
			if old == 0 {
				s.disk.root.Remove("current")
			} else {
				err = errors.Join(err, s.disk.replace("current", fmt.Appendln(nil, old), 0o644))
			}
		}
		return err
	}
	return nil
}

// writable reports why nothing may be written. s.mu or s.logMu is held.
func (s *Store) writable() error {
	switch {
	case s.closed:
		return ErrClosed
	case s.readOnly:
		return ErrReadOnly
	}
	return nil
}

// Close ends the logs and gives the lock back. It may be called twice.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logMu.Lock()
	defer s.logMu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.release(true)
}

// release closes what is open. Clean says that nothing is left in doubt.
func (s *Store) release(clean bool) error {
	var errs []error
	for _, l := range s.logs {
		errs = append(errs, l.close(s.disk.noSync))
	}
	if s.lock != nil {
		if clean {
			errs = append(errs, s.lock.Truncate(0)) // an empty lock tells of a clean end
		}
		errs = append(errs, s.lock.Close())
	}
	errs = append(errs, s.disk.root.Close())
	return errors.Join(errs...)
}

// takeLock makes this process the one that writes.
func (s *Store) takeLock() error {
	if err := s.disk.regular("lock"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := s.disk.root.OpenFile("lock", os.O_RDWR|os.O_CREATE|nonblock, 0o644)
	if err != nil {
		return failed("lock", s.disk.name("lock"), err)
	}
	got, err := lockFile(f)
	if err != nil {
		f.Close()
		return failed("lock", s.disk.name("lock"), err)
	}
	text := make([]byte, 32)
	n, _ := f.ReadAt(text, 0)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if !got {
		f.Close()
		return &LockedError{Dir: s.dir, PID: pid}
	}
	s.lock, s.doubtful = f, n > 0
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
	}
	if err != nil {
		return failed("lock", s.disk.name("lock"), err)
	}
	return nil
}

// recordName and recordNumber translate between a generation and its file.
func recordName(n int) string { return fmt.Sprintf("generations/%06d.json", n) }

func recordNumber(file string) (int, bool) {
	digits, ok := strings.CutSuffix(file, ".json")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && n > 0 && path.Base(recordName(n)) == file
}

func objectName(digest string) string { return "objects/" + digest[:2] + "/" + digest[2:] }

// name returns the place of a file of the store for messages.
func (d *disk) name(name string) string { return filepath.Join(d.dir, filepath.FromSlash(name)) }

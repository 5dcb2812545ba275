// Package store keeps what a running app must not forget: the transaction that
// its changes go through, its generations with all their files, and its logs. It
// is a folder of plain files, .theseus/, that ls and cat can read:
//
//	format                   "2": the version of this layout
//	lock                     held while a process writes here; names its id
//	journal                  the transaction (package update): what counts
//	current                  the number of the generation that serves, "12"
//	permanent                that of the one that has proved itself: a cold start loads it
//	anchor                   that of the one that was permanent before
//	generations/000012.json  a [Record]: one generation with the digest of each file
//	objects/ab/cdef…         the content of a file; the path is its sha256
//	log/NAME.ndjson          one JSON value a line; NAME.1.ndjson is the part before
//	data/                    the data of scripts (internal/kv), which the app keeps here
//
// Start with [Open]. A generation becomes part of the store by the files that
// [Store.Save] returns, which go into the journal with the commit that makes the
// generation live: that is one fsync, whatever their number. They are written to
// their places after it, and again by the next Open if a crash prevented that. A
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
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/theseus-run/theseus/internal/disk"
	"github.com/theseus-run/theseus/update"
)

const format = 2

// AppSlot is the slot of the app's generations in the transaction.
const AppSlot = "app"

// Options configures a [Store]. The zero value is ready to use.
type Options struct {
	// ReadOnly opens a store that exists without locking or changing it. Methods
	// that write return ErrReadOnly.
	ReadOnly bool

	// NoSync leaves out fsync: what was written survives the end of the process
	// but not a loss of power. For tests and throw-away apps.
	NoSync bool

	// JournalLimit is the size in bytes at which the journal is begun anew. Zero
	// means 1 MiB.
	JournalLimit int64

	// Now returns the time by the wall clock. Nil means time.Now.
	Now func() time.Time

	// FS is the folder itself, in place of the one that Open was given, which then
	// only stands in messages. Nil means the real one.
	FS disk.FS
}

// A Store is an open .theseus folder.
type Store struct {
	dir  string
	fs   disk.FS
	root io.Closer // nil for Options.FS

	mu      sync.Mutex
	view                   // changes as a whole under mu and logMu
	lock    io.Closer      // nil when read-only
	ledger  *update.Ledger // nil when read-only
	closed  bool
	opening atomic.Bool     // the ledger's: nothing is garbage, and nothing to settle
	bad     map[string]bool // objects found damaged
	keep    int
	protect []int
	limit   int64 // of the journal
	now     func() time.Time

	logMu sync.Mutex // guards what follows; taken without mu
	logs  map[string]*logFile
	unset map[string]*unwritten // lines that could not be appended, by log
}

// A view is the store as one process sees it, from Open or Acquire on.
type view struct {
	readOnly bool
	lent     bool // another process may write
	found    update.Recovered
	problems []error
	records  map[int]Record         // those that can be read
	refs     map[string]int         // how many of them name an object
	last     int                    // highest number ever seen, readable or not
	owed     map[string]bool        // files that the next commit is to remove; true: one was told before
	unread   int                    // records that cannot be read; their objects are unknown
	overlay  map[string]update.File // read-only: what the journal brings along
	shadow   *update.Machine        // read-only: as the journal has it

	logsSynced bool // what was in the logs before would survive a loss of power
}

// Open opens the folder dir, usually APP/.theseus, and creates it when it is
// missing; the folder it lies in must exist. What a crash has left is completed or
// cleaned up. What is damaged is left alone and reported by [Store.Problems].
//
// The error is, or wraps, [ErrLocked] when another process writes to dir,
// [ErrNewer] when a newer version wrote it, and [fs.ErrNotExist] when ReadOnly is
// set and there is none; errors of the disk are of type [*Error].
func Open(dir string, opt Options) (*Store, error) {
	s := &Store{
		dir: dir, view: view{readOnly: opt.ReadOnly}, fs: opt.FS, keep: math.MaxInt, limit: opt.JournalLimit, now: opt.Now,
		bad: make(map[string]bool), logs: make(map[string]*logFile), unset: make(map[string]*unwritten),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.fs == nil {
		root, err := openFolder(dir, opt.ReadOnly)
		if err != nil {
			return nil, err
		}
		s.fs, s.root = root, root
	}
	if opt.NoSync {
		s.fs = disk.WithoutSync(s.fs)
	}
	if err := s.open(); err != nil {
		_ = s.release(false)
		return nil, err
	}
	return s, nil
}

// openFolder opens the folder, or makes it.
func openFolder(dir string, readOnly bool) (*disk.Root, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) && !readOnly {
		if err = os.Mkdir(dir, 0o700); err == nil || errors.Is(err, fs.ErrExist) {
			info, err = os.Stat(dir)
		}
	}
	if err != nil {
		e := disk.Failed("open", dir, err)
		if se, ok := errors.AsType[*Error](e); ok && errors.Is(err, fs.ErrNotExist) {
			se.Hint = "check the path; the app's folder must exist"
		}
		return nil, e
	}
	if !info.IsDir() {
		return nil, &Error{Op: "open", Path: dir, Hint: "remove it; theseus keeps a folder there", Err: errors.New("not a folder")}
	}
	return disk.Open(dir)
}

func (s *Store) open() error {
	s.records, s.refs = make(map[int]Record), make(map[string]int)
	if !s.readOnly {
		if err := s.takeLock(); err != nil {
			return err
		}
	}
	if err := s.checkFormat(); err != nil {
		return err
	}
	if s.readOnly {
		s.readJournal()
	} else if err := s.openLedger(); err != nil {
		return err
	}
	if err := s.index(); err != nil {
		return err
	}
	s.checkPointers()
	if !s.readOnly && !s.found.Clean {
		s.dropUnfinished()
		s.sweep()
	}
	return nil
}

// checkPointers reports pointers of the transaction to what cannot be read.
func (s *Store) checkPointers() {
	m := s.shadow
	if s.ledger != nil {
		m = s.ledger.Machine()
	}
	s.last = max(s.last, m.Slot(AppSlot).Last)
	for _, p := range pointed(m) {
		s.last = max(s.last, p.Number)
		r, ok := s.records[p.Number]
		switch {
		case !ok:
			s.problems = append(s.problems, &Error{Op: "read", Path: s.name("journal"),
				Err: fmt.Errorf("generation %d is %s but its record cannot be read", p.Number, p.name)})
		case p.Digest != "" && p.Digest != r.Digest:
			s.problems = append(s.problems, &Error{Op: "read", Path: s.name(recordName(p.Number)),
				Err: fmt.Errorf("the record is about the tree %.12s; the journal has %.12s as %s", r.Digest, p.Digest, p.name)})
		}
	}
}

// A pointer is a version of the app that has a name.
type pointer struct {
	name string
	update.Version
}

// pointed returns those that the transaction points to.
func pointed(m *update.Machine) (all []pointer) {
	slot := m.Slot(AppSlot)
	for _, p := range []pointer{{"current", slot.Live}, {"permanent", slot.Permanent}, {"anchor", slot.Anchor}} {
		if !p.IsZero() {
			all = append(all, p)
		}
	}
	return all
}

// needed returns the numbers of those.
func needed(m *update.Machine) (all []int) {
	for _, p := range pointed(m) {
		all = append(all, p.Number)
	}
	return all
}

// openLedger lays out what is missing, and brings the transaction back.
func (s *Store) openLedger() error {
	if err := s.layOut(); err != nil {
		return err
	}
	var err error
	s.opening.Store(true)
	defer s.opening.Store(false)
	s.ledger, s.found, err = update.OpenLedger(update.LedgerOptions{FS: s.fs, Pointers: pointers, Garbage: s.garbage, Settle: s.settle, Limit: s.limit, Now: s.now})
	if err != nil {
		return err
	}
	s.problems = append(s.problems, s.found.Problems...)
	for _, name := range s.found.Removed { // of the objects sweep knows which are needed again
		if !strings.HasPrefix(name, "generations/") || s.ledger.Brings(name) {
			continue
		}
		if err := s.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.owe([]string{name})
		}
	}
	return s.adoptOld()
}

// adoptOld begins the transaction of a store whose journal is lost, or of layout 1,
// which had none, from the pointers.
func (s *Store) adoptOld() error {
	if len(s.ledger.Machine().Slots) > 0 {
		return nil
	}
	for _, file := range []string{"permanent", "current"} {
		n, err := s.pointer(file)
		if err != nil {
			s.problems = append(s.problems, err)
		}
		if n == 0 {
			continue
		}
		r, err := s.readRecord(n)
		if err != nil {
			continue // index tells of it
		}
		_, err = s.ledger.Step(update.Adopt{Slot: AppSlot, Version: update.Version{Number: n, Digest: r.Digest}})
		return err
	}
	return nil
}

// pointers are the files that say what the transaction says of the app.
func pointers(m *update.Machine) []update.File {
	var files []update.File
	for _, p := range pointed(m) {
		files = append(files, update.File{Name: p.name, Data: fmt.Appendln(nil, p.Number), Perm: 0o644})
	}
	return files
}

// readJournal shows the store as the one that writes sees it, without changing it.
func (s *Store) readJournal() {
	kept, err := update.Peek(s.fs)
	if err != nil {
		s.problems = append(s.problems, err)
	}
	s.found, s.shadow, s.overlay = kept.Recovered, kept.Machine, kept.Files
	s.problems = append(s.problems, kept.Problems...)
}

// Machine returns a copy of the transaction as it stands.
func (s *Store) Machine() *update.Machine {
	s.mu.Lock()
	l, shadow := s.ledger, s.shadow
	s.mu.Unlock()
	switch {
	case l != nil: // which asks for garbage with its own lock held
		return l.Machine()
	case shadow != nil:
		return shadow.Clone()
	}
	return &update.Machine{}
}

// Step implements [update.Keeper].
func (s *Store) Step(e update.Event, files ...update.File) ([]update.Effect, error) {
	s.mu.Lock()
	err, l := s.writable(), s.ledger
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return l.Step(e, files...)
}

// Recovered tells what Open, or the latest Acquire, found of the journal.
func (s *Store) Recovered() update.Recovered {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.found
}

// checkFormat refuses a store of a newer version.
func (s *Store) checkFormat() error {
	data, err := disk.ReadFile(s.fs, "format", 64)
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
		s.problems = append(s.problems, &Error{Op: "read", Path: s.name("format"),
			Err: fmt.Errorf("%q is not a version; taken for %d", text, format)})
	case n > format:
		return &Error{Op: "open", Path: s.dir, Err: fmt.Errorf("%w: it has format %d, this theseus reads up to %d", ErrNewer, n, format),
			Hint: "run the newer theseus, or move the folder away to start without history"}
	}
	return nil
}

// layOut creates what is missing of the layout. The folders below objects are made
// when they are needed: 256 at once take a tenth of a second on a slow disk.
func (s *Store) layOut() error {
	for _, dir := range []string{"generations", "log", "objects"} {
		if err := s.mkdir(dir); err != nil {
			return err
		}
	}
	for _, dir := range []string{".", "generations", "log"} {
		if err := disk.RemoveTemps(s.fs, dir); err != nil {
			return err
		}
	}
	for _, file := range []struct{ name, text string }{{"format", fmt.Sprintln(format)}, {".gitignore", "*\n"}} {
		name, text := file.name, file.text
		if old, err := disk.ReadFile(s.fs, name, 64); err == nil && string(old) == text {
			continue
		}
		err := disk.ReplaceFile(s.fs, name, []byte(text), 0o644)
		if err != nil && name == "format" { // the other is for the tools of people
			return err
		}
	}
	return nil
}

func (s *Store) mkdir(dir string) error {
	_, err := disk.EnsureDir(s.fs, dir, 0o700)
	return err
}

// index reads the records.
func (s *Store) index() error {
	names, err := s.recordFiles()
	if err != nil {
		return err
	}
	for _, file := range names {
		name := "generations/" + file
		n, ok := recordNumber(file)
		if !ok {
			s.problems = append(s.problems, &Error{Op: "read", Path: s.name(name),
				Err: errors.New("not the name of a record; left alone"), Hint: "remove it"})
			continue
		}
		s.last = max(s.last, n)
		if _, owed := s.owed[name]; owed {
			continue
		}
		r, err := s.readRecord(n)
		if err != nil {
			s.unread++
			s.problems = append(s.problems, err)
			continue
		}
		s.add(r)
	}
	return nil
}

// recordFiles returns the names of the records on the disk and in the journal.
func (s *Store) recordFiles() ([]string, error) {
	list, err := s.fs.ReadDir("generations")
	if err != nil && !(s.readOnly && errors.Is(err, fs.ErrNotExist)) {
		return nil, err
	}
	seen := make(map[string]bool)
	var names []string
	for _, e := range list {
		if strings.Contains(e.Name(), ".tmp-") {
			continue // being written
		}
		seen[e.Name()] = true
		names = append(names, e.Name())
	}
	for name := range s.overlay {
		if file, ok := strings.CutPrefix(name, "generations/"); ok && !seen[file] {
			names = append(names, file)
		}
	}
	return names, nil
}

// add notes a record and what it names.
func (s *Store) add(r Record) {
	s.records[r.Number] = r
	s.last = max(s.last, r.Number)
	for _, e := range r.Files {
		s.refs[e.Digest]++
	}
}

// forget takes a record away, and returns the objects that nothing names any more.
func (s *Store) forget(n int) (unused []string) {
	for _, e := range s.records[n].Files {
		if s.refs[e.Digest]--; s.refs[e.Digest] == 0 {
			delete(s.refs, e.Digest)
			unused = append(unused, e.Digest)
		}
	}
	delete(s.records, n)
	return unused
}

// FS returns the folder itself, for what others keep beside the history.
func (s *Store) FS() disk.FS { return s.fs }

// Dir returns the folder of the store.
func (s *Store) Dir() string { return s.dir }

// Current returns the number of the generation that serves, 0 when there is none.
func (s *Store) Current() int { return s.Machine().Slot(AppSlot).Live.Number }

// pointer reads one of the plain files that name a generation; 0 for none.
func (s *Store) pointer(file string) (int, error) {
	data, err := disk.ReadFile(s.fs, file, 64)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || n < 1 {
		return 0, &Error{Op: "read", Path: s.name(file), Err: fmt.Errorf("%q is not the number of a generation", data)}
	}
	return n, nil
}

// Writable reports whether this process is the one that writes.
func (s *Store) Writable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writable() == nil
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

// Close ends the journal and the logs, and gives the lock back. It may be called
// twice.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	l := s.ledger
	s.mu.Unlock()
	var err error
	if l != nil {
		err = l.Close() // it asks for settle, which takes the logs
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logMu.Lock()
	defer s.logMu.Unlock()
	return errors.Join(err, s.release(true))
}

// release closes what is open.
func (s *Store) release(clean bool) error {
	var errs []error
	if clean && (!s.readOnly || s.lent) {
		errs = append(errs, s.writeAll())
	}
	for _, log := range slices.Sorted(maps.Keys(s.logs)) {
		errs = append(errs, s.logs[log].close())
	}
	if s.ledger != nil && !clean {
		errs = append(errs, s.ledger.Release())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	if s.root != nil {
		errs = append(errs, s.root.Close())
	}
	return errors.Join(errs...)
}

// takeLock makes this process the one that writes.
func (s *Store) takeLock() error {
	lock, ok, err := s.fs.Lock("lock")
	if err != nil {
		return err
	}
	if !ok {
		return &LockedError{Dir: s.dir, PID: disk.Holder(s.fs, "lock")}
	}
	s.lock = lock
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
func (s *Store) name(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

package update

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"
	"time"

	"github.com/theseus-run/theseus/internal/disk"
)

// LedgerOptions configure a [Ledger]. FS is required; the rest may be zero.
type LedgerOptions struct {
	// FS is the folder of the state; the caller holds its lock.
	FS disk.FS

	// Pointers are the small files that say in plain text what the machine says.
	// They are written after each commit, unless they are the same.
	Pointers func(*Machine) []File

	// Garbage returns the files that the machine as it stands makes superfluous. It
	// is asked at each commit between two changes; they are removed once that is
	// durable. Nil means none.
	Garbage func(*Machine) []string

	// Settle is called before the journal is begun anew: what was told of its
	// reports must be durable when it returns. If it fails the new journal has the
	// reports of the old one too. Nil does nothing.
	Settle func() error

	// Limit is the size in bytes at which the journal is begun anew. Zero means
	// 1 MiB.
	Limit int64

	// Now returns the time by the wall clock. Nil means time.Now.
	Now func() time.Time
}

// A Ledger is a [Machine] on a disk: the [Keeper] of a service. Each commit costs one
// fsync. Make it with [OpenLedger]. Methods are safe for concurrent use.
type Ledger struct {
	opt LedgerOptions

	mu       sync.Mutex
	m        *Machine
	seq      uint64
	file     disk.File // of the journal, open at its end; nil before the first record
	size     int64
	durable  uint64          // the number of the last record that was synced
	doubtful bool            // a write failed: it must be begun anew
	pending  map[string]File // files that the journal brings along, and that are not synced
	suspect  map[string]bool // those that a sync may have forgotten: they are written anew
	emptied  map[string]bool // folders that files were removed from, and that are not synced
	untold   []Report        // found by open: the next journal has them too, for nobody may have noted them
	pointers map[string]string
	reports  []Report // since what was told of them was durable; the latest maxReports
	closed   bool
}

// Recovered is what OpenLedger has found.
type Recovered struct {
	Clean    bool     // the process that wrote last ended by itself, or there was none
	Reports  []Report // of the records since the journal was begun; they may be missing in the history
	Torn     int64    // bytes of a last write that was cut off
	Problems []error  // damage: what could be read is used, the damaged file is kept aside

	// Removed are files that were to be removed since the journal was begun, which a
	// loss of power may have brought back. The caller removes them; one may have been
	// made again since, by the journal (see Brings) or beside it.
	Removed []string
}

// errLedgerClosed is why a closed ledger takes no events.
var errLedgerClosed = errors.New("the journal is closed")

// OpenLedger reads the journal and makes the disk agree with it: what a record
// brings along is written again where it is missing. The machine is as it was
// before; who begins a new life gives it [Restart], who goes on for a process that
// hands it over does not.
func OpenLedger(opt LedgerOptions) (*Ledger, Recovered, error) {
	if opt.Limit == 0 {
		opt.Limit = 1 << 20
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	l := &Ledger{opt: opt, m: &Machine{}, pending: map[string]File{}, suspect: map[string]bool{}, emptied: map[string]bool{}, pointers: map[string]string{}}
	rec, err := l.open()
	if err != nil {
		if l.file != nil {
			_ = l.file.Close()
		}
		return nil, rec, fmt.Errorf("journal: %w", err)
	}
	return l, rec, nil
}

// journalFile is the journal's name. MaxJournal bounds what is read of it:
// LedgerOptions.Limit is exceeded by one record at most.
const (
	journalFile = "journal"
	maxJournal  = 64 << 20
)

// A Kept is what the journal in a folder says, for who only reads.
type Kept struct {
	Machine *Machine
	Files   map[string]File // by name: what it brings along, whether the disk has it or not
	Recovered

	data    []byte
	journal Journal
}

// Peek reads the journal in a folder, and changes nothing; the process that keeps it
// may be writing. Without one the machine is the zero Machine.
func Peek(fsys disk.FS) (Kept, error) {
	k := Kept{Machine: &Machine{}, Files: map[string]File{}}
	data, err := disk.ReadFile(fsys, journalFile, maxJournal)
	if errors.Is(err, fs.ErrNotExist) {
		k.Clean = true
		return k, nil
	}
	if err != nil {
		return k, err
	}
	k.data, k.journal = data, ReadJournal(data)
	k.Torn = k.journal.Torn
	for _, r := range k.journal.Records {
		k.Clean, k.Machine = r.End, r.Machine
		k.Reports = append(k.Reports, r.Reports...)
		k.Removed = append(k.Removed, r.Removed...)
		r.note(k.Files)
	}
	for _, d := range k.journal.Damaged {
		k.Problems = append(k.Problems, fmt.Errorf("journal: damaged at byte %d: %s", d.Offset, d.Why))
	}
	return k, nil
}

// note adds what the record brings along to files, and takes away what it removes.
func (r Record) note(files map[string]File) {
	for _, f := range r.Files {
		files[f.Name] = f
	}
	for _, name := range r.Removed {
		delete(files, name)
	}
}

func (l *Ledger) open() (Recovered, error) {
	k, err := Peek(l.opt.FS)
	if err != nil || k.data == nil {
		return k.Recovered, err
	}
	l.m, l.pending, l.seq, l.size, l.untold = k.Machine, k.Files, k.journal.Seq, k.journal.Size, k.Reports
	l.noteReports(k.Reports)
	if err := l.goOn(k.data, k.journal); err != nil {
		return k.Recovered, err
	}
	for _, name := range k.Removed {
		l.emptied[path.Dir(name)] = true
	}
	l.point()
	return k.Recovered, nil
}

// goOn makes what was read durable, for it may come from the memory of a system
// whose process was killed, or of a disk that has failed to sync it: the journal is
// written anew, and so are, in time, the files that it brings along.
func (l *Ledger) goOn(data []byte, j Journal) (err error) {
	for name := range l.pending {
		l.suspect[name] = true
	}
	if len(j.Damaged) > 0 || len(j.Records) == 0 {
		return l.replace(data)
	}
	again := disk.ReplaceFile(l.opt.FS, journalFile, data[:l.size], 0o644)
	if again != nil && !disk.IsFull(again) {
		return again
	}
	l.durable = l.seq
	if l.file, err = l.opt.FS.OpenFile(journalFile, os.O_RDWR|os.O_APPEND, 0); err != nil {
		return err
	}
	if again != nil { // there is no room: what is there must do, for now
		l.doubtful = true
		if err := errors.Join(l.file.Truncate(l.size), l.file.Sync()); err != nil {
			return err
		}
	}
	return l.redo()
}

// remove removes files that nothing needs, in their order, up to one that stays: what
// follows may belong to it. What stays is in nobody's way.
func (l *Ledger) remove(names []string) {
	for _, name := range names {
		if _, again := l.pending[name]; again {
			continue
		}
		l.emptied[path.Dir(name)] = true
		if err := l.opt.FS.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
}

// replace sets a damaged journal aside and begins anew from what could be read.
func (l *Ledger) replace(damaged []byte) error {
	aside := fmt.Sprintf("%s.damaged-%d", journalFile, l.seq)
	if len(damaged) > 0 {
		if err := disk.ReplaceFile(l.opt.FS, aside, damaged, 0o644); err != nil {
			return err
		}
	}
	return l.checkpoint(Record{At: l.opt.Now(), Machine: l.m})
}

// redo writes what the journal brings along and the disk lacks.
func (l *Ledger) redo() error {
	for _, name := range sortedNames(l.pending) {
		if err := l.put(l.pending[name]); err != nil {
			return err
		}
	}
	return nil
}

// put writes a file unless it is there.
func (l *Ledger) put(f File) error {
	old, err := disk.ReadFile(l.opt.FS, f.Name, int64(len(f.Data)))
	if err == nil && string(old) == string(f.Data) {
		return nil
	}
	if err := l.mkdirs(path.Dir(f.Name)); err != nil {
		return err
	}
	return disk.WriteFileLazy(l.opt.FS, f.Name, f.Data, fs.FileMode(f.Perm))
}

// mkdirs makes a folder and those above it. They are synced with what is in them.
func (l *Ledger) mkdirs(dir string) error {
	if _, err := l.opt.FS.Lstat(dir); err == nil || dir == "." {
		return err
	}
	if err := l.mkdirs(path.Dir(dir)); err != nil {
		return err
	}
	return l.opt.FS.Mkdir(dir, 0o700)
}

// Machine implements [Keeper].
func (l *Ledger) Machine() *Machine {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.m.Clone()
}

// Brings reports whether the journal, as far as it was to be written, brings a file
// along: it is written again after a crash.
func (l *Ledger) Brings(name string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.pending[name]
	return ok
}

// Forget makes the journal bring files along no more once it is begun anew, and
// reports whether it did. What the disk has of them is the caller's to remove.
func (l *Ledger) Forget(names []string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	brought := len(l.pending)
	for _, name := range names {
		delete(l.pending, name)
	}
	return len(l.pending) < brought
}

// Renew begins the journal anew.
func (l *Ledger) Renew() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errLedgerClosed
	}
	return l.checkpoint(Record{At: l.opt.Now(), Machine: l.m})
}

// Step implements [Keeper]. The files are those that the event's record brings
// along; they are written once it is durable.
func (l *Ledger) Step(e Event, files ...File) ([]Effect, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errLedgerClosed
	}
	effects, err := l.m.Step(e)
	if err != nil {
		return nil, err
	}
	r := Record{At: l.opt.Now(), Machine: l.m, Files: files}
	var rest []Effect
	write, sync := false, false
	for _, f := range effects {
		switch f.Do {
		case Write:
			write = true
		case Commit:
			write, sync = true, true
		case Tell:
			r.Reports = append(r.Reports, f.Report)
			fallthrough
		default:
			rest = append(rest, f)
		}
	}
	if sync && l.m.at() == Idle && l.opt.Garbage != nil {
		r.Removed = l.opt.Garbage(l.m.Clone())
	}
	if write {
		if err := l.append(r, sync); err != nil {
			return rest, &KeepError{err}
		}
	}
	return rest, nil
}

// append adds a record, and shows what it says.
func (l *Ledger) append(r Record, sync bool) error {
	for _, f := range r.Files {
		l.pending[f.Name] = f
	}
	l.noteReports(r.Reports)
	if err := l.add(r, sync); err != nil {
		return err
	}
	for _, name := range r.Removed { // not before the journal says so: it may be there
		delete(l.pending, name)
	}
	for _, f := range r.Files {
		if _, waits := l.pending[f.Name]; !waits {
			continue // a checkpoint has made it durable: it must not be touched again
		}
		if err := l.put(f); err != nil {
			return err
		}
	}
	l.remove(r.Removed)
	l.point()
	return nil
}

func (l *Ledger) add(r Record, sync bool) error {
	if l.file == nil || l.doubtful || l.size > l.opt.Limit {
		return l.checkpoint(r)
	}
	r.Synced = l.durable
	line, err := AppendRecord(nil, l.seq+1, r)
	if errors.Is(err, ErrRecordTooLarge) { // what it brings along is synced instead
		return l.checkpoint(r)
	}
	if err != nil {
		return err
	}
	if err := l.write(line, sync); err != nil {
		l.doubtful = true // of what was written nobody knows what is there
		return l.checkpoint(r)
	}
	l.seq++
	if sync {
		l.durable = l.seq
	}
	return nil
}

func (l *Ledger) write(line []byte, sync bool) error {
	if _, err := l.file.Write(line); err != nil {
		return err
	}
	l.size += int64(len(line))
	if !sync {
		return nil
	}
	return l.file.Sync()
}

// point writes the pointers that have changed. They tell people and tools what the
// journal says, which counts; so they are not synced, and a failure is no harm that
// the next commit does not mend.
func (l *Ledger) point() {
	for _, f := range l.pointing() {
		if old, known := l.pointers[f.Name]; known && old == string(f.Data) {
			continue
		}
		delete(l.pointers, f.Name)
		if l.put(f) == nil {
			l.pointers[f.Name] = string(f.Data)
		}
	}
}

func (l *Ledger) pointing() []File {
	if l.opt.Pointers == nil {
		return nil
	}
	return l.opt.Pointers(l.m.Clone())
}

// maxReports bounds what a journal carries over of the one before.
const maxReports = 1000

func (l *Ledger) noteReports(more []Report) {
	l.reports = append(l.reports, more...)
	if over := len(l.reports) - maxReports; over > 0 {
		l.reports = slices.Delete(l.reports, 0, over)
	}
}

// Release ends the ledger without a mark of a clean end: another process goes on.
func (l *Ledger) Release() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	if l.file == nil {
		return nil
	}
	return errors.Join(l.file.Sync(), l.file.Close())
}

// Close ends the ledger, and notes that the process ended by itself.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	var err error
	if l.file != nil || len(l.m.Slots) > 0 { // without a file the first record has failed
		r := Record{At: l.opt.Now(), Machine: l.m, End: true}
		if l.m.at() == Idle && l.opt.Garbage != nil {
			r.Removed = l.opt.Garbage(l.m.Clone())
		}
		if err = l.checkpoint(r); err == nil {
			l.remove(r.Removed)
		}
		if l.file != nil {
			err = errors.Join(err, l.file.Close())
		}
	}
	return err
}

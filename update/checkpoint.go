package update

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/theseus-run/theseus/internal/disk"
)

// checkpoint makes durable all that the journal brings along, and begins it anew
// with r alone.
func (l *Ledger) checkpoint(r Record) error {
	for _, f := range l.pointing() {
		delete(l.pending, f.Name)
		if l.put(f) == nil { // see point: what counts is the journal
			l.pending[f.Name] = f
		}
	}
	if err := l.syncPending(); err != nil {
		return err
	}
	settled := l.opt.Settle == nil || l.opt.Settle() == nil
	r.Reports = append(slices.Clip(l.untold), r.Reports...)
	told := r.Reports
	if !settled { // whoever recovers from this journal is told all of them
		r.Reports = l.reports
	}
	r.Files, r.Synced = nil, l.durable
	line, err := AppendRecord(nil, l.seq+1, r)
	if err != nil {
		return err
	}
	if err := disk.ReplaceFile(l.opt.FS, journalFile, line, 0o644); err != nil {
		l.doubtful = true
		return err
	}
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
	l.seq++
	l.durable = l.seq
	clear(l.pending)
	clear(l.emptied)
	l.untold = nil
	if settled {
		l.reports = slices.Clone(told)
	}
	l.size, l.doubtful = int64(len(line)), false
	l.file, err = l.opt.FS.OpenFile(journalFile, os.O_RDWR|os.O_APPEND, 0)
	return err
}

// syncPending makes the files durable that the journal brings along, and their names:
// what lies deeper first and whole, for what lies above may be a list of it. What a
// sync has failed for is written anew next time: the system may have forgotten it, and
// a second sync would succeed all the same.
func (l *Ledger) syncPending() error {
	depth := func(name string) int { return strings.Count(name, "/") }
	names := sortedNames(l.pending)
	slices.SortStableFunc(names, func(a, b string) int { return depth(b) - depth(a) })
	for len(names) > 0 {
		end := slices.IndexFunc(names, func(name string) bool { return depth(name) < depth(names[0]) })
		if end < 0 {
			end = len(names)
		}
		if err := l.syncFiles(names[:end]); err != nil {
			return err
		}
		names = names[end:]
	}
	for _, dir := range sortedNames(l.emptied) { // while the journal says so they are removed again
		if _, err := l.opt.FS.Lstat(dir); err != nil {
			continue
		}
		if err := l.opt.FS.SyncDir(dir); err != nil {
			return err
		}
	}
	if len(l.pending) == 0 {
		return nil
	}
	return l.opt.FS.SyncDir(".")
}

// syncFiles makes files durable, and the folders that they lie in but for the topmost.
func (l *Ledger) syncFiles(names []string) error {
	dirs := map[string][]string{} // with the files in them and below
	for _, name := range names {
		if err := l.secure(l.pending[name]); err != nil {
			l.suspect[name] = true
			return err
		}
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			dirs[dir] = append(dirs[dir], name)
		}
	}
	for _, dir := range sortedNames(dirs) {
		if err := l.opt.FS.SyncDir(dir); err != nil {
			for _, name := range dirs[dir] {
				l.suspect[name] = true
			}
			return err
		}
	}
	return nil
}

// secure syncs a file, or writes it if it is not there; its name shows no part of it.
func (l *Ledger) secure(f File) error {
	old, err := disk.ReadFile(l.opt.FS, f.Name, int64(len(f.Data)))
	if err != nil || string(old) != string(f.Data) || l.suspect[f.Name] {
		if err := l.mkdirs(path.Dir(f.Name)); err != nil {
			return err
		}
		if err := disk.PlaceFile(l.opt.FS, f.Name, f.Data, fs.FileMode(f.Perm)); err != nil {
			return err
		}
		delete(l.suspect, f.Name)
		return nil
	}
	file, err := l.opt.FS.OpenFile(f.Name, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrPermission) { // an object may not be written to
		file, err = l.opt.FS.OpenFile(f.Name, os.O_RDONLY, 0)
	}
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

package update

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"

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
	clear(l.suspect)
	clear(l.emptied)
	l.untold = nil
	if settled {
		l.reports = slices.Clone(told)
	}
	l.size, l.doubtful = int64(len(line)), false
	l.file, err = l.opt.FS.OpenFile(journalFile, os.O_RDWR|os.O_APPEND, 0)
	return err
}

// syncPending makes the files durable that the journal brings along, then their
// names. What a sync has failed for is written anew next time: the system may have
// forgotten it, and a second sync would succeed all the same.
func (l *Ledger) syncPending() error {
	dirs := map[string][]string{} // with the files in them and below
	for _, name := range sortedNames(l.pending) {
		if err := l.secure(l.pending[name]); err != nil {
			l.suspect[name] = true
			return err
		}
		for dir := path.Dir(name); ; dir = path.Dir(dir) {
			if dirs[dir] = append(dirs[dir], name); dir == "." {
				break
			}
		}
	}
	for _, dir := range sortedNames(l.emptied) { // while the journal says so they are removed again
		if _, err := l.opt.FS.Lstat(dir); err == nil && dirs[dir] == nil {
			dirs[dir] = []string{}
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

package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/fsnotify/fsnotify"

	"github.com/theseus-run/theseus/internal/tree"
)

const (
	maxFolders = 10_000
	maxEntries = 200_000
)

var errTooMany = errors.New("too many folders")

// concerns reports whether e can be about the app, and notes when it can be about
// which folders there are.
func (w *watcher) concerns(e fsnotify.Event) bool {
	name, parent := filepath.Base(e.Name), filepath.Dir(w.opt.Dir)
	special := name == LockName || strings.HasPrefix(name, "..")
	if e.Name != w.opt.Dir && filepath.Dir(e.Name) == parent && w.rooted && (!w.single || !special) {
		return false // a neighbour of the app
	}
	if e.Has(fsnotify.Create) || e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
		w.stale = true
	}
	if _, ours := w.have[e.Name]; ours && (e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename)) {
		// A folder made in its place may even have the same inode number.
		delete(w.have, e.Name)
	}
	if e.Name == w.opt.Dir || special || name == ".well-known" {
		return true
	}
	// What is no part of the app, such as an editor's swap file, cannot change its
	// digest; written all the time it would only cost scans.
	return !tree.Ignored(name)
}

// watch makes the folders with events those that there are. When any was added,
// removed or replaced it starts afresh with all: a watch that is half gone, while
// its path already leads elsewhere, cannot be repaired reliably.
func (w *watcher) watch() {
	if w.mode == Polling {
		return
	}
	if w.opt.ForcePoll {
		w.setMode(Polling)
		return
	}
	if name := w.opt.fsType(w.opt.Dir); name != "" {
		w.poll(name + " does not tell of changes made elsewhere")
		return
	}
	f := folders(w.opt.Dir)
	want, err := f.found, f.err
	w.rooted, w.single = f.rooted, f.single
	if err == nil && w.notify != nil && maps.Equal(want, w.have) {
		return
	}
	if err == nil {
		err = w.renew(want)
	}
	switch {
	case err == nil:
		w.setMode(Events)
	case errors.Is(err, syscall.ENOSPC):
		w.poll("the system's limit of watches is reached; raise fs.inotify.max_user_watches")
	case errors.Is(err, syscall.EMFILE):
		w.poll("the limit of open files, or fs.inotify.max_user_instances, is reached; raise it")
	default:
		w.poll(err.Error())
	}
}

// renew replaces the watches by new ones on the folders in want.
func (w *watcher) renew(want map[string]identity) error {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	have := make(map[string]identity, len(want))
	for p, id := range want {
		switch err := w.opt.add(n, p); {
		case err == nil:
			have[p] = id
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			w.stale = true // gone again; look again
		case errors.Is(err, fs.ErrPermission):
			have[p] = id // the scan says so
		default:
			n.Close()
			return fmt.Errorf("watch %s: %w", p, err)
		}
	}
	w.unwatch()
	w.notify, w.have = n, have
	return nil
}

// unwatch ends all events.
func (w *watcher) unwatch() {
	if w.notify != nil {
		w.notify.Close()
	}
	w.notify, w.have = nil, nil
}

// poll changes to polling for good.
func (w *watcher) poll(why string) {
	w.unwatch()
	if w.mode != Polling {
		w.opt.Log.Warn("file events do not work here; looking at the files instead", "every", w.opt.Poll, "reason", why)
	}
	w.setMode(Polling)
	if !w.pending {
		w.timer.Reset(w.opt.Poll)
	}
}

func (w *watcher) setMode(mode string) {
	if w.mode == mode {
		return
	}
	w.mode = mode
	if w.opt.Mode != nil {
		w.opt.Mode(mode)
	}
}

// folders returns what must be watched for the app at dir: the folder above it,
// which tells when dir itself comes, goes or is replaced, dir, all folders in it
// that are part of the app, and those that links in it lead to.
func folders(dir string) *finder {
	f := &finder{found: make(map[string]identity), seen: make(map[identity]bool)}
	f.add(filepath.Dir(dir))
	info, err := os.Stat(dir)
	if err != nil {
		return f // nothing yet
	}
	f.rooted = true
	f.real, _ = filepath.EvalSymlinks(dir)
	if f.single = !info.IsDir(); f.single {
		f.add(filepath.Dir(f.real))
		return f
	}
	clear(f.seen)
	f.walk(dir)
	return f
}

// A finder collects folders.
type finder struct {
	real    string // the root, without links
	rooted  bool   // the root exists
	single  bool   // and is a file
	found   map[string]identity
	seen    map[identity]bool // a folder that several paths lead to is watched once
	entries int
	err     error
}

// add takes the folder p, and reports whether it is new.
func (f *finder) add(p string) bool {
	info, err := os.Stat(p)
	if err != nil || !info.IsDir() {
		return false
	}
	id := identify(p, info)
	if f.seen[id] {
		return false
	}
	if len(f.found) >= maxFolders {
		f.err = errTooMany
		return false
	}
	f.seen[id] = true
	f.found[p] = id
	return true
}

func (f *finder) walk(p string) {
	if f.err != nil || !f.add(p) {
		return
	}
	d, err := os.Open(p)
	if err != nil {
		return // the scan says so
	}
	var below, links []string
	for {
		batch, err := d.ReadDir(512)
		for _, e := range batch {
			f.entries++
			name := filepath.Join(p, e.Name())
			switch {
			case tree.Ignored(e.Name()) && e.Name() != ".well-known":
			case e.IsDir():
				below = append(below, name)
			case e.Type()&fs.ModeSymlink != 0:
				links = append(links, name)
			}
		}
		if f.entries > maxEntries {
			f.err = errTooMany
		}
		if err != nil || f.err != nil {
			break // at the end; a folder that vanishes is noticed in its parent
		}
	}
	d.Close()
	for _, name := range below {
		f.walk(name)
	}
	for _, name := range links {
		f.link(name)
	}
}

// link follows a link that stays inside the root.
func (f *finder) link(name string) {
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		return
	}
	rel, err := filepath.Rel(f.real, real)
	if err != nil || !filepath.IsLocal(rel) {
		return
	}
	if info, err := os.Stat(real); err == nil && info.IsDir() {
		f.walk(name)
		return
	}
	f.add(filepath.Dir(real))
}

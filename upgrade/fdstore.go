package upgrade

import (
	"strings"
	"sync"
	"syscall"

	"github.com/theseus-run/theseus/upgrade/internal/systemd"
	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// A store is what systemd keeps of this service, so that its sockets outlive it:
// whatever is in their queues when it crashes waits for the next process.
type store struct {
	mu   sync.Mutex
	kept map[string]struct{} // by stored names; also those of the process before
	over bool                // nothing is stored any more
}

// noteStored remembers what may be in the store from the process before.
func (u *Upgrader) noteStored() {
	u.store.kept = map[string]struct{}{}
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, in := range u.inherited {
		if stored, ok := systemd.StoredName(in.Name, in.Requested); ok && storable(in.Socket) && (in.stored || u.pred != nil && !u.pred.foreign) {
			u.store.kept[stored] = struct{}{}
		}
	}
}

// storable reports whether s is a socket that systemd can keep for the next start.
// The rendezvous is not: it is where a living process is found.
func storable(s wire.Socket) bool {
	return s.Network != "file" && s.Requested != "" && s.Name != rendezvousName
}

// keepStored has systemd keep the sockets as long as this process is the service.
func (u *Upgrader) keepStored() {
	if u.manager().StoreLimit() == 0 {
		return
	}
	u.dropStored()
	go func() {
		for u.running.Load() == nil {
			u.storeSockets()
			select {
			case <-u.setChanged:
			case <-u.over:
				return
			}
		}
	}()
}

// dropStored closes the sockets of the process before that this one has not claimed.
func (u *Upgrader) dropStored() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, in := range u.inherited {
		if in.stored && in.file != nil {
			in.file.Close()
			in.file = nil
		}
	}
}

// storeSockets makes the store hold exactly the present sockets.
func (u *Upgrader) storeSockets() {
	u.store.mu.Lock()
	defer u.store.mu.Unlock()
	names, sources := u.toStore()
	if u.store.over || !u.isService() {
		return // those that have closed are to be kept for the next start
	}
	for i, name := range names {
		if _, ok := u.store.kept[name]; ok {
			continue
		}
		if err := u.storeOne(name, sources[i]); err != nil {
			u.warn(err)
			continue
		}
		u.store.kept[name] = struct{}{}
	}
	present := map[string]struct{}{}
	for _, name := range names {
		present[name] = struct{}{}
	}
	for name := range u.store.kept {
		if _, ok := present[name]; !ok {
			u.warn(u.notify.RemoveFiles(name))
			delete(u.store.kept, name)
		}
	}
}

func (u *Upgrader) storeOne(name string, source rawSource) (err error) {
	raw, err := source.SyscallConn()
	if err != nil {
		return err
	}
	controlErr := raw.Control(func(fd uintptr) { err = u.notify.StoreFiles(name, int(fd)) })
	if err == nil {
		err = controlErr
	}
	return err
}

// toStore returns the sockets that systemd can keep, and their names there.
func (u *Upgrader) toStore() (names []string, sources []syscall.Conn) {
	offered, all := u.offered()
	for i, s := range offered {
		if !storable(s) {
			continue
		}
		if name, ok := systemd.StoredName(s.Name, s.Requested); ok {
			names, sources = append(names, name), append(sources, all[i])
		} else {
			u.opt.Log.Warn("systemd does not keep a socket whose name is too long", "name", s.Name)
		}
	}
	return names, sources
}

// unstore takes sockets out of the store as this process ends: those of Unix, whose
// files are removed, or all, because a process elsewhere has taken over.
func (u *Upgrader) unstore(all bool) {
	if u.manager().StoreLimit() == 0 {
		return
	}
	u.store.mu.Lock()
	defer u.store.mu.Unlock()
	u.store.over = true
	for name := range u.store.kept {
		_, requested, _ := systemd.ParseStoredName(name)
		if network, address, _ := strings.Cut(requested, "|"); all || pathOf(network, address) != "" {
			u.warn(u.notify.RemoveFiles(name))
		}
	}
}

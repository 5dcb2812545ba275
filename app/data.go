package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/theseus-run/theseus/internal/kv"
	"github.com/theseus-run/theseus/internal/migrate"
	"github.com/theseus-run/theseus/internal/store"
	"github.com/theseus-run/theseus/script"
)

// dataDir is where the data of scripts is kept in the state directory.
const dataDir = "data"

// A data is what scripts share, and which versions it has.
type data struct {
	kv *kv.Store

	// gate is held for reading by each access of a script, and for writing while the
	// data changes its versions and the generation that wants them becomes live.
	gate    sync.RWMutex
	form    string          // the versions, as in image.form; guarded by gate
	schemas migrate.Schemas // those that want them; guarded by gate

	mu    sync.Mutex
	alone chan struct{} // closed once no other process has the data; nil while none has
}

// openData opens the data that scripts share. It survives generations, processes, and
// crashes. An app that stands by has it together with the one that serves, which must
// have called [App.ShareData].
func (a *App) openData() error {
	opened, err := openData(a.store, a.opt.Standby)
	if err != nil {
		return err
	}
	if r := opened.Recovered(); r.Missing || len(r.Damaged) > 0 {
		a.log.Error("part of the data of scripts is lost", "damaged", len(r.Damaged), "missing", r.Missing, "aside", r.Aside)
	}
	a.data.kv = opened
	if a.opt.Standby {
		a.data.share(true)
	}
	return nil
}

func openData(st *store.Store, shared bool) (*kv.Store, error) {
	opened, err := kv.Open(st.FS(), dataDir, kv.Options{Shared: shared})
	if err != nil {
		return nil, fmt.Errorf("the data of scripts: %w", err)
	}
	return opened, nil
}

// ShareData says whether another process may have the data of scripts too. Then
// every access of both is in one order, at the cost of some microseconds. Both must
// share it for as long as both live. It is safe for concurrent use.
//
// While it is shared, no change of the app is made that would bring the data to
// another version: the other process serves what it serves.
func (a *App) ShareData(on bool) error {
	if on {
		a.data.share(true) // before anybody else can have it
	}
	err := a.data.kv.Share(on)
	if (err != nil) == on {
		a.data.share(false)
	}
	return err
}

// share notes whether another process may have the data.
func (d *data) share(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case on && d.alone == nil:
		d.alone = make(chan struct{})
	case !on && d.alone != nil:
		close(d.alone)
		d.alone = nil
	}
}

// shared returns a channel that is closed once no other process has the data; nil
// when none has.
func (d *data) shared() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.alone
}

// dataMaker returns the number of the generation that brought the data on disk to its
// versions, 0 for none.
func (a *App) dataMaker() (int, error) {
	if a.data != nil && a.data.kv.Saved() {
		return int(migrate.Maker(a.data.kv)), nil
	}
	if _, err := a.store.FS().Lstat(dataDir); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	opened, err := openData(a.store, false)
	if err != nil {
		return 0, err
	}
	return int(migrate.Maker(opened)), opened.Close()
}

// call makes one call of a script of the generation. Where the data has other versions
// than the generation wants, it sees the data as if it had them.
func (d *data) call(ctx context.Context, g *Generation, call kvCall, args []script.Value) (script.Value, error) {
	d.gate.RLock()
	defer d.gate.RUnlock()
	if d.form == g.form {
		return call(d.kv, args)
	}
	return call(&converted{ctx: ctx, data: d, schemas: g.schemas}, args)
}

// switchTo makes the data what the image wants, by a migration that may be nil, and
// shows it: to scripts both are one moment. An error means that neither happened;
// unsynced is one of the disk after both.
func (d *data) switchTo(ctx context.Context, im *image, m *migrate.Migration, maker int, show func()) (unsynced, err error) {
	if m == nil && d.schemas == nil && im.schemas == nil {
		show()
		return nil, nil
	}
	const few, rounds = 100, 10
	for range rounds {
		if m == nil {
			break
		}
		n, err := m.CatchUp(ctx)
		if err != nil {
			return nil, err
		}
		if n < few {
			break
		}
	}
	d.gate.Lock()
	defer d.gate.Unlock()
	if m != nil {
		if _, err := m.CatchUp(ctx); err != nil {
			return nil, err
		}
		if err := m.Commit(uint64(maker)); err != nil {
			return nil, err
		}
		unsynced = d.kv.Sync()
	}
	d.form, d.schemas = im.form, im.schemas
	show()
	return unsynced, nil
}

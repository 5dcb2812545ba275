package update_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/theseus-run/theseus/internal/kv"
	"github.com/theseus-run/theseus/internal/migrate"
	"github.com/theseus-run/theseus/internal/tree"
	"github.com/theseus-run/theseus/update"
)

// This file gives the lives of the crash enumeration data with a schema, which
// changes its version together with what is live.

// forGood is the version of the schema that there is no way back from.
const forGood = 4

// stateful is a version of the app that wants data at a version of its schema.
func stateful(n, schema int) *tree.Tree {
	m := map[string]string{"handlers/f0.js": fmt.Sprint("export default () => ", n)}
	if schema > 0 {
		m["state/cart.js"] = strconv.Itoa(schema)
	}
	return tree.Of(m)
}

// wraps is a schema whose version n has a value in n lists.
type wraps struct{ newest uint64 }

func (w wraps) Versions() (oldest, newest uint64)                 { return 0, w.newest }
func (w wraps) Check(_ context.Context, _ string, v []byte) error { return nil }
func (w wraps) OneWay(_ context.Context, n uint64) (why string, _ error) {
	if n == forGood {
		why = "for good"
	}
	return why, nil
}

func (w wraps) Up(_ context.Context, _ uint64, _ string, v []byte) ([]byte, error) {
	return []byte("[" + string(v) + "]"), nil
}

func (w wraps) Down(_ context.Context, _ uint64, _ string, v []byte) ([]byte, error) {
	return bytes.TrimSuffix(bytes.TrimPrefix(v, []byte("[")), []byte("]")), nil
}

// schemasOf returns the schemas of a version.
func schemasOf(t *tree.Tree) migrate.Schemas {
	f, ok := t.File("state/cart.js")
	if !ok {
		return nil
	}
	n, _ := strconv.ParseUint(string(f.Data), 10, 64)
	return migrate.Schemas{"cart": wraps{n}}
}

// openData opens the data, if this disk has some.
func (l *life) openData() (err error) {
	if _, err := l.st.FS().Lstat("data"); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	l.data, err = kv.Open(l.st.FS(), "data", kv.Options{SyncInterval: -1})
	return err
}

// firstData begins the data.
func (l *life) firstData() (err error) {
	if l.data, err = kv.Open(l.st.FS(), "data", kv.Options{SyncInterval: -1}); err != nil {
		return err
	}
	return l.write("before", 0)
}

func (l *life) closeData() error {
	if l.data == nil {
		return nil
	}
	return l.data.Close()
}

// finishSwap is what a start does about a swap whose data is there.
func (l *life) finishSwap() error {
	m := l.st.Machine()
	if l.data == nil || m.Phase != update.Swapping || migrate.Maker(l.data) != uint64(m.Change.To.Number) {
		return nil
	}
	return l.r.Step(update.Swapped{})
}

// bringData brings the data to what is permanent, as a start does.
func (l *life) bringData() error {
	if p := l.slot().Permanent; l.data != nil && !p.IsZero() {
		return l.dataTo(p)
	}
	return nil
}

// dataTo brings the data to what a stored version wants.
func (l *life) dataTo(to update.Version) error {
	if l.data == nil {
		return nil
	}
	_, t, err := l.st.Load(to.Number)
	if err != nil {
		return err
	}
	m, err := l.migration(t)
	if m == nil || err != nil {
		return err
	}
	if err := m.Commit(uint64(to.Number)); err != nil {
		return err
	}
	return l.data.Sync()
}

// migration prepares the data for a version.
func (l *life) migration(t *tree.Tree) (*migrate.Migration, error) {
	var have migrate.Schemas
	if maker := int(migrate.Maker(l.data)); maker > 0 {
		_, made, err := l.st.Load(maker)
		if err != nil {
			return nil, err
		}
		have = schemasOf(made)
	}
	return migrate.Prepare(context.Background(), l.data, have, schemasOf(t))
}

func (v *version) prepareData() (err error) {
	if v.l.data != nil {
		v.data, err = v.l.migration(v.t)
	}
	return err
}

// Final implements update.Final.
func (v *version) Final() bool { return v.data != nil && v.data.OneWay() != "" }

func (v *version) switchData() error {
	if v.data == nil {
		return nil
	}
	if n, err := v.data.CatchUp(context.Background()); n != 1 || err != nil {
		return fmt.Errorf("%d changes while it was prepared: %w", n, err)
	}
	if err := v.data.Commit(uint64(v.n)); err != nil {
		return err
	}
	_ = v.l.data.Sync() // it has happened: what is lost with the power is done again
	return nil
}

// version returns that of the data.
func (l *life) version() uint64 {
	if l.data == nil {
		return 0
	}
	return l.data.Version("cart")
}

// write writes the next number as data of a version. It is acknowledged once it would
// survive a loss of power.
func (l *life) write(key string, version uint64) error {
	if l.data == nil {
		return nil
	}
	n := len(l.wrote) + 1
	if err := l.data.Set("cart:"+key, []byte(wrapped(n, version)), 0); err != nil {
		return err
	}
	if err := l.data.Sync(); err != nil {
		return err
	}
	if l.wrote == nil {
		l.wrote = map[string]int{}
	}
	l.wrote["cart:"+key] = n
	return nil
}

// writeAfter writes as the version that is live does.
func (l *life) writeAfter() { l.err = errors.Join(l.err, l.write("after", l.version())) }

func wrapped(n int, version uint64) string {
	return strings.Repeat("[", int(version)) + strconv.Itoa(n) + strings.Repeat("]", int(version))
}

// checkData checks that the data is as what is permanent wants it, and that what was
// acknowledged is there.
func (l *life) checkData(t *testing.T, where string, was *life) {
	t.Helper()
	if l.data == nil {
		return
	}
	_, tr, err := l.st.Load(l.slot().Permanent.Number)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	want := schemasOf(tr)
	if !want.Fits(migrate.Versions(l.data)) {
		t.Fatalf("%s: the data has %v, what is permanent wants %v", where, migrate.Versions(l.data), want.Wants())
	}
	wrote := map[string]int{"cart:before": 1}
	maps.Copy(wrote, was.wrote)
	for key, n := range wrote {
		if got, _ := l.data.Get(key); string(got) != wrapped(n, want.Want("cart")) {
			t.Fatalf("%s: %s is %s in version %d, want %s", where, key, got, want.Want("cart"), wrapped(n, want.Want("cart")))
		}
	}
}

// again is the next version after a recovery. It wants the data as it is.
func (l *life) again() *tree.Tree {
	if l.data == nil {
		return files(7)
	}
	return stateful(7, int(l.version()))
}

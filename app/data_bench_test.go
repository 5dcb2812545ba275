package app

import (
	"context"
	"testing"

	"github.com/theseus-run/theseus/internal/kv"
	"github.com/theseus-run/theseus/internal/migrate"
	"github.com/theseus-run/theseus/script"
)

// BenchmarkData is what one call of kv costs: on the store alone, behind the gate of
// its versions, and for a generation that wants another version, by a step in Go.
func BenchmarkData(b *testing.B) {
	store := kv.New(kv.Options{})
	if err := store.Set("cart:1", []byte(`{"n":1}`), 0); err != nil {
		b.Fatal(err)
	}
	args := []script.Value{script.Of("cart:1")}
	schemas := migrate.Schemas{"cart": plain{}}
	same := &Generation{image: &image{schemas: schemas, form: schemas.String()}}
	d := &data{kv: store, schemas: schemas, form: schemas.String()}
	get := kvCalls["kv.get"]
	for name, call := range map[string]func() (script.Value, error){
		"store": func() (script.Value, error) { return get(store, args) },
		"gate":  func() (script.Value, error) { return d.call(context.Background(), same, get, args) },
		"converted": func() (script.Value, error) {
			return d.call(context.Background(), &Generation{image: &image{}}, get, args)
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if v, err := call(); err != nil || v.IsNull() {
						b.Error(v, err)
						return
					}
				}
			})
		})
	}
}

// plain is a schema of one version that changes nothing.
type plain struct{}

func (plain) Versions() (oldest, newest uint64)                                    { return 0, 1 }
func (plain) Up(_ context.Context, _ uint64, _ string, v []byte) ([]byte, error)   { return v, nil }
func (plain) Down(_ context.Context, _ uint64, _ string, v []byte) ([]byte, error) { return v, nil }
func (plain) OneWay(context.Context, uint64) (why string, err error)               { return "", nil }
func (plain) Check(_ context.Context, _ string, _ []byte) error                    { return nil }

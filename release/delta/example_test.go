package delta_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/theseus-run/theseus/release/delta"
)

// What Apply has written counts only when it returns nil: write to a temporary
// file beside the final one, and rename it then.
func ExampleApply() {
	dir, err := os.MkdirTemp("", "delta")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	base, target := bytes.Repeat([]byte("the old release\n"), 1000), bytes.Repeat([]byte("the new release\n"), 1000)
	var patch bytes.Buffer
	if err := delta.Make(context.Background(), base, target, &patch, delta.Options{}); err != nil {
		panic(err)
	}

	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		panic(err)
	}
	limits := delta.Limits{Target: 16000, Patch: int64(patch.Len())}
	err = delta.Apply(context.Background(), bytes.NewReader(base), &patch, f, limits)
	if err == nil {
		err = f.Sync()
	}
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, "program"))
	}
	fmt.Println(err)
	// Output: <nil>
}

package executable

import (
	"bytes"
	"runtime"
	"slices"
	"testing"
)

// mayExecuteAsks says that mayExecute does more than nothing here.
const mayExecuteAsks = true

func TestLoaderMissing(t *testing.T) {
	t.Parallel()
	const missing = "/nowhere/ld-linux-x86-64.so.2"
	i := inspected(t, fileOf(t, dynamicProgram(t, missing, "libc.so.6", "libm.so.6"), 0o755))
	if i.Damage != nil || i.Interpreter != missing || !slices.Equal(i.Libraries, []string{"libc.so.6", "libm.so.6"}) || i.BuildID != "deadbeef" || i.GOOS != "linux" {
		t.Errorf("damage %v, interpreter %q, libraries %q, build ID %q, GOOS %q", i.Damage, i.Interpreter, i.Libraries, i.BuildID, i.GOOS)
	}
	refused(t, i.checkLoader(), CheckLoader, "CGO_ENABLED=0")
}

// A real program that names a loader that is not there is refused, and does not
// start.
func TestLoaderOfRealProgram(t *testing.T) {
	t.Parallel()
	pie := hello(t, "linux", runtime.GOARCH, "-buildmode=pie")
	loader := inspected(t, pie).Interpreter
	if loader == "" {
		t.Skip("position-independent programs have no loader on this architecture")
	}
	other := []byte(loader)
	other[1] = '~'
	path := fileOf(t, bytes.Replace(bytesOf(t, pie, nil), []byte(loader), other, 1), 0o755)
	refused(t, Check(path), CheckLoader, "its dynamic loader")
	if out, err := run(t, path); err == nil {
		t.Errorf("it started and said %q", out)
	}
}

package godsl

import (
	"fmt"
	"runtime"
	"testing"
)

// A loaded version of the routing rule is small.
func TestMemoryOfAVersion(t *testing.T) {
	const versions, most = 200, 30 << 10
	c := NewCompiler()
	load := func(i int) *Program {
		p, err := c.Compile([]File{{Name: fmt.Sprintf("v%d.gods", i), Text: []byte(routeRule)}})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	load(0)
	heap := func() int64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	before := heap()
	keep := make([]*Program, versions)
	for i := range keep {
		keep[i] = load(i)
	}
	each := (heap() - before) / versions
	runtime.KeepAlive(keep)
	t.Logf("%d bytes a version", each)
	if each > most && !raceEnabled {
		t.Errorf("a version takes %d bytes, more than %d", each, most)
	}
}

//go:build linux

package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// A few bad releases: what the whole section does with all of them.
func TestSomeFaults(t *testing.T) {
	t.Parallel()
	b, _ := newBench(t)
	names := []string{"foreign/quiet", "future/load", "panic100ms/load", "errors/load", "schema/draining"}
	rows, err := b.faults(t.Context(), func(name string) bool { return slices.Contains(names, name) })
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(names) {
		t.Errorf("%d cases, want %d", len(rows), len(names))
	}
	for _, row := range rows {
		if len(row.Wrong) > 0 || row.Requests == 0 || row.Verdict == "" {
			t.Errorf("%s: %d requests, verdict %q: %q", row.name(), row.Requests, row.Verdict, row.Wrong)
		}
	}
	ended(t, b)
}

// The section has every kind of bad release that there is, and says how to see one
// again that fails.
func TestFaultKinds(t *testing.T) {
	kinds := map[string]bool{}
	for _, f := range faults {
		kinds[f.kind] = true
	}
	if len(kinds) != 16 || len(moments) != 3 {
		t.Errorf("%d kinds, %d moments", len(kinds), len(moments))
	}
	var missed []string
	r := Trials{Seed: 5, Faults: []FaultRow{{Mode: "cut", Moment: whenBusy, Wrong: []string{"a", "b"}}, {Mode: "fine"}},
		Kills:  []KillRow{{Victim: victimOld, Wrong: []wrong{{17, "c"}}}},
		Storms: []StormRow{{Kind: stormOfCalls, Wrong: []wrong{{3, "d"}}}}}
	r.judge(func(ok bool, format string, args ...any) {
		if !ok {
			missed = append(missed, fmt.Sprintf(format, args...))
		}
	})
	text := strings.Join(missed, "\n")
	for _, want := range []string{"-only faults -case cut/load", "-only kills -seed 5 -round 17", "-only storms -seed 5 -round 3"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "fine") {
		t.Errorf("a good row is missed:\n%s", text)
	}
}

// The program for another machine is one.
func TestForeignProgram(t *testing.T) {
	f, err := elf.NewFile(bytes.NewReader(foreignProgram()))
	if err != nil {
		t.Fatal(err)
	}
	if f.Machine != elf.EM_S390 || f.Type != elf.ET_EXEC || len(f.Progs) != 1 || f.Progs[0].Filesz != uint64(len(foreignProgram())) {
		t.Errorf("%+v %+v", f.FileHeader, f.Progs)
	}
}

// The releases of the two servers are broken in the same ways by the same text: a
// module of its own cannot import it.
func TestSameModes(t *testing.T) {
	ours, err := os.ReadFile("broken/modes.go")
	if err != nil {
		t.Fatal(err)
	}
	peers, err := os.ReadFile("tableflip/broken.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ours, peers) {
		t.Error("broken/modes.go and tableflip/broken.go differ: copy one over the other")
	}
}

// The last process that had a connection is found; a port is used again.
func TestHolderOf(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	list := []holder{{at(10), 1, 100}, {at(20), 1, 200}, {at(30), 1, 300}, {at(15), 2, 400}}
	for _, c := range []struct{ port, at, want int }{{1, 5, 0}, {1, 10, 100}, {1, 25, 200}, {1, 99, 300}, {2, 99, 400}, {3, 99, 0}} {
		if got := holderOf(list, c.port, at(c.at)); got != c.want {
			t.Errorf("port %d at %d: %d, want %d", c.port, c.at, got, c.want)
		}
	}
}

// What this process holds at a port is seen: a listener and one end of each
// connection.
func TestHoldings(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	served, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close()
	h := holdings(os.Getpid(), portOf(l.Addr().String()))
	if client := c.LocalAddr().(*net.TCPAddr).Port; h.listeners != 1 || len(h.ports) != 1 || !h.ports[client] || h.others == 0 {
		t.Errorf("%+v, want one listener and the client at %d", h, client)
	}
}

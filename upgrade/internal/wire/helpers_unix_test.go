//go:build unix

package wire

import (
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is longer than anything here takes on a slow machine.
const patience = time.Minute

// links returns two ends of a control link.
func links(t testing.TB) (a, b *Link) {
	t.Helper()
	a, f, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	b, err = FromFile(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	a.SetTimeout(patience)
	b.SetTimeout(patience)
	return a, b
}

// rawAndLink returns a link and the bare connection at the other end of it.
func rawAndLink(t testing.TB) (*net.UnixConn, *Link) {
	t.Helper()
	l, f, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*net.UnixConn), l
}

// tempFiles returns n different open files.
func tempFiles(t testing.TB, n int) []*os.File {
	t.Helper()
	dir := t.TempDir()
	var files []*os.File
	for range n {
		f, err := os.CreateTemp(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		files = append(files, f)
	}
	return files
}

// numbers returns the descriptors of files, which stay open with them.
func numbers(files []*os.File) []int {
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	return fds
}

// wantFiles compares what was received with what was sent, and closes it.
func wantFiles(t testing.TB, got, want []*os.File) {
	t.Helper()
	defer closeAll(got)
	if len(got) != len(want) {
		t.Fatalf("received %d files, want %d", len(got), len(want))
	}
	for i := range got {
		g, err := got[i].Stat()
		if err != nil {
			t.Fatal(err)
		}
		w, err := want[i].Stat()
		if err != nil {
			t.Fatal(err)
		}
		if !os.SameFile(g, w) {
			t.Errorf("file %d is another one", i)
		}
		if got[i].Fd() == want[i].Fd() {
			t.Errorf("file %d has the sender's descriptor", i)
		}
		if flags, err := unix.FcntlInt(got[i].Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("file %d is not close-on-exec: flags %#x, %v", i, flags, err)
		}
	}
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// maxDescriptor is above any descriptor that the tests open.
const maxDescriptor = 2048

// openFiles counts the open descriptors of this process.
func openFiles() int {
	n := 0
	for fd := range maxDescriptor {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			n++
		}
	}
	return n
}

// openSockets lists the descriptors of this process that are sockets.
func openSockets() []int {
	var all []int
	for fd := range maxDescriptor {
		if _, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err == nil {
			all = append(all, fd)
		}
	}
	return all
}

// noLeak fails t if f leaves descriptors open. Not for parallel tests.
func noLeak(t *testing.T, f func()) {
	t.Helper()
	before := openFiles()
	f()
	if after := openFiles(); after > before {
		t.Errorf("%d descriptors open, %d before", after, before)
	}
}

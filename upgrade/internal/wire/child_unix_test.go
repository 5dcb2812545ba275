//go:build unix

package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// children are the parts the test binary plays when it starts itself.
var children = map[string]func() error{
	"serve": childServe,
	"few":   func() error { return receiveWithRoom(7) },
	"none":  func() error { return receiveWithRoom(0) },
}

// start runs the test binary as a child with the other end of a link as
// descriptor 3. wait returns what the child says when it ends.
func start(t *testing.T, mode string) (l *Link, wait func() error) {
	t.Helper()
	l, f, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	l.SetTimeout(patience)
	var output bytes.Buffer
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childMode+"="+mode)
	cmd.ExtraFiles = []*os.File{f}
	cmd.Stderr = &output
	err = cmd.Start()
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	return l, func() error {
		l.Close()
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("child: %w: %s", err, &output)
		}
		return nil
	}
}

// The handshake of two real processes, to the first connection that the child
// serves.
func TestChildServes(t *testing.T) {
	t.Parallel()
	l, wait := start(t, "serve")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := l.Send(Hello{Min: 1, Max: 1, PID: os.Getpid()}); err != nil {
		t.Fatal(err)
	}
	sockets := Sockets{Sockets: []Socket{{Name: "http", Network: "tcp"}}}
	if err := l.SendConn(sockets, rawConn(t, listener.(*net.TCPListener))); err != nil {
		t.Fatal(err)
	}
	m, _, err := l.Receive()
	if err != nil {
		t.Fatal(errors.Join(err, wait()))
	}
	if _, err := Negotiate(Hello{Min: 1, Max: 1}, m.(Hello)); err != nil {
		t.Error(err)
	}
	listener.Close()
	c, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := io.ReadAll(c)
	if want := fmt.Sprint(m.(Hello).PID); string(got) != want || want == fmt.Sprint(os.Getpid()) {
		t.Errorf("read %q, %v, want the child's pid %s", got, err, want)
	}
	if err := wait(); err != nil {
		t.Error(err)
	}
}

func childServe() error {
	l, err := FromFile(os.NewFile(3, "link"))
	if err != nil {
		return err
	}
	if err := l.Send(Hello{Min: 1, Max: 2, PID: os.Getpid()}); err != nil {
		return err
	}
	if m, _, err := l.Receive(); err != nil || m.(Hello).PID != os.Getppid() {
		return fmt.Errorf("received %v, %v, want the hello of %d", m, err, os.Getppid())
	}
	m, files, err := l.Receive()
	if err != nil {
		return err
	}
	if want := (Sockets{Sockets: []Socket{{Name: "http", Network: "tcp"}}}); !reflect.DeepEqual(m, want) {
		return fmt.Errorf("received %v, want %v", m, want)
	}
	listener, err := net.FileListener(files[0])
	if err != nil {
		return err
	}
	c, err := listener.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = fmt.Fprint(c, os.Getpid())
	return err
}

// A receiver at its limit on open files loses descriptors, and says so to both
// sides. The child has room for a few or for none.
func TestFilesLost(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"few", "none"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			l, wait := start(t, mode)
			files := tempFiles(t, 40)
			if err := l.Send(Sockets{Sockets: make([]Socket, 40)}, numbers(files)...); err != nil {
				t.Fatal(err)
			}
			m, _, err := l.Receive()
			if err != nil {
				t.Error(err)
			} else if !strings.Contains(m.(Abort).Reason, "RLIMIT_NOFILE") {
				t.Errorf("told %v, want an abort that names the limit", m)
			}
			if err := wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

func receiveWithRoom(room int) error {
	l, err := FromFile(os.NewFile(3, "link"))
	if err != nil {
		return err
	}
	free, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	unix.Close(free)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	set(&limit.Cur, free+room)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	before := openFiles()
	m, files, err := l.Receive()
	if !errors.Is(err, ErrFilesLost) || files != nil {
		return fmt.Errorf("receive = %v, %v, %v, want ErrFilesLost", m, files, err)
	}
	if after := openFiles(); after >= before { // the link itself is closed
		return fmt.Errorf("%d descriptors open, %d before", after, before)
	}
	if _, _, err := l.Receive(); !errors.Is(err, ErrFilesLost) {
		return fmt.Errorf("second receive: %v, want ErrFilesLost", err)
	}
	return nil
}

// set is for a field that is signed on some systems.
func set[T int64 | uint64](p *T, n int) { *p = T(n) }

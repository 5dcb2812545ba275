//go:build linux || darwin

package systemd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var roles = map[string]func() error{
	"accept": acceptOne,
	"listen": func() error { return json.NewEncoder(os.Stdout).Encode(takeOver()) },
	"ready":  func() error { return New(os.LookupEnv).Ready() },
}

// acceptOne answers one connection to the only socket that it was given.
func acceptOne() error {
	files, err := Files(os.LookupEnv, os.Getpid())
	if err != nil || len(files) != 1 {
		return fmt.Errorf("%d files, want 1: %w", len(files), err)
	}
	l, err := net.FileListener(files[0].File)
	if err != nil {
		return err
	}
	c, err := l.Accept()
	if err != nil {
		return err
	}
	_, err = io.WriteString(c, "hello from "+files[0].Name)
	return errors.Join(err, c.Close())
}

// taken is what a child found.
type taken struct {
	Err      string
	Names    []string
	Text     string // what the file after the socket holds
	Address  string // of the socket that comes first
	Nonblock bool   // whether that socket was and stayed non-blocking
	Cloexec  []bool // of descriptors 3, 4 and 5
	Second   string // the error of a second call
}

// takeOver calls Files as a service would.
func takeOver() taken {
	files, err := Files(os.LookupEnv, os.Getpid())
	got := taken{Cloexec: cloexec()}
	if err != nil {
		got.Err = err.Error()
		return got
	}
	for _, f := range files {
		got.Names = append(got.Names, f.Name)
	}
	if len(files) < 2 {
		return got
	}
	if l, err := net.FileListener(files[0].File); err == nil {
		got.Address = l.Addr().String()
		l.Close()
	}
	flags, _ := unix.FcntlInt(firstFD, unix.F_GETFL, 0)
	got.Nonblock = flags&unix.O_NONBLOCK != 0
	b, _ := io.ReadAll(files[1].File)
	got.Text = string(b)
	if _, err := Files(os.LookupEnv, os.Getpid()); err != nil {
		got.Second = err.Error()
	}
	return got
}

func cloexec() []bool {
	all := make([]bool, 3)
	for i := range all {
		flags, err := unix.FcntlInt(uintptr(firstFD+i), unix.F_GETFD, 0)
		all[i] = err == nil && flags&unix.FD_CLOEXEC != 0
	}
	return all
}

// inChild starts this binary with a socket and a file as descriptors 3 and 4.
// The shell makes LISTEN_PID right: exec keeps its number.
func inChild(t *testing.T, variables ...string) (got taken, address string) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket := duplicate(t, l)
	defer socket.Close()
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString("kept"); err != nil {
		t.Fatal(err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0"`, os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"=listen")
	cmd.Env = append(cmd.Env, variables...)
	cmd.ExtraFiles = []*os.File{socket, file}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%q: %v", out.String(), err)
	}
	return got, l.Addr().String()
}

// duplicate leaves the socket non-blocking, which File does not.
func duplicate(t *testing.T, l *net.TCPListener) *os.File {
	t.Helper()
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fd int
	var failed error
	err = raw.Control(func(old uintptr) { fd, failed = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	if err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return os.NewFile(uintptr(fd), "socket")
}

func TestFiles(t *testing.T) {
	t.Parallel()
	got, address := inChild(t, "LISTEN_FDS=2", "LISTEN_FDNAMES=web:state")
	if !strings.Contains(got.Second, "LISTEN_FDS") {
		t.Errorf("second call: %q, want an error about LISTEN_FDS", got.Second)
	}
	got.Second = ""
	want := taken{Names: []string{"web", "state"}, Text: "kept", Address: address, Nonblock: true, Cloexec: []bool{true, true, got.Cloexec[2]}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("child found %+v, want %+v", got, want)
	}
}

func TestFilesUnnamed(t *testing.T) {
	t.Parallel()
	got, _ := inChild(t, "LISTEN_FDS=1")
	if got.Err != "" || !reflect.DeepEqual(got.Names, []string{"unknown"}) || !got.Cloexec[0] || got.Cloexec[1] {
		t.Errorf("child found %+v, want descriptor 3 alone, unknown", got)
	}
}

// Descriptor 5 is one of the child's runtime, later ones are not there: none is
// touched.
func TestFilesMissing(t *testing.T) {
	t.Parallel()
	for count, fd := range map[string]string{"3": "descriptor 5", "1024": "descriptor "} {
		flags, err := unix.FcntlInt(firstFD+2, unix.F_GETFD, 0)
		if count == "3" && err == nil && flags&unix.FD_CLOEXEC == 0 {
			continue // whoever started this test left it open for everybody
		}
		got, _ := inChild(t, "LISTEN_FDS="+count)
		if !strings.Contains(got.Err, "LISTEN_FDS") || !strings.Contains(got.Err, fd) {
			t.Errorf("LISTEN_FDS=%s: error %q, want one about %s", count, got.Err, fd)
		}
		if got.Cloexec[0] || got.Cloexec[1] {
			t.Errorf("LISTEN_FDS=%s: refused, but descriptors were touched: %v", count, got.Cloexec)
		}
	}
}

// The real thing, where it is installed.
func TestSocketActivate(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("systemd-socket-activate is not installed: scripts/deps installs it")
		}
		t.Skip("systemd-socket-activate is not installed")
	}
	path := socketPath(t)
	cmd := exec.Command(tool, "--listen="+path, "--fdname=web%3A", "--setenv="+roleVariable+"=accept", os.Args[0])
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// It says that it listens before it waits for a connection.
	if _, err := stderr.Read(make([]byte, 256)); err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, stderr)
	c, err := net.Dial("unix", path)
	if err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		t.Fatal(err)
	}
	defer c.Close()
	text, err := io.ReadAll(c)
	if err != nil || string(text) != "hello from web%3A" {
		t.Errorf("read %q, %v, want hello from web%%3A", text, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

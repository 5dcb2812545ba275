//go:build linux

package upgrade

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

var oversized = binary.BigEndian.AppendUint32(nil, 1<<30)

// fakes are what broken and foreign successors say on the link.
var fakes = map[string]func(c *net.UnixConn, l *wire.Link) error{
	"garbage": func(c *net.UnixConn, _ *wire.Link) error {
		_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		return err
	},
	"oversized": func(c *net.UnixConn, _ *wire.Link) error {
		_, err := c.Write(append(oversized, 1, 0, 0, 0))
		return err
	},
	"cut off": func(c *net.UnixConn, _ *wire.Link) error {
		_, err := c.Write([]byte{0, 0, 0, 9, 1, 0, 0, 0, '{'})
		return errors.Join(err, c.CloseWrite())
	},
	"newer":       func(_ *net.UnixConn, l *wire.Link) error { return l.Send(wire.Hello{Min: 7, Max: 9}) },
	"older":       func(_ *net.UnixConn, l *wire.Link) error { return l.Send(wire.Hello{Min: -1, Max: 0}) },
	"mute":        func(*net.UnixConn, *wire.Link) error { select {} },
	"ready first": func(_ *net.UnixConn, l *wire.Link) error { return l.Send(wire.Ready{}) },
	"serving early": func(_ *net.UnixConn, l *wire.Link) error {
		return errors.Join(l.Send(wire.Hello{Min: 1, Max: 1}), l.Send(wire.Serving{}))
	},
	"flood": func(_ *net.UnixConn, l *wire.Link) error {
		for l.Send(wire.Hello{Min: 1, Max: 1}) == nil {
		}
		return nil
	},
	"abort": func(_ *net.UnixConn, l *wire.Link) error { return l.Send(wire.Abort{Reason: "I have no licence"}) },
	"connection": func(_ *net.UnixConn, l *wire.Link) error {
		return errors.Join(l.Send(wire.Hello{Min: 1, Max: 1}), l.Send(wire.Connection{ID: 1, Listener: "tcp|127.0.0.1:0"}, 0), l.Send(wire.Connection{ID: 2}, 0), l.Send(wire.Stop{}), l.Send(wire.Abort{Reason: "enough"}))
	},
	"two beats": func(_ *net.UnixConn, l *wire.Link) error { // beats, and never gets ready
		if err := l.Send(wire.Hello{Min: 1, Max: 1}); err != nil {
			return err
		}
		for n := uint64(1); ; n++ {
			if l.Send(wire.Beat{Seq: n, Healthy: true}) != nil {
				return nil
			}
			time.Sleep(time.Millisecond)
		}
	},
}

// fakeSuccessor plays one of them, and waits for the old process to end the link.
func fakeSuccessor(name string) error {
	f := os.NewFile(uintptr(atoi(os.Getenv(variable))), "link")
	raw, err := net.FileConn(f)
	if err != nil {
		return err
	}
	c := raw.(*net.UnixConn)
	l := wire.New(c)
	if err := fakes[name](c, l); err != nil {
		return err
	}
	for {
		m, _, err := l.Receive()
		if err != nil {
			return err
		}
		if a, ok := m.(wire.Abort); ok {
			fmt.Fprintln(os.Stderr, "fake: told:", a.Reason)
			return nil
		}
	}
}

// Whatever a successor says, the old process refuses it with a sentence, tells it
// so, and serves on.
func TestForeignSuccessors(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, want, told string }{
		{"garbage", "control link: frame too large", "frame too large"},
		{"oversized", "control link: frame too large", "frame too large"},
		{"cut off", "control link: unexpected EOF", "unexpected EOF"},
		{"newer", "newer peer versions 7 to 9", "newer peer versions 7 to 9"},
		{"older", "hello of versions -1 to 0", "malformed"},
		{"mute", "no hello: not ready within", ""},
		{"ready first", "where hello was due", "where hello was due"},
		{"serving early", "where ready was due", "where ready was due"},
		{"flood", "", ""},
		{"abort", "I have no licence", ""},
		{"connection", "enough", ""},
		{"two beats", "not ready within", ""},
	}
	if testing.Short() {
		cases = cases[3:5]
	}
	in := startService(t, config{Ready: 2 * time.Second, Lab: lab{LastWords: 3 * time.Second}})
	pid := in.pid()
	for _, c := range cases {
		in.set(func(x *config) { x.Broken = "fake " + c.name })
		ready := "&ready=1m"
		if strings.Contains(c.want, "not ready within") {
			ready = "&ready=2s"
		}
		_, err := in.upgrade("force=1" + ready)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		t.Logf("%s: %v", c.name, err)
		if text, err := os.ReadFile(in.log.Name()); err != nil || c.told != "" && !told(text, c.told) {
			t.Errorf("%s: the successor was not told %q", c.name, c.told)
		}
		if n := len(descendants(t, in)); n != 1 || in.pid() != pid {
			t.Errorf("%s: %d processes are left", c.name, n)
		}
		if z := zombies(pid); len(z) > 0 {
			t.Errorf("%s: zombies %v", c.name, z)
		}
	}
	in.works(pid)
}

func told(log []byte, what string) bool {
	for line := range strings.Lines(string(log)) {
		if strings.HasPrefix(line, "fake: told: ") && strings.Contains(line, what) {
			return true
		}
	}
	return false
}

// A process refuses a predecessor that it does not understand with a sentence to
// it and to whoever reads its standard error, and exits.
func TestForeignPredecessors(t *testing.T) {
	t.Parallel()
	hello := wire.Hello{Min: 1, Max: 1, PID: os.Getpid()}
	say := func(all ...wire.Message) func(*net.UnixConn, *wire.Link) error {
		return func(_ *net.UnixConn, l *wire.Link) error {
			for _, m := range all {
				var fds []int
				if _, ok := m.(wire.Connection); ok {
					fds = []int{0}
				}
				if err := l.Send(m, fds...); err != nil {
					return err
				}
			}
			return nil
		}
	}
	cases := []struct {
		name, want string
		say        func(*net.UnixConn, *wire.Link) error
	}{
		{"garbage", "frame too large", fakes["garbage"]},
		{"oversized", "frame too large", fakes["oversized"]},
		{"cut off", "unexpected EOF", fakes["cut off"]},
		{"newer", "newer peer versions 2 to 9", say(wire.Hello{Min: 2, Max: 9})},
		{"older", "malformed", say(wire.Hello{})},
		{"no hello", "serve came before hello", say(wire.Serve{})},
		{"two hellos", "hello came twice", say(hello, hello)},
		{"out of turn", "commit came where", say(hello, wire.Commit{})},
		{"connection too soon", "connection came where", say(hello, wire.Connection{ID: 1})},
		{"unfinished state", "is unfinished", say(hello, wire.State{Name: "a"}, wire.Prepared{})},
		{"piece of nothing", "a piece of no state", say(hello, wire.StateData{Data: []byte("x")})},
		{"wrong sum", "does not match its checksum", say(hello, wire.State{Name: "a"}, wire.StateEnd{Name: "a", SHA256: "00"})},
		{"state twice", "came twice", say(hello, wire.State{Name: "a"}, wire.StateEnd{Name: "a", SHA256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}, wire.State{Name: "a"})},
		{"abort", "changed my mind", say(hello, wire.Abort{Reason: "changed my mind"})},
		{"too large", "larger than the limit", say(hello, wire.State{Name: "a"}, wire.StateData{Data: make([]byte, 200)})},
		{"abort when ready", "changed my mind", say(hello, wire.Prepared{}, wire.Abort{Reason: "changed my mind"})},
	}
	if testing.Short() {
		cases = cases[3:5]
	}
	dir := t.TempDir()
	in := &instance{t: t, dir: dir, config: config{Network: "tcp", Addr: "127.0.0.1:0", Lab: lab{StateLimit: 100}}}
	in.set(func(*config) {})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, reason := in.underFake(t, c.say)
			if !strings.Contains(out, c.want) {
				t.Errorf("it says %q, want %q", out, c.want)
			}
			if !strings.Contains(c.name, "abort") && !strings.Contains(reason, c.want) {
				t.Errorf("the old process was told %q, want %q", reason, c.want)
			}
		})
	}
}

// underFake starts the service with a predecessor that does as say does, and
// returns what it prints, and its reason to end the link.
func (in *instance) underFake(t *testing.T, say func(*net.UnixConn, *wire.Link) error) (out, reason string) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	mine, theirs := os.NewFile(uintptr(fds[0]), "mine"), os.NewFile(uintptr(fds[1]), "theirs")
	raw, err := net.FileConn(mine)
	mine.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var text bytes.Buffer
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), configVariable+"="+in.configFile(), variable+"=3")
	cmd.ExtraFiles, cmd.Stderr = []*os.File{theirs}, &text
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	c := raw.(*net.UnixConn)
	l := wire.New(c)
	if err := say(c, l); err != nil && !errors.Is(err, wire.ErrGone) {
		t.Error(err)
	}
	for {
		m, _, err := l.Receive()
		if err != nil {
			break
		}
		if a, ok := m.(wire.Abort); ok {
			reason = a.Reason
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Errorf("it ended with %v, want an exit status", err)
	}
	return text.String(), reason
}

// TestHeirOfADeadSpeaker: whoever has sent everything and died before the answer to its hello
// leaves an heir.
func TestHeirOfADeadSpeaker(t *testing.T) {
	t.Parallel()
	dead := exec.Command("/bin/true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	in := &instance{t: t, dir: t.TempDir(), config: config{Network: "tcp", Addr: "127.0.0.1:0"}}
	in.set(func(*config) {})
	link, theirs, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(link.Send(wire.Hello{Min: 1, Max: 1, PID: dead.Process.Pid, Generation: 4}), link.Send(wire.Prepared{}), link.Close()); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), configVariable+"="+in.configFile(), variable+"=3")
	cmd.ExtraFiles, cmd.Stderr = []*os.File{theirs}, os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if want := fmt.Sprintf("serving %d 5 ", cmd.Process.Pid); !strings.HasPrefix(line, want) {
		t.Errorf("it says %q, %v, want %q", line, err, want)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

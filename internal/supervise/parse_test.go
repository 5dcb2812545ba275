//go:build unix

package supervise

import (
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestParseListen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want Listen
		name string
	}{
		{"tcp::8080", Listen{"", "tcp", ":8080"}, "tcp--8080"},
		{"web=tcp:127.0.0.1:0", Listen{"web", "tcp", "127.0.0.1:0"}, "web"},
		{"tcp:[::1]:80", Listen{"", "tcp", "[::1]:80"}, "tcp-[--1]-80"},
		{"udp:localhost:53", Listen{"", "udp", "localhost:53"}, "udp-localhost-53"},
		{"unix:/run/a=b.sock", Listen{"", "unix", "/run/a=b.sock"}, "unix--run-a-b.sock"},
		{"s=unix:@abstract", Listen{"s", "unix", "@abstract"}, "s"},
	} {
		got, err := ParseListen(c.in)
		if err != nil || got != c.want || got.name() != c.name || got.String() != c.in {
			t.Errorf("ParseListen(%q) = %+v %v, name %q, want %+v, name %q", c.in, got, err, got.name(), c.want, c.name)
		}
	}
	for _, in := range []string{"", "8080", ":8080", "tcp:8080", "=tcp::80", "sctp::80", "unix:", "a:b=tcp::80", "ü=tcp::80",
		strings.Repeat("n", 256) + "=tcp::80", "unix:a\x00b", "tcp:::::80"} {
		if got, err := ParseListen(in); err == nil {
			t.Errorf("ParseListen(%q) = %+v, want an error", in, got)
		}
	}
}

func TestParseReady(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Ready{
		"": {Kind: ReadyNotify}, "notify": {Kind: ReadyNotify}, "tcp": {Kind: ReadyTCP},
		"http:/healthz?x=1": {Kind: ReadyHTTP, Path: "/healthz?x=1"}, "delay:1.5s": {Kind: ReadyDelay, Delay: 1500 * time.Millisecond},
	} {
		if got, err := ParseReady(in); err != nil || got != want {
			t.Errorf("ParseReady(%q) = %+v %v, want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"http", "http:", "http:healthz", "http:/a b", "http:/\r\nX: y", "delay", "delay:soon", "delay:-1s", "tcp:80", "exec"} {
		if got, err := ParseReady(in); err == nil {
			t.Errorf("ParseReady(%q) = %+v, want an error", in, got)
		}
	}
}

func TestParseSignal(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int{"TERM": 15, "sigquit": 3, "SIGUSR1": int(unix.SIGUSR1), "9": 9} {
		if got, err := ParseSignal(in); err != nil || int(got) != want {
			t.Errorf("ParseSignal(%q) = %d %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "0", "65", "-1", "SIG", "GO"} {
		if got, err := ParseSignal(in); err == nil {
			t.Errorf("ParseSignal(%q) = %d, want an error", in, got)
		}
	}
}

func TestParseInherited(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		fds, pid, names string
		want            []string
		bad             bool
	}{
		{"2", "7", "a:b", []string{"a", "b"}, false},
		{"2", "7", "a:", []string{"a", "unknown"}, false},
		{"2", "7", "a:b:c", []string{"unknown", "unknown"}, false},
		{"1", "7", "", []string{"unknown"}, false},
		{"0", "7", "", nil, false},
		{"2", "8", "a:b", nil, false}, // for another process
		{"", "7", "", nil, false},
		{"-1", "7", "", nil, true},
		{"9999999", "7", "", nil, true},
		{"two", "7", "", nil, true},
	} {
		env := map[string]string{"LISTEN_FDS": c.fds, "LISTEN_PID": c.pid, "LISTEN_FDNAMES": c.names}
		n, names, err := parseInherited(func(k string) string { return env[k] }, 7)
		if (err != nil) != c.bad || n != len(c.want) || !slices.Equal(names, c.want) && n > 0 {
			t.Errorf("parseInherited(%v) = %d %q %v, want %q", env, n, names, err, c.want)
		}
	}
}

func TestWatchdogInterval(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{{"2000000", "", time.Second}, {"2000000", "7", time.Second}, {"2000000", "8", 0}, {"", "", 0}, {"0", "", 0}, {"-5", "", 0}, {"9223372036854775807", "", 0}} {
		env := map[string]string{"WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}
		if got := watchdogInterval(func(k string) string { return env[k] }, 7); got != c.want {
			t.Errorf("watchdogInterval(%v) = %s, want %s", env, got, c.want)
		}
	}
}

func TestReadGuard(t *testing.T) {
	t.Parallel()
	pids, files, bye := readGuard(strings.NewReader("+12\n+13\nf 1:2 \"/a \\nb\"\n-12\n+1\n-x\n+\n\nf x\ngarbage\n"))
	if bye || len(pids) != 1 || !pids[13] || len(files) != 1 || files["/a \nb"] != "1:2" {
		t.Errorf("readGuard = %v %q %v", pids, files, bye)
	}
	if _, _, bye := readGuard(strings.NewReader("+12\nbye\n")); !bye {
		t.Error("bye is not understood")
	}
}

func FuzzParseListen(f *testing.F) {
	f.Add("web=tcp:127.0.0.1:80")
	f.Add("unix:@a=b")
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseListen(s)
		if err != nil {
			return
		}
		if again, err := ParseListen(l.String()); err != nil || again != l {
			t.Errorf("%q: %+v becomes %+v, %v", s, l, again, err)
		}
		if !validName(l.name()) {
			t.Errorf("%q has the name %q", s, l.name())
		}
	})
}

func FuzzParseReady(f *testing.F) {
	f.Add("http:/healthz")
	f.Add("delay:1s")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseReady(s)
		if err != nil {
			return
		}
		if again, err := ParseReady(r.String()); err != nil || again != r {
			t.Errorf("%q: %+v becomes %+v, %v", s, r, again, err)
		}
	})
}

func FuzzParseInherited(f *testing.F) {
	f.Add("2", "a:b")
	f.Fuzz(func(t *testing.T, count, names string) {
		env := map[string]string{"LISTEN_FDS": count, "LISTEN_PID": "7", "LISTEN_FDNAMES": names}
		n, got, err := parseInherited(func(k string) string { return env[k] }, 7)
		if err == nil && n > 0 && (len(got) != n || slices.ContainsFunc(got, func(s string) bool { return !validName(s) })) {
			t.Errorf("%d names %q", n, got)
		}
	})
}

// FuzzNotify feeds what a child may send: the text and the control data.
func FuzzNotify(f *testing.F) {
	f.Add([]byte("READY=1\nSTATUS=x"), []byte{})
	f.Add([]byte("X_READY=1"), []byte{16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0})
	f.Fuzz(func(t *testing.T, text, oob []byte) {
		if saysReady(text) != slices.Contains(strings.Split(string(text), "\n"), "READY=1") {
			t.Errorf("saysReady(%q)", text)
		}
		if len(oob) > 12 && oob[12] == unix.SCM_RIGHTS {
			oob[12] = 0x7f // those numbers are descriptors of this process
		}
		_, _ = unix.ParseSocketControlMessage(oob)
	})
}

func FuzzReadGuard(f *testing.F) {
	f.Add("+12\nf 1:2 \"/x\"\nbye\n")
	f.Fuzz(func(t *testing.T, s string) {
		pids, _, _ := readGuard(strings.NewReader(s))
		for pid := range pids {
			if pid <= 1 {
				t.Errorf("%q: process %d would be killed", s, pid)
			}
		}
	})
}

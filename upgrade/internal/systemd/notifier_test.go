package systemd

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestWithoutManager(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]*Notifier{
		"nil":             nil,
		"zero":            {},
		"unset":           New(env()),
		"empty":           New(env("NOTIFY_SOCKET", "")),
		"only a watchdog": New(env("WATCHDOG_USEC", "garbage")),
	} {
		if n.Enabled() || n.WatchdogInterval() != 0 || n.Err() != nil {
			t.Errorf("%s: Enabled, WatchdogInterval, Err = %v, %v, %v, want false, 0, nil", name, n.Enabled(), n.WatchdogInterval(), n.Err())
		}
		for call, err := range callAll(n) {
			if err != nil {
				t.Errorf("%s: %s() = %v, want nil", name, call, err)
			}
		}
	}
}

// callAll makes every call with arguments that are right.
func callAll(n *Notifier) map[string]error {
	return map[string]error{
		"Ready":       n.Ready(),
		"Reloading":   n.Reloading(),
		"Stopping":    n.Stopping(),
		"MainPID":     n.MainPID(1),
		"Status":      n.Status("fine"),
		"Watchdog":    n.Watchdog(),
		"StoreFiles":  n.StoreFiles("web", 0),
		"RemoveFiles": n.RemoveFiles("web"),
		"Barrier":     n.Barrier(context.Background()),
	}
}

func TestSocketRefused(t *testing.T) {
	t.Parallel()
	for name, socket := range map[string]string{
		"relative":       "run/notify",
		"slash alone":    "/",
		"at alone":       "@",
		"vsock":          "vsock:2:1234",
		"vsock stream":   "vsock-stream:2:1234",
		"zero byte":      "/run/a\x00b",
		"path too long":  "/" + strings.Repeat("a", 107),
		"name too long":  "@" + strings.Repeat("a", 108),
		"a line of text": "\n",
	} {
		n := New(env("NOTIFY_SOCKET", socket, "WATCHDOG_USEC", "1000"))
		if !errors.Is(n.Err(), ErrInvalid) || !strings.Contains(n.Err().Error(), "NOTIFY_SOCKET") {
			t.Errorf("%s: Err() = %v, want ErrInvalid about NOTIFY_SOCKET", name, n.Err())
			continue
		}
		if got, want := errors.Is(n.Err(), errors.ErrUnsupported), strings.HasPrefix(socket, "vsock"); got != want {
			t.Errorf("%s: Err() is ErrUnsupported = %v, want %v", name, got, want)
		}
		if n.Enabled() || n.WatchdogInterval() != 0 {
			t.Errorf("%s: enabled all the same", name)
		}
		for call, err := range callAll(n) {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %s() = %v, want ErrInvalid", name, call, err)
			}
		}
	}
}

func TestWatchdogInterval(t *testing.T) {
	t.Parallel()
	own := strconv.Itoa(os.Getpid())
	for _, tt := range []struct {
		usec, pid string
		want      time.Duration
		bad       string
	}{
		{usec: "30000000", pid: own, want: 15 * time.Second},
		{usec: "30000000", pid: "-", want: 15 * time.Second},
		{usec: "1", pid: own, want: 500 * time.Nanosecond},
		{usec: "30000000", pid: "1"},
		{usec: "garbage", pid: "1"},
		{usec: "0", pid: own, bad: "WATCHDOG_USEC"},
		{usec: "", pid: own, bad: "WATCHDOG_USEC"},
		{usec: "-5", pid: own, bad: "WATCHDOG_USEC"},
		{usec: "1.5", pid: own, bad: "WATCHDOG_USEC"},
		{usec: "30s", pid: own, bad: "WATCHDOG_USEC"},
		{usec: "9223372036854776", pid: own, bad: "WATCHDOG_USEC"},
		{usec: "18446744073709551616", pid: own, bad: "WATCHDOG_USEC"},
		{usec: "30000000", pid: "", bad: "WATCHDOG_PID"},
		{usec: "30000000", pid: "0", bad: "WATCHDOG_PID"},
		{usec: "30000000", pid: "-1", bad: "WATCHDOG_PID"},
		{usec: "30000000", pid: "99999999999", bad: "WATCHDOG_PID"},
	} {
		pairs := []string{"NOTIFY_SOCKET", "/nowhere", "WATCHDOG_USEC", tt.usec}
		if tt.pid != "-" {
			pairs = append(pairs, "WATCHDOG_PID", tt.pid)
		}
		n := New(env(pairs...))
		if got := n.WatchdogInterval(); got != tt.want {
			t.Errorf("usec %q pid %q: WatchdogInterval() = %v, want %v", tt.usec, tt.pid, got, tt.want)
		}
		if tt.bad == "" {
			if n.Err() != nil {
				t.Errorf("usec %q pid %q: Err() = %v, want nil", tt.usec, tt.pid, n.Err())
			}
			continue
		}
		for _, err := range []error{n.Err(), n.Watchdog()} {
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.bad) {
				t.Errorf("usec %q pid %q: %v, want ErrInvalid about %s", tt.usec, tt.pid, err, tt.bad)
			}
		}
	}
}

func TestValuesRefused(t *testing.T) {
	t.Parallel()
	n := New(env("NOTIFY_SOCKET", "/nowhere/at/all"))
	for name, err := range map[string]error{
		"status newline":     n.Status("a\nREADY=1"),
		"status return":      n.Status("a\rb"),
		"status zero":        n.Status("a\x00b"),
		"status escape":      n.Status("\x1b[31m"),
		"status not UTF-8":   n.Status("\xff"),
		"status long":        n.Status(strings.Repeat("a", maxMessage)),
		"pid 0":              n.MainPID(0),
		"pid -1":             n.MainPID(-1),
		"no descriptor":      n.StoreFiles("web"),
		"descriptor -1":      n.StoreFiles("web", -1),
		"254 descriptors":    n.StoreFiles("web", make([]int, 254)...),
		"name empty":         n.StoreFiles("", 0),
		"name newline":       n.StoreFiles("a\nb", 0),
		"name colon":         n.StoreFiles("a:b", 0),
		"name long":          n.StoreFiles(strings.Repeat("a", 256), 0),
		"name not ASCII":     n.StoreFiles("ü", 0),
		"name to remove":     n.RemoveFiles("a\nFDSTORE=1"),
		"no name to remove":  n.RemoveFiles(""),
		"on nil, too":        (*Notifier)(nil).Status("a\nb"),
		"without manager":    New(env()).StoreFiles("a:b", 0),
		"without manager, 0": New(env()).MainPID(0),
	} {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

func FuzzEnvironment(f *testing.F) {
	f.Add("/run/systemd/notify", "1000", "1", "web")
	f.Add("@abstract", "0", "", "a\nb")
	f.Add("vsock:2:3", "18446744073709551615", "00", ":")
	f.Fuzz(func(t *testing.T, socket, usec, pid, text string) {
		n := New(env("NOTIFY_SOCKET", socket, "WATCHDOG_USEC", usec, "WATCHDOG_PID", pid))
		if n.WatchdogInterval() < 0 || n.WatchdogInterval() > 0 && n.Err() != nil {
			t.Errorf("WatchdogInterval() = %v with Err() = %v", n.WatchdogInterval(), n.Err())
		}
		if n.Enabled() && socket[0] != '/' && socket[0] != '@' {
			t.Errorf("%q taken for a socket", socket)
		}
		if n.Err() != nil && !errors.Is(n.Err(), ErrInvalid) {
			t.Errorf("Err() = %v, want ErrInvalid", n.Err())
		}
		if err := (*Notifier)(nil).Status(text); err == nil && strings.ContainsAny(text, "\n\x00") {
			t.Errorf("Status(%q) accepted", text)
		}
	})
}

func TestStoreLimit(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		n    *Notifier
		want int
		bad  bool
	}{
		"nil":        {nil, 0, false},
		"no manager": {New(env("FDSTORE", "8")), 0, false},
		"unset":      {New(env("NOTIFY_SOCKET", "/n")), 0, false},
		"eight":      {New(env("NOTIFY_SOCKET", "/n", "FDSTORE", "8")), 8, false},
		"none":       {New(env("NOTIFY_SOCKET", "/n", "FDSTORE", "0")), 0, false},
		"negative":   {New(env("NOTIFY_SOCKET", "/n", "FDSTORE", "-1")), 0, true},
		"text":       {New(env("NOTIFY_SOCKET", "/n", "FDSTORE", "x", "WATCHDOG_USEC", "10")), 0, true},
	} {
		if got := tt.n.StoreLimit(); got != tt.want || (tt.n.Err() != nil) != tt.bad {
			t.Errorf("%s: StoreLimit, Err = %d, %v, want %d", name, got, tt.n.Err(), tt.want)
		}
		if tt.bad && !errors.Is(tt.n.Err(), ErrInvalid) {
			t.Errorf("%s: Err = %v, want ErrInvalid", name, tt.n.Err())
		}
	}
	if n := New(env("NOTIFY_SOCKET", "/n", "FDSTORE", "x", "WATCHDOG_USEC", "10")); n.WatchdogInterval() == 0 {
		t.Error("a wrong FDSTORE costs the watchdog")
	}
}

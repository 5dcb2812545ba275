package systemd

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestListenNames(t *testing.T) {
	t.Parallel()
	const pid, unset = "4711", "-"
	for name, tt := range map[string]struct {
		pid, fds, names string
		want            []string
		bad             string
	}{
		"nothing":              {pid: unset, fds: unset, names: unset},
		"no pid":               {pid: unset, fds: "1", names: unset},
		"no count":             {pid: pid, fds: unset, names: "web"},
		"none":                 {pid: pid, fds: "0", names: unset},
		"none, named":          {pid: pid, fds: "0", names: ""},
		"one":                  {pid: pid, fds: "1", names: unset, want: []string{"unknown"}},
		"two":                  {pid: pid, fds: "2", names: "web:metrics", want: []string{"web", "metrics"}},
		"same name":            {pid: pid, fds: "2", names: "web:web", want: []string{"web", "web"}},
		"no escapes":           {pid: pid, fds: "3", names: `a%3Ab:c\x3ad:e f`, want: []string{"a%3Ab", `c\x3ad`, "e f"}},
		"empty name":           {pid: pid, fds: "1", names: "", want: []string{""}},
		"empty names":          {pid: pid, fds: "3", names: "::", want: []string{"", "", ""}},
		"longest name":         {pid: pid, fds: "1", names: strings.Repeat("a", 255), want: []string{strings.Repeat("a", 255)}},
		"other process":        {pid: "1", fds: "2", names: unset},
		"other, garbage count": {pid: "1", fds: "garbage", names: ":::"},

		"pid empty":       {pid: "", fds: "1", names: unset, bad: "LISTEN_PID"},
		"pid zero":        {pid: "0", fds: "1", names: unset, bad: "LISTEN_PID"},
		"pid negative":    {pid: "-4711", fds: "1", names: unset, bad: "LISTEN_PID"},
		"pid with spaces": {pid: " 4711", fds: "1", names: unset, bad: "LISTEN_PID"},
		"pid with zeros":  {pid: "04711", fds: "1", names: unset, bad: "LISTEN_PID"},
		"pid too large":   {pid: "2147483648", fds: "1", names: unset, bad: "LISTEN_PID"},
		"pid word":        {pid: "self", fds: "1", names: unset, bad: "LISTEN_PID"},

		"count empty":       {pid: pid, fds: "", names: unset, bad: "LISTEN_FDS"},
		"count negative":    {pid: pid, fds: "-1", names: unset, bad: "LISTEN_FDS"},
		"count signed":      {pid: pid, fds: "+1", names: unset, bad: "LISTEN_FDS"},
		"count hexadecimal": {pid: pid, fds: "0x1", names: unset, bad: "LISTEN_FDS"},
		"count fraction":    {pid: pid, fds: "1.0", names: unset, bad: "LISTEN_FDS"},
		"count line":        {pid: pid, fds: "1\n", names: unset, bad: "LISTEN_FDS"},
		"count too large":   {pid: pid, fds: "1025", names: unset, bad: "LISTEN_FDS"},
		"count enormous":    {pid: pid, fds: strings.Repeat("9", 4000), names: unset, bad: "LISTEN_FDS"},
		"count not ASCII":   {pid: pid, fds: "١", names: unset, bad: "LISTEN_FDS"},

		"a name too few":  {pid: pid, fds: "2", names: "web", bad: "LISTEN_FDNAMES"},
		"a name too many": {pid: pid, fds: "1", names: "web:", bad: "LISTEN_FDNAMES"},
		"names for none":  {pid: pid, fds: "0", names: "web", bad: "LISTEN_FDNAMES"},
		"name too long":   {pid: pid, fds: "1", names: strings.Repeat("a", 256), bad: "LISTEN_FDNAMES"},
		"name control":    {pid: pid, fds: "1", names: "a\nb", bad: "LISTEN_FDNAMES"},
		"name not ASCII":  {pid: pid, fds: "1", names: "ü", bad: "LISTEN_FDNAMES"},
	} {
		var pairs []string
		for i, v := range []string{tt.pid, tt.fds, tt.names} {
			if v != unset {
				pairs = append(pairs, ListenVariables()[i], v)
			}
		}
		got, err := listenNames(env(pairs...), 4711)
		if tt.bad == "" {
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("%s: listenNames() = %q, %v, want %q", name, got, err, tt.want)
			}
			continue
		}
		if got != nil || !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.bad+"=") {
			t.Errorf("%s: listenNames() = %q, %v, want ErrInvalid about %s", name, got, err, tt.bad)
		}
		if len(err.Error()) > 1024 {
			t.Errorf("%s: error of %d bytes", name, len(err.Error()))
		}
	}
}

// What other processes were given is not even looked at.
func TestFilesOfOthers(t *testing.T) {
	t.Parallel()
	for _, e := range []func(string) (string, bool){
		env(),
		env("LISTEN_PID", "1", "LISTEN_FDS", "3"),
		env("LISTEN_PID", "4711", "LISTEN_FDS", "0"),
	} {
		if files, err := Files(e, 4711); files != nil || err != nil {
			t.Errorf("Files() = %v, %v, want none", files, err)
		}
	}
}

func FuzzListenNames(f *testing.F) {
	f.Add("1", "2", "web:metrics", true)
	f.Add("1", "1024", "", false)
	f.Add("0", "-1", "::", true)
	f.Fuzz(func(t *testing.T, pid, fds, names string, named bool) {
		pairs := []string{"LISTEN_PID", pid, "LISTEN_FDS", fds}
		if named {
			pairs = append(pairs, "LISTEN_FDNAMES", names)
		}
		got, err := listenNames(env(pairs...), 1)
		if err != nil {
			if got != nil || !errors.Is(err, ErrInvalid) {
				t.Fatalf("listenNames() = %q, %v, want nil and ErrInvalid", got, err)
			}
			return
		}
		if len(got) == 0 {
			return
		}
		if pid != "1" || fds != strconv.Itoa(len(got)) || len(got) > maxListenFDs {
			t.Fatalf("pid %q fds %q: %d names", pid, fds, len(got))
		}
		if named && strings.Join(got, ":") != names {
			t.Fatalf("names %q of %q", got, names)
		}
	})
}

func FuzzDecimal(f *testing.F) {
	f.Add("0", uint64(0))
	f.Add("1024", uint64(1024))
	f.Add("18446744073709551616", uint64(math.MaxUint64))
	f.Fuzz(func(t *testing.T, s string, most uint64) {
		if v, ok := parseDecimal(s, most); ok && (v > most || strconv.FormatUint(v, 10) != s) {
			t.Errorf("parseDecimal(%q, %d) = %d", s, most, v)
		}
	})
}

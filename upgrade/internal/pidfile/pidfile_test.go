package pidfile

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "app.pid")
	for _, pid := range []int{1, 7, 4711, 4194304, math.MaxInt32, 10} {
		if err := Write(path, pid); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil || string(b) != strconv.Itoa(pid)+"\n" {
			t.Errorf("file of %d holds %q, %v", pid, b, err)
		}
		if got, err := Read(path); got != pid || err != nil {
			t.Errorf("Read() = %d, %v, want %d", got, err, pid)
		}
	}
	wantAlone(t, dir, "app.pid")
}

func TestLongName(t *testing.T) {
	t.Parallel()
	dir, name := t.TempDir(), strings.Repeat("n", 255)
	if err := Write(filepath.Join(dir, name), 1); err != nil {
		t.Fatal(err)
	}
	wantAlone(t, dir, name)
}

func TestPIDRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "app.pid")
	for _, pid := range []int{0, -1, math.MinInt} {
		if err := Write(path, pid); !errors.Is(err, ErrMalformed) {
			t.Errorf("Write(%d) = %v, want ErrMalformed", pid, err)
		}
	}
	wantAlone(t, dir)
}

var contents = []struct {
	text string
	want int // 0 for none
}{
	{"1\n", 1}, {"1", 1}, {"2147483647\n", math.MaxInt32}, {"2147483647", math.MaxInt32},
	{"", 0}, {"\n", 0}, {"0\n", 0}, {"-1\n", 0}, {"+1\n", 0}, {"01\n", 0}, {" 1\n", 0}, {"1 \n", 0},
	{"1\n\n", 0}, {"1\r\n", 0}, {"1\n2\n", 0}, {"0x10\n", 0}, {"1e3\n", 0}, {"1_0\n", 0}, {"1.0\n", 0},
	{"2147483648\n", 0}, {"9999999999\n", 0}, {"10000000000\n", 0}, {"12345678901234567890\n", 0},
	{"1\x00", 0}, {"\x00\x00", 0}, {"١\n", 0}, {"pid\n", 0}, {strings.Repeat("1", 1<<16), 0},
}

func TestRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "app.pid")
	for _, tt := range contents {
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Read(path)
		if got != tt.want || (tt.want == 0) != errors.Is(err, ErrMalformed) || tt.want != 0 && err != nil {
			t.Errorf("Read(%.40q) = %d, %v, want %d", tt.text, got, err, tt.want)
		}
		if err != nil && (!strings.Contains(err.Error(), path) || len(err.Error()) > len(path)+256) {
			t.Errorf("Read(%.40q): error %q, want a short one that names the file", tt.text, err)
		}
		// A later writer mends it, whatever it held.
		if err := Write(path, 5); err != nil {
			t.Errorf("Write() over %.40q = %v", tt.text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, tt := range contents {
		f.Add([]byte(tt.text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		pid, err := parse(b)
		if err != nil {
			if pid != 0 || !errors.Is(err, ErrMalformed) {
				t.Fatalf("parse(%q) = %d, %v", b, pid, err)
			}
			return
		}
		text, err := format(pid)
		if err != nil || strings.TrimSuffix(string(b), "\n") != strings.TrimSuffix(text, "\n") {
			t.Fatalf("parse(%q) = %d, which is %q, %v", b, pid, text, err)
		}
	})
}

func TestPathRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "plain"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		path string
		want error
	}{
		"empty":                {"", fs.ErrInvalid},
		"missing directory":    {filepath.Join(dir, "no", "app.pid"), fs.ErrNotExist},
		"directory":            {filepath.Join(dir, "folder"), ErrNotRegular},
		"directory, separator": {filepath.Join(dir, "folder") + "/", ErrNotRegular},
		"separator":            {filepath.Join(dir, "app.pid") + "/", ErrNotRegular},
		"file as directory":    {filepath.Join(dir, "plain", "app.pid"), errAny},
		"name too long":        {filepath.Join(dir, strings.Repeat("n", 256)), errAny},
		"zero byte":            {filepath.Join(dir, "a\x00b"), errAny},
	} {
		err := Write(tt.path, 1)
		if err == nil || tt.want != errAny && !errors.Is(err, tt.want) {
			t.Errorf("%s: Write() = %v, want %v", name, err, tt.want)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "write pid file") {
			t.Errorf("%s: error %q does not say what failed", name, err)
		}
	}
	wantAlone(t, dir, "folder", "plain")
	wantAlone(t, filepath.Join(dir, "folder"))
}

// errAny stands for an error whose kind differs between systems.
var errAny = errors.New("any")

func TestSymbolicLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, []byte("7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Skipf("no symbolic links: %v", err)
	}
	if err := Write(link, 1); !errors.Is(err, ErrNotRegular) {
		t.Errorf("Write() = %v, want ErrNotRegular", err)
	}
	if pid, err := Read(link); !errors.Is(err, ErrNotRegular) {
		t.Errorf("Read() = %d, %v, want ErrNotRegular", pid, err)
	}
	if removed, err := Remove(link, 7); removed || !errors.Is(err, ErrNotRegular) {
		t.Errorf("Remove() = %v, %v, want ErrNotRegular", removed, err)
	}
	if pid, err := Read(target); pid != 7 || err != nil {
		t.Errorf("the link's target holds %d, %v, want 7", pid, err)
	}
	wantAlone(t, dir, "link", "target")
}

func TestRemove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "app.pid")
	if removed, err := Remove(path, 1); removed || err != nil {
		t.Errorf("Remove(no file) = %v, %v, want false, nil", removed, err)
	}
	if err := Write(path, 2); err != nil {
		t.Fatal(err)
	}
	if removed, err := Remove(path, 1); removed || err != nil {
		t.Errorf("Remove(the successor's file) = %v, %v, want false, nil", removed, err)
	}
	wantAlone(t, dir, "app.pid")
	if removed, err := Remove(path, 2); !removed || err != nil {
		t.Errorf("Remove() = %v, %v, want true, nil", removed, err)
	}
	wantAlone(t, dir)
	if err := os.WriteFile(path, []byte("2\ngarbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if removed, err := Remove(path, 2); removed || !errors.Is(err, ErrMalformed) {
		t.Errorf("Remove(garbage) = %v, %v, want ErrMalformed", removed, err)
	}
	wantAlone(t, dir, "app.pid")
}

// Whoever reads while others write sees a whole number.
func TestConcurrentWriters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "app.pid")
	if err := Write(path, 11); err != nil {
		t.Fatal(err)
	}
	var writers, reader sync.WaitGroup
	done := make(chan struct{})
	reader.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if pid, err := Read(path); err != nil || pid%11 != 0 {
				t.Errorf("Read() = %d, %v, want a multiple of 11", pid, err)
				return
			}
		}
	})
	for _, pid := range []int{11, 2200, 330000, 44000000} {
		writers.Go(func() {
			for range 25 {
				if err := Write(path, pid); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	reader.Wait()
	wantAlone(t, dir, "app.pid")
}

// Each step fails, before it was done and after.
func TestFaults(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, done := range []bool{false, true} {
		for _, op := range steps {
			dir := t.TempDir()
			path := filepath.Join(dir, "app.pid")
			if err := Write(path, 1); err != nil {
				t.Fatal(err)
			}
			w := &writer{fault: func(o string, d bool) error {
				if o == op && d == done {
					return broken
				}
				return nil
			}}
			err := w.write(path, 2)
			if !errors.Is(err, broken) {
				t.Errorf("%s, done %v: write() = %v, want the fault", op, done, err)
			}
			want := 1
			if op == "rename" && done || op == "syncdir" {
				want = 2
			}
			if pid, err := Read(path); pid != want || err != nil {
				t.Errorf("%s, done %v: file holds %d, %v, want %d", op, done, pid, err, want)
			}
			var sync *SyncError
			if got := errors.As(err, &sync); got != (op == "syncdir") {
				t.Errorf("%s, done %v: SyncError = %v", op, done, got)
			}
			wantAlone(t, dir, "app.pid")
		}
	}
}

// A trial leaves nothing behind, whatever becomes of it.
func TestTry(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	dir := t.TempDir()
	path := filepath.Join(dir, "app.pid")
	if err := Try(path); err != nil {
		t.Errorf("Try(no file) = %v", err)
	}
	wantAlone(t, dir)
	if err := Write(path, 1); err != nil {
		t.Fatal(err)
	}
	for _, op := range []string{"", "create", "write", "close", "remove"} {
		for _, done := range []bool{false, true} {
			w := &writer{fault: func(o string, d bool) error {
				if o == "sync" {
					t.Error("a trial waits for the disk")
				}
				if o == op && d == done {
					return broken
				}
				return nil
			}}
			if err := w.try(path); errors.Is(err, broken) != (op != "") || op == "" && err != nil {
				t.Errorf("%q, done %v: try() = %v", op, done, err)
			}
			if op == "remove" && !done { // it could not be
				continue
			}
			if pid, err := Read(path); pid != 1 || err != nil {
				t.Errorf("%q, done %v: file holds %d, %v, want 1", op, done, pid, err)
			}
		}
	}
	if err := Try(dir); !errors.Is(err, ErrNotRegular) {
		t.Errorf("Try(directory) = %v, want ErrNotRegular", err)
	}
	if err := Try(filepath.Join(dir, "no", "app.pid")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Try(missing directory) = %v, want fs.ErrNotExist", err)
	}
}

// steps are the steps of a write, in order.
var steps = []string{"create", "write", "sync", "close", "rename", "syncdir"}

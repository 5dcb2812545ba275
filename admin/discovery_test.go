package admin

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"

	adminv1 "github.com/theseus-run/theseus/admin/v1"
)

func TestNewToken(t *testing.T) {
	a, b := NewToken(), NewToken()
	raw, err := base64.RawURLEncoding.DecodeString(a)
	if err != nil || len(raw) != 32 || a == b {
		t.Errorf("NewToken = %q, %q (%v)", a, b, err)
	}
}

func TestDiscovery(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadDiscovery(dir); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "is the app running?") {
		t.Errorf("reading none = %v", err)
	}
	if err := RemoveDiscovery(dir, 7); err != nil {
		t.Errorf("removing none = %v", err)
	}
	want := Discovery{URL: "http://127.0.0.1:1", Socket: "/s", Token: "t", PID: 7}
	if err := WriteDiscovery(dir, want); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadDiscovery(dir); err != nil || got != want {
		t.Errorf("ReadDiscovery = %+v, %v", got, err)
	}
	path := filepath.Join(dir, ".theseus", "admin.json")
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v, want 0600", info.Mode(), err)
	}
	if err := RemoveDiscovery(dir, 8); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the file of another process was removed: %v", err)
	}
	if err := RemoveDiscovery(dir, 7); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the own file was left: %v", err)
	}

	for name, body := range map[string]string{
		"empty": "", "cut": `{"url":"http`, "list": "[]", "no address": `{"token":"t"}`,
		"large": `{"url":"` + strings.Repeat("x", maxDiscovery) + `"}`,
	} {
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		if d, err := ReadDiscovery(dir); err == nil || !strings.Contains(err.Error(), "admin.json") {
			t.Errorf("%s: %+v, %v, want an error that names the file", name, d, err)
		}
	}
}

// A reader never sees half a file, and no temporary file is left.
func TestDiscoveryAtomic(t *testing.T) {
	dir := t.TempDir()
	d := Discovery{URL: "http://127.0.0.1:1", Token: strings.Repeat("t", 8000)}
	if err := WriteDiscovery(dir, d); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			// Windows may refuse to open a file in the moment it is replaced.
			if got, err := ReadDiscovery(dir); runtime.GOOS != "windows" && (err != nil || len(got.Token) != 8000) {
				t.Errorf("read %d: %d bytes of token, %v", i, len(got.Token), err)
				return
			}
		}
	})
	for i := range 50 {
		d.PID = i
		if err := WriteDiscovery(dir, d); err != nil && runtime.GOOS != "windows" {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	files, err := os.ReadDir(filepath.Join(dir, ".theseus"))
	if err != nil || len(files) != 1 {
		t.Errorf("%d files are left, want 1 (%v)", len(files), err)
	}
}

func TestDiscoveryUnwritable(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ".theseus"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteDiscovery(dir, Discovery{}); err == nil || !strings.Contains(err.Error(), "admin.json") {
		t.Errorf("error = %v, want one that names the file", err)
	}
}

// A socket that a dead process left is replaced, everything else is kept.
func TestListenUnix(t *testing.T) {
	skipWithoutModes(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ListenUnix(path); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("beside a listener that answers: %v", err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	l, err := ListenUnix(path)
	if err != nil {
		t.Fatalf("in place of a stale socket: %v", err)
	}
	if l.Addr().String() != path {
		t.Errorf("Addr = %s, want %s", l.Addr(), path)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("%d files, want the socket alone", len(files))
	}
	// Another's file in its place survives the close.
	os.Remove(path)
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	l.Close()
	if b, err := os.ReadFile(path); string(b) != "mine" {
		t.Errorf("the file in its place = %q, %v", b, err)
	}
	if _, err := ListenUnix(path); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("over a file: %v", err)
	}
	if _, err := ListenUnix(filepath.Join(dir, strings.Repeat("x", 120))); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("with a long path: %v", err)
	}
	if _, err := ListenUnix(filepath.Join(dir, "none", "s")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in no directory: %v", err)
	}
}

func TestDialTargets(t *testing.T) {
	for _, bad := range []Target{{}, {URL: "127.0.0.1:8081"}, {URL: "ftp://x"}, {URL: "http://"}, {URL: "http://%zz"}} {
		if _, err := Dial(bad); err == nil || !strings.HasPrefix(err.Error(), "dial admin: ") {
			t.Errorf("Dial(%+v) = %v, want an error", bad, err)
		}
	}
}

// The token is not carried to where a redirect points.
func TestNoRedirects(t *testing.T) {
	var leaked string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { leaked = r.Header.Get("Authorization") }))
	defer other.Close()
	hop := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer hop.Close()
	_, err := dial(t, Target{URL: hop.URL, Token: testToken}).GetStatus(t.Context(), connect.NewRequest(&adminv1.GetStatusRequest{}))
	if err == nil || leaked != "" {
		t.Errorf("error = %v, token at the other host = %q", err, leaked)
	}
}

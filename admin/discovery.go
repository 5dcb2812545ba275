package admin

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Discovery says where the admin listener of an app is. It is kept in
// .theseus/admin.json of the app directory, mode 0600, as JSON.
type Discovery struct {
	URL    string `json:"url,omitempty"`
	Socket string `json:"socket,omitempty"` // absolute path
	Token  string `json:"token"`
	PID    int    `json:"pid"`
}

// maxDiscovery bounds the file, in bytes.
const maxDiscovery = 64 << 10

// NewToken returns 32 random bytes in base64url.
func NewToken() string {
	var b [32]byte
	rand.Read(b[:]) // never fails: the runtime stops the process instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Target returns what to dial.
func (d Discovery) Target() Target { return Target{URL: d.URL, Socket: d.Socket, Token: d.Token} }

func discoveryPath(dir string) string { return filepath.Join(dir, ".theseus", "admin.json") }

// WriteDiscovery replaces the discovery file of the app directory dir at once: a
// reader sees the old one or the new one. It makes .theseus if that is missing.
func WriteDiscovery(dir string, d Discovery) (err error) {
	path := discoveryPath(dir)
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	body, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	// open(O_EXCL, 0600), write, fsync, rename, fsync of the directory
	f, err := os.CreateTemp(filepath.Dir(path), ".admin-*.json")
	if err != nil {
		return err
	}
	_, err = f.Write(append(body, '\n'))
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename in dir durable where the system can.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// ReadDiscovery reads the discovery file of the app directory dir. The error
// wraps [fs.ErrNotExist] when no process runs the app, or none that has an admin
// listener.
func ReadDiscovery(dir string) (Discovery, error) {
	path := discoveryPath(dir)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Discovery{}, fmt.Errorf("no admin listener is known for %s: is the app running? %w", dir, err)
	}
	if err != nil {
		return Discovery{}, fmt.Errorf("read discovery: %w", err)
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, maxDiscovery+1))
	if err != nil {
		return Discovery{}, fmt.Errorf("read %s: %w", path, err)
	}
	var d Discovery
	if len(body) > maxDiscovery {
		return Discovery{}, fmt.Errorf("read %s: it is larger than %d bytes", path, maxDiscovery)
	}
	if err := json.Unmarshal(body, &d); err != nil {
		return Discovery{}, fmt.Errorf("read %s: %w", path, err)
	}
	if d.URL == "" && d.Socket == "" {
		return Discovery{}, fmt.Errorf("read %s: it names neither an address nor a socket", path)
	}
	return d, nil
}

// RemoveDiscovery removes the file of the app directory dir if it is still that
// of process pid; a file of another process, or none, is left as it is.
func RemoveDiscovery(dir string, pid int) error {
	d, err := ReadDiscovery(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && d.PID != pid {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Remove(discoveryPath(dir))
}

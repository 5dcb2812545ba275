package upgrade

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// ownPath is the file that this process was started from: by the name that the
// predecessor used, else by its first argument, if that names the program which
// runs. Whoever starts a process may put anything there; then the system's own word
// counts. Symbolic links are not resolved: they may be switched before the next
// upgrade, and the file may be replaced.
func ownPath(inherited bool) (string, error) {
	if path := os.Getenv(pathVariable); inherited && filepath.IsAbs(path) {
		return path, nil
	}
	path, err := programPath(os.Args[0])
	running, statErr := os.Stat("/proc/self/exe")
	if statErr != nil && err == nil {
		return path, nil // the system does not tell, or only by a path
	}
	if named, statErr := os.Stat(path); err == nil && statErr == nil && os.SameFile(named, running) {
		return path, nil
	}
	if path, err = os.Executable(); err != nil {
		return "", fmt.Errorf("find the program: %w", err)
	}
	return strings.TrimSuffix(path, " (deleted)"), nil
}

// programPath makes the name of a program absolute: a name with a separator is
// relative to the working directory, another is looked up in PATH.
func programPath(name string) (string, error) {
	if !strings.ContainsRune(name, filepath.Separator) {
		found, err := exec.LookPath(name)
		if err != nil && !errors.Is(err, exec.ErrDot) {
			return "", fmt.Errorf("find the program: %w", err)
		}
		name = found
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return "", fmt.Errorf("find the program: %w", err)
	}
	return path, nil
}

// digest returns the SHA-256 of the file in hex.
func digest(f *os.File) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// dryRun runs the program with Options.CheckArgs to its end.
func (u *Upgrader) dryRun(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, u.opt.CheckTimeout, fmt.Errorf("the check did not end within %s", u.opt.CheckTimeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, path, u.opt.CheckArgs...)
	cmd.Env = append(successorEnv(os.Environ()), u.opt.Env...)
	cmd.WaitDelay = time.Second
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return fmt.Errorf("%s %s: %w%s", filepath.Base(path), strings.Join(u.opt.CheckArgs, " "), err, out.suffix())
}

// A tail keeps the last bytes of what a program prints.
type tail struct{ buf bytes.Buffer }

const tailSize = 2 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.buf.Write(p)
	if over := t.buf.Len() - tailSize; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

func (t *tail) suffix() string {
	if text := strings.TrimSpace(strings.ToValidUTF8(t.buf.String(), "")); text != "" {
		return ": " + text
	}
	return ""
}

// release says what this process runs, without the digest, which takes time.
func (u *Upgrader) release() wire.Release {
	r := wire.Release{Path: u.path}
	if info, ok := debug.ReadBuildInfo(); ok {
		r.Version = info.Main.Version // as the Go command stamped it
	}
	return r
}

// successorEnv is env without what was meant for this process alone.
func successorEnv(env []string) []string {
	var kept []string
	for _, kv := range env {
		switch name, _, _ := strings.Cut(kv, "="); name {
		case variable, pathVariable, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID":
		default:
			kept = append(kept, kv)
		}
	}
	return kept
}

// ownDigest is the digest of the program that this process runs, "" if it cannot
// be read. It is computed once.
func (u *Upgrader) ownDigest() string {
	u.digestOnce.Do(func() {
		path := "/proc/self/exe"
		if runtime.GOOS != "linux" {
			path = u.path
		}
		if f, err := os.Open(path); err == nil {
			defer f.Close()
			u.digest, _ = digest(f)
		}
	})
	return u.digest
}

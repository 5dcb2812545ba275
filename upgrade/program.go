package upgrade

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/theseus-run/theseus/internal/executable"
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
	path, err := executable.Find(os.Args[0])
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
	return programName(path), nil
}

// programName is the name that the system gives for a program that runs, also when
// the file has been replaced since.
func programName(path string) string { return strings.TrimSuffix(path, " (deleted)") }

// digest returns the SHA-256 of the file in hex. With hurry it rests after each
// piece until hurry is closed: requests are not to wait for a processor.
func digest(f *os.File, hurry <-chan struct{}) (string, error) {
	h, piece := sha256.New(), make([]byte, 256<<10)
	for r := io.NewSectionReader(f, 0, math.MaxInt64); ; {
		n, err := r.Read(piece)
		h.Write(piece[:n])
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", err
		}
		select {
		case <-hurry:
			hurry = nil
		default:
			if hurry != nil {
				time.Sleep(time.Millisecond)
			}
		}
	}
}

// A hashing is a digest that is computed beside what goes on.
type hashing struct {
	hurry, done chan struct{}
	digest      string // it and err are valid once done is closed
	err         error
}

func startHashing(f *os.File) *hashing {
	h := &hashing{hurry: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(h.done)
		h.digest, h.err = digest(f, h.hurry)
	}()
	return h
}

// wait returns the digest. It is called once.
func (h *hashing) wait() (string, error) {
	close(h.hurry)
	<-h.done
	return h.digest, h.err
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

// rehearse saves the next upgrade a wait: the first time that a process starts
// another, package os finds out what the system can do by starting a third.
func rehearse() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Release()
	}
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
	r := wire.Release{Path: u.path, Counter: u.opt.Counter}
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
		case variable, supervisorVariable, beatVariable, pathVariable, markVariable, "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID":
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
			u.digest, _ = digest(f, nil)
		}
	})
	return u.digest
}

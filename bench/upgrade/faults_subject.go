package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// subjectPeer is the server that is mistreated: that of the broken releases, built
// so that it works.
var subjectPeer = Peer{Name: "subject", dir: "bench/upgrade/broken", broken: "bench/upgrade/broken"}

// A timing is what the time-outs of a subject are. Short ones keep a run short; they
// are long enough for a machine that is busy.
type timing struct {
	ready, probation, heartbeat, idle, drain time.Duration
}

// A subject is a service that is watched closely: who accepted which connection, and
// what each process says of its upgrades.
type subject struct {
	*Service
	second string // path of the Unix socket that it listens on beside addr
	ledger string // prefix of the files in which its processes note their connections
	args   []string
}

// launch starts a program in a new folder and waits for its first answer.
func launch(ctx context.Context, program, dir string, t timing) (*subject, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	s := &subject{Service: &Service{peer: &subjectPeer, dir: dir, exe: filepath.Join(dir, "server"), pidFile: filepath.Join(dir, "pid")},
		second: filepath.Join(dir, "sock"), ledger: filepath.Join(dir, "ledger")}
	if err := s.replace(program); err != nil {
		return nil, err
	}
	var err error
	for range 3 { // an address that was free may be somebody else's by now
		if s.addr, err = freeAddress(); err != nil {
			return nil, err
		}
		s.args = []string{"-addr", s.addr, "-second", s.second, "-pidfile", s.pidFile, "-ledger", s.ledger,
			"-ready", t.ready.String(), "-probation", t.probation.String(), "-heartbeat", t.heartbeat.String(),
			"-idle", t.idle.String(), "-drain", t.drain.String()}
		if _, err = s.restart(ctx); err == nil || ctx.Err() != nil {
			break
		}
		s.group = nil // it has ended
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// replaceByVariant puts a program in place that does the same as another and is not
// the same file, so that nobody remembers it.
func (s *subject) replaceByVariant(program string, n int) error {
	text, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	next := s.exe + ".variant"
	if err := os.WriteFile(next, fmt.Appendf(text, "variant %d", n), 0o755); err != nil {
		return err
	}
	return os.Rename(next, s.exe)
}

// restart starts the service anew, as an init would, and returns how long it took
// until the first answer.
func (s *subject) restart(ctx context.Context) (time.Duration, error) {
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := exec.Command(s.exe, s.args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	begin := time.Now()
	g, err := startGroup(cmd)
	if err != nil {
		return 0, err
	}
	if s.group != nil {
		if err := s.group.end(); err != nil {
			return 0, errors.Join(err, g.end())
		}
	}
	s.group = g
	pid, at, err := s.await(ctx, startLimit, nil)
	if err == nil {
		err = s.awaitNamed(ctx, pid)
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("no answer after the start: %w\n%s", err, s.tail()), s.stop())
	}
	return at.Sub(begin), nil
}

func (s *subject) logFile() string { return filepath.Join(s.dir, "log") }

// A verdict is what an upgrade that was asked for through the service came to.
type verdict struct {
	Status     int           `json:"-"` // 200, 409 or 422; 0 without an answer
	PID        int           `json:"pid"`
	Error      string        `json:"error"`
	RolledBack bool          `json:"rolled_back"`
	Took       time.Duration `json:"-"`
	Late       bool          `json:"-"` // no answer came by the limit
}

// conflict says that another upgrade had the precedence.
func (v *verdict) conflict() bool { return v.Status == http.StatusConflict }

// order asks for an upgrade through the service and returns the answer.
func (s *subject) order(ctx context.Context, limit time.Duration) *verdict {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tr := &http.Transport{DisableKeepAlives: true}
	begin := time.Now()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.addr+"/-/upgrade", strings.NewReader(""))
	if err != nil {
		return &verdict{Error: err.Error()}
	}
	resp, err := tr.RoundTrip(r)
	if err != nil {
		return &verdict{Error: err.Error(), Took: time.Since(begin), Late: ctx.Err() != nil}
	}
	defer resp.Body.Close()
	v := &verdict{Status: resp.StatusCode}
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		v.Error = fmt.Sprintf("status %d without a verdict: %v", resp.StatusCode, err)
	}
	v.Took = time.Since(begin)
	return v
}

// only waits until the service consists of just these processes, and returns those
// that there are besides.
func (s *subject) only(ctx context.Context, limit time.Duration, pids ...int) []int {
	deadline := time.Now().Add(limit)
	for {
		var more []int
		for _, pid := range members(s.group.id) {
			if !slices.Contains(pids, pid) {
				more = append(more, pid)
			}
		}
		if len(more) == 0 || time.Now().After(deadline) || !sleep(ctx, 5*time.Millisecond) {
			return more
		}
	}
}

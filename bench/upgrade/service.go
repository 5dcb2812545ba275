package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

const (
	// startLimit is how long a server may take until its first answer.
	startLimit = 15 * time.Second
	// servingLimit is how long an upgrade may take until the new process serves.
	servingLimit = 10 * time.Second
	// askAgain is how long an upgrade that does not come is waited for before the
	// server is asked again.
	askAgain = 3 * time.Second
)

// A Service is a peer that runs, with all the processes that it turns into. Its
// methods are for one goroutine.
type Service struct {
	peer    *Peer
	addr    string
	dir     string
	exe     string
	pidFile string
	group   *group
	rec     *Recorder // takes down what ask sees, unless it is nil
}

// start runs a program of the peer, with flags beside those that all have, and waits
// for its first answer, which took the given time. dir must be new.
func start(ctx context.Context, p *Peer, program, dir string, flags ...string) (_ *Service, took time.Duration, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, 0, err
	}
	s := &Service{peer: p, dir: dir, exe: filepath.Join(dir, "server"), pidFile: filepath.Join(dir, "pid")}
	if err := s.replace(program); err != nil {
		return nil, 0, err
	}
	if s.addr, err = freeAddress(); err != nil {
		return nil, 0, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, 0, err
	}
	defer log.Close()
	cmd := exec.Command(s.exe, append([]string{"-addr", s.addr, "-pidfile", s.pidFile}, flags...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	begin := time.Now()
	if s.group, err = startGroup(cmd); err != nil {
		return nil, 0, err
	}
	if _, at, err := s.await(ctx, startLimit, nil); err == nil {
		return s, at.Sub(begin), nil
	} else {
		return nil, 0, errors.Join(fmt.Errorf("%s: no answer after the start: %w\n%s", p.Name, err, s.tail()), s.stop())
	}
}

// stop kills every process of the service.
func (s *Service) stop() error { return s.group.end() }

// replace puts a program in the place of the server's own, by renaming.
func (s *Service) replace(program string) error {
	next := s.exe + ".new"
	if err := os.Link(program, next); err != nil {
		return err
	}
	if err := os.Rename(next, s.exe); err != nil {
		return err
	}
	// rename(2) leaves both names when they are the same file already.
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// pid returns the process that the pid file names.
func (s *Service) pid() (int, error) {
	text, err := os.ReadFile(s.pidFile)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("%s: %q is no process id", s.pidFile, text)
	}
	return pid, nil
}

// awaitNamed waits until the pid file names a process: a server that may still
// take an upgrade back writes it when it no longer does.
func (s *Service) awaitNamed(ctx context.Context, pid int) error {
	deadline := time.Now().Add(servingLimit)
	for {
		named, err := s.pid()
		switch {
		case err == nil && named == pid:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("process %d serves, and %v later the pid file does not name it but %d (%v)", pid, servingLimit, named, err)
		case !sleep(ctx, pollEvery):
			return ctx.Err()
		}
	}
}

// trigger asks the current process to upgrade and returns which that is and when
// it was asked.
func (s *Service) trigger() (pid int, at time.Time, err error) {
	if pid, err = s.pid(); err != nil {
		return 0, time.Time{}, fmt.Errorf("upgrade: %w", err)
	}
	if !running(pid) || !inGroup(pid, s.group.id) {
		return pid, time.Time{}, fmt.Errorf("upgrade: process %d of the pid file is none of the service's that run", pid)
	}
	at = time.Now()
	if err := upgradeSignal(pid); err != nil {
		return pid, at, fmt.Errorf("upgrade: signal process %d: %w", pid, err)
	}
	return pid, at, nil
}

// An upgraded is an upgrade that has been asked for.
type upgraded struct {
	old, now int // processes; now is 0 if none came
	asked    []time.Time
	served   time.Time // when now first answered
}

// at is when the request came that was followed.
func (u *upgraded) at() time.Time { return u.asked[len(u.asked)-1] }

// upgrade puts a program in place, asks for it to be run, and waits until a process
// answers that is not the one asked nor one of those given. A server may refuse
// while it is busy with an earlier upgrade, and does not tell: it is asked again
// until limit has passed.
func (s *Service) upgrade(ctx context.Context, program string, limit time.Duration, not ...int) (u upgraded, err error) {
	if err := s.replace(program); err != nil {
		return u, err
	}
	for deadline := time.Now().Add(limit); ; {
		old, at, err := s.trigger()
		if err == nil {
			u.old, u.asked = old, append(u.asked, at)
			u.now, u.served, err = s.await(ctx, min(askAgain, limit), append(not, old))
		}
		switch {
		case err == nil:
			return u, nil
		case ctx.Err() != nil:
			return u, ctx.Err()
		case time.Now().After(deadline) || len(members(s.group.id)) == 0:
			return u, err
		}
		sleep(ctx, askAgain/10)
	}
}

// ask asks once on a fresh connection and returns the process that answered well.
func (s *Service) ask(ctx context.Context) (int, *Failure) {
	begin := time.Now()
	pid, f := s.askOnce(ctx)
	switch {
	case s.rec == nil || ctx.Err() != nil:
	case f != nil:
		s.rec.failed("probe", f)
	default:
		s.rec.answered(begin, false)
	}
	return pid, f
}

func (s *Service) askOnce(ctx context.Context) (int, *Failure) {
	if s.peer.service != "" {
		g := newGRPC(s.addr, s.peer.service)
		defer g.close()
		return g.unary(0)
	}
	c := newClient(s.addr)
	defer c.close()
	a, f := c.do(ctx, "/", nil)
	if f != nil {
		return f.PID, f
	}
	return a.pid, nil
}

// await asks on fresh connections until a process answers well that is not one of
// those given.
func (s *Service) await(ctx context.Context, limit time.Duration, not []int) (pid int, at time.Time, err error) {
	deadline := time.Now().Add(limit)
	for {
		pid, f := s.ask(ctx)
		at := time.Now()
		if f == nil && !slices.Contains(not, pid) {
			return pid, at, nil
		}
		switch {
		case ctx.Err() != nil:
			return 0, at, ctx.Err()
		case at.Before(deadline):
		case f != nil:
			return 0, at, fmt.Errorf("no good answer within %v: %w", limit, f)
		default:
			return 0, at, fmt.Errorf("process %d still answers after %v", pid, limit)
		}
		sleep(ctx, pollEvery)
	}
}

// tail is the end of what the service wrote.
func (s *Service) tail() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(text[max(0, len(text)-2000):])
}

// freeAddress finds a port of the loopback interface that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

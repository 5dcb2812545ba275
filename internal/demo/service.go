package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/theseus-run/theseus/admin"
	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/app"
)

// patience bounds every wait for a process: it is for what hangs, not for what is
// slow.
const patience = 2 * time.Minute

// A service is `theseus run` in a process of its own, and those that replace it.
type service struct {
	dir   string // of the app
	cmd   *exec.Cmd
	first chan struct{} // closed when the first process has ended
	over  chan struct{} // closed when the last one has
	log   tail

	target admin.Target // of the admin API, the same for all of them
	url    string       // of the app
}

// startService runs the program in its own process group, and returns when it serves.
func startService(ctx context.Context, program, dir string, args ...string) (*service, error) {
	s := &service{dir: dir, first: make(chan struct{}), over: make(chan struct{})}
	s.cmd = exec.Command(program, append([]string{"run", dir}, args...)...)
	s.cmd.SysProcAttr = ownGroup()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.cmd.Stdout, s.cmd.Stderr = w, w
	err = s.cmd.Start()
	w.Close()
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("start theseus run (TMPDIR says where its file lies, and must allow programs to be started): %w", err)
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.first)
	}()
	go func() { // whoever replaces a process inherits the pipe from it
		_, _ = io.Copy(&s.log, r)
		r.Close()
		close(s.over)
	}()
	if err := s.untilServing(ctx); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// untilServing waits until the first process has left word of itself and answers.
func (s *service) untilServing(ctx context.Context) error {
	return until(ctx, "theseus run to serve", func() (bool, error) {
		select {
		case <-s.first:
			return false, fmt.Errorf("theseus run ended: %s%s", s.cmd.ProcessState, s.log.suffix())
		default:
		}
		d, err := admin.ReadDiscovery(s.dir)
		if err != nil || d.PID != s.cmd.Process.Pid || d.URL == "" {
			return false, nil
		}
		s.target = admin.Target{URL: d.URL, Token: d.Token}
		st, err := s.status(ctx)
		if err != nil || len(st.Listen) == 0 {
			return false, err
		}
		s.url = "http://" + st.Listen[0]
		return st.Ready, nil
	})
}

// console is the address of the console with the token that opens it.
func (s *service) console() string {
	return s.target.URL + "/#t=" + url.QueryEscape(s.target.Token)
}

// dial returns a client with connections of its own: what it asks is answered by
// the process that accepts now.
func (s *service) dial(ctx context.Context) (*admin.Client, context.Context, func(), error) {
	c, err := admin.Dial(s.target)
	if err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	return c, ctx, func() { cancel(); c.Close() }, nil
}

// status asks the process that accepts now for its status.
func (s *service) status(ctx context.Context) (app.Status, error) {
	c, ctx, done, err := s.dial(ctx)
	if err != nil {
		return app.Status{}, err
	}
	defer done()
	r, err := c.GetStatus(ctx, connect.NewRequest(&adminv1.GetStatusRequest{}))
	if err != nil {
		return app.Status{}, fmt.Errorf("ask for the status: %w", err)
	}
	st := admin.StatusFrom(r.Msg.GetStatus())
	if st.Process == nil {
		return st, errors.New("theseus run says that its process cannot be replaced")
	}
	return st, nil
}

// upgrade is `theseus upgrade`. A program that was refused or rolled back is an
// *admin.UpgradeError.
func (s *service) upgrade(ctx context.Context) (admin.Upgrade, error) {
	c, ctx, done, err := s.dial(ctx)
	if err != nil {
		return admin.Upgrade{}, err
	}
	defer done()
	r, err := c.Upgrade(ctx, connect.NewRequest(&adminv1.UpgradeRequest{}))
	if ue, ok := admin.UpgradeErrorOf(err); ok {
		return admin.Upgrade{}, ue
	}
	if err != nil {
		return admin.Upgrade{}, fmt.Errorf("upgrade: %w", err)
	}
	return admin.UpgradeFrom(r.Msg.GetUpgrade()), nil
}

// settled waits until the process pid is the service, alone, and serves.
func (s *service) settled(ctx context.Context, pid int) error {
	return until(ctx, fmt.Sprintf("pid %d to be the service", pid), func() (bool, error) {
		st, err := s.status(ctx)
		return err == nil && st.PID == pid && st.Process.State == "serving" && len(st.Process.Draining) == 0, err
	})
}

// stop ends all processes of the service, and returns once they have ended. The
// error says what they left behind.
func (s *service) stop() error {
	signalGroup(s.cmd.Process.Pid, s.over, terminate)
	select {
	case <-s.over:
	case <-time.After(patience / 2):
		signalGroup(s.cmd.Process.Pid, s.over, kill)
		<-s.over
		<-s.first
		return fmt.Errorf("theseus run did not end on SIGTERM within %s%s", patience/2, s.log.suffix())
	}
	<-s.first
	if _, err := admin.ReadDiscovery(s.dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("theseus run left its discovery file behind%s", s.log.suffix())
	}
	return nil
}

// until polls a condition until it holds, fails, or the patience is over.
func until(ctx context.Context, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("waited %s for %s", patience, what))
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if yes, err := ok(); yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// A tail keeps the last bytes of what is written. It is safe for concurrent use.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

// suffix is what was written, to be put behind an error.
func (t *tail) suffix() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if text := strings.TrimSpace(strings.ToValidUTF8(string(t.buf), "")); text != "" {
		return "; it said:\n" + text
	}
	return ""
}

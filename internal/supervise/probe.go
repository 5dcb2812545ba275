//go:build unix

package supervise

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// badProbes in a row end a probation: one may be bad luck.
const badProbes = 3

// longestProbe bounds one probe.
const longestProbe = 5 * time.Second

var (
	// errElsewhere: another process than the child's accepted the connection,
	// which says nothing about the child.
	errElsewhere = errors.New("another process accepted")
	errNoTarget  = errors.New("a probe needs a tcp or unix socket to connect to: open one, or use notify or delay for readiness")
)

// target is the socket that probes connect to.
func (s *Supervisor) target() *socket {
	for _, sock := range s.sockets {
		if sock.network == "tcp" || sock.network == "unix" {
			return sock
		}
	}
	return nil
}

// A probeLog keeps what the last probe met.
type probeLog struct {
	mu  sync.Mutex
	err error
}

func (l *probeLog) last() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *probeLog) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !errors.Is(err, errElsewhere) {
		l.err = err
	}
}

// probeUntilGood returns when a probe of c was good or ctx has ended.
func (s *Supervisor) probeUntilGood(ctx context.Context, c *child, met *probeLog) error {
	for ctx.Err() == nil {
		err := s.probe(ctx, c)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			met.note(err)
		}
		pause(ctx, s.opt.pace.probe)
	}
	return context.Cause(ctx)
}

// probeWhileGood probes c until over, and then until a last probe was good: a
// child that hangs leaves all connections to the other.
func (s *Supervisor) probeWhileGood(ctx context.Context, c *child, over <-chan time.Time) error {
	interval := max(s.opt.pace.probe, min(s.opt.Probation/10, time.Second))
	bad, last := 0, time.Time{}
	for ctx.Err() == nil {
		switch err := s.probe(ctx, c); {
		case err == nil && !last.IsZero():
			return nil
		case err == nil:
			bad = 0
		case errors.Is(err, errElsewhere) || ctx.Err() != nil:
		default:
			if bad++; bad == badProbes {
				return err
			}
		}
		if last.IsZero() {
			select {
			case <-over:
				last, interval = time.Now(), s.opt.pace.probe
				continue
			default:
			}
		} else if time.Since(last) > s.opt.pace.last {
			return &NotReadyError{After: s.opt.pace.last, How: s.opt.Ready}
		}
		pause(ctx, interval)
	}
	return context.Cause(ctx)
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// probe connects once. It returns nil if c is well, errElsewhere if it did not
// meet c, and a *ProbeError otherwise.
func (s *Supervisor) probe(ctx context.Context, c *child) error {
	ctx, cancel := context.WithTimeout(ctx, min(longestProbe, s.opt.ReadyTimeout))
	defer cancel()
	err := s.probeOnce(ctx, c)
	if err != nil && !errors.Is(err, errElsewhere) {
		return &ProbeError{Probe: s.opt.Ready.String(), Err: err}
	}
	return err
}

func (s *Supervisor) probeOnce(ctx context.Context, c *child) error {
	conn, err := dial(ctx, s.target())
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	mine, err := acceptedBy(ctx, conn, c.pid)
	if errors.Is(err, errors.ErrUnsupported) {
		s.blind.Do(func() {
			s.emit(Event{Kind: Trouble, Detail: fmt.Sprintf("probes cannot tell which child answers: %v", err)})
		})
	} else if err != nil {
		return err
	} else if !mine {
		return errElsewhere
	}
	if s.opt.Ready.Kind != ReadyHTTP {
		return nil
	}
	return get(ctx, conn, s.opt.Ready.Path)
}

// get asks for path and wants a status from 200 to 399.
func get(ctx context.Context, conn net.Conn, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return err
	}
	req.Close = true
	req.Header.Set("User-Agent", "theseus-probe")
	if err := req.Write(conn); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("no answer: %w", context.Cause(ctx))
		}
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
	if res.StatusCode < 200 || res.StatusCode > 399 {
		return fmt.Errorf("it answers %s", res.Status)
	}
	return nil
}

// dial connects to a listening socket of ours; one for all addresses is
// reached by loopback.
func dial(ctx context.Context, sock *socket) (net.Conn, error) {
	var d net.Dialer
	d.SetMultipathTCP(false)
	if sock.network == "unix" {
		return d.DialContext(ctx, "unix", sock.address)
	}
	host, port, err := net.SplitHostPort(sock.address)
	if err != nil {
		return nil, err
	}
	switch ip := net.ParseIP(host); {
	case ip == nil || !ip.IsUnspecified():
		return d.DialContext(ctx, "tcp", sock.address)
	case ip.To4() == nil:
		if conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort("::1", port)); err == nil {
			return conn, nil
		}
	}
	return d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
}

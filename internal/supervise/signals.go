//go:build unix

package supervise

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// echo is how long after the first signal to stop the next one counts as the
// same: a terminal, timeout(1) and others deliver one wish twice.
const echo = 100 * time.Millisecond

// Signals are those that [Supervisor.Run] wants to be delivered. SIGHUP and
// SIGUSR2 replace the child; SIGTERM and SIGINT stop, and a second one kills;
// the others are passed on to the child that serves.
func Signals() []os.Signal {
	return []os.Signal{
		syscall.SIGHUP, syscall.SIGUSR2, syscall.SIGTERM, syscall.SIGINT,
		syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGWINCH, syscall.SIGALRM,
	}
}

// ParseSignal returns the signal of that name, with or without SIG, or number.
func ParseSignal(name string) (syscall.Signal, error) {
	upper := strings.ToUpper(name)
	if n, err := strconv.Atoi(name); err == nil && n > 0 && n < 65 {
		return syscall.Signal(n), nil
	}
	if sig := unix.SignalNum("SIG" + strings.TrimPrefix(upper, "SIG")); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("there is no signal %q: write a name such as TERM or QUIT, or a number", name)
}

// handle acts on signals until over is closed. stop ends the loop of Run.
func (s *Supervisor) handle(ctx context.Context, signals <-chan os.Signal, stop func(), over <-chan struct{}) {
	var began time.Time
	for {
		select {
		case <-over:
			return
		case sig := <-signals:
			number, ok := sig.(syscall.Signal)
			switch {
			case !ok:
			case number == syscall.SIGHUP || number == syscall.SIGUSR2:
				s.replaceBySignal(ctx)
			case number != syscall.SIGTERM && number != syscall.SIGINT:
				s.pass(number)
			case began.IsZero():
				began = time.Now()
				stop()
			case time.Since(began) > echo && !s.hurried():
				close(s.hurry)
			}
		}
	}
}

// replaceBySignal does not wait for the verdict, which is an event.
func (s *Supervisor) replaceBySignal(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running { // Run waits for wg only afterwards
		s.wg.Go(func() { _ = s.Replace(context.WithoutCancel(ctx), false) })
	}
}

//go:build !linux && !darwin

package systemd

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// Barrier is not available on this platform: it returns an error that wraps
// [errors.ErrUnsupported] if NOTIFY_SOCKET is set, else nil.
func (n *Notifier) Barrier(context.Context) error { return n.send("BARRIER=1") }

func sendDatagram(address, _ string, _ []int) error {
	return fmt.Errorf("connect to %s: no datagram sockets on %s, unset NOTIFY_SOCKET: %w", address, runtime.GOOS, errors.ErrUnsupported)
}

func monotonicMicroseconds() (int64, error) { return 0, errors.ErrUnsupported }

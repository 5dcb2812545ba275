//go:build !unix

package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// A Supervisor does not exist on this system.
type Supervisor struct{}

// New fails: this system has no socket activation.
func New(opt Options) (*Supervisor, error) {
	if _, err := opt.withDefaults(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("supervise: programs that inherit sockets need Linux, macOS or another Unix: %w", errors.ErrUnsupported)
}

// Run fails.
func (*Supervisor) Run(context.Context, <-chan os.Signal) (int, error) {
	return 0, errors.ErrUnsupported
}

// Replace fails.
func (*Supervisor) Replace(context.Context, bool) error { return errors.ErrUnsupported }

// Close does nothing.
func (*Supervisor) Close() error { return nil }

// Status is empty.
func (*Supervisor) Status() Status { return Status{} }

// Signals are none.
func Signals() []os.Signal { return nil }

// ParseSignal fails.
func ParseSignal(name string) (syscall.Signal, error) {
	return 0, fmt.Errorf("signal %s: %w", name, errors.ErrUnsupported)
}

// ChildMain returns a failure.
func ChildMain([]string) int { return 2 }

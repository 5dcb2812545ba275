//go:build !linux

package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// A Supervisor keeps a worker running. Here it cannot be made.
type Supervisor struct{}

// New fails: it checks opt and returns an error that wraps [errors.ErrUnsupported].
func New(opt Options) (*Supervisor, error) {
	if _, err := opt.withDefaults(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("supervisor: it needs pidfd_open, memfd_create and /proc of Linux: %w", errors.ErrUnsupported)
}

// Run fails.
func (*Supervisor) Run(context.Context, <-chan os.Signal) (int, error) {
	return 0, errors.ErrUnsupported
}

// Upgrade fails.
func (*Supervisor) Upgrade(context.Context, string, bool) error { return errors.ErrUnsupported }

// Replace fails.
func (*Supervisor) Replace(context.Context, string) error { return errors.ErrUnsupported }

// Status is empty.
func (*Supervisor) Status() Status { return Status{} }

// Close does nothing.
func (*Supervisor) Close() error { return nil }

// Signals are none.
func Signals() []os.Signal { return nil }

//go:build !linux && !darwin

package systemd

import (
	"errors"
	"fmt"
	"runtime"
)

func inherit(first, count int) error {
	return fmt.Errorf("systemd: take over descriptors %d to %d: not possible on %s, unset LISTEN_FDS: %w", first, first+count-1, runtime.GOOS, errors.ErrUnsupported)
}

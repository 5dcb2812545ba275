//go:build !linux && !darwin

package beat

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

type mapping struct{ cells *cells }

func (m *mapping) close() error { return nil }

// Create is not available on this platform: it returns an error that wraps
// [errors.ErrUnsupported].
func Create() (*os.File, error) {
	return nil, fmt.Errorf("create heartbeat memory: %w", unsupported())
}

func open(*os.File, bool) (*mapping, error) { return nil, unsupported() }

// Now is not available on this platform: it returns an error that wraps
// [errors.ErrUnsupported].
func Now() (int64, error) { return 0, unsupported() }

func unsupported() error {
	return fmt.Errorf("not possible on %s, send beats over the control link: %w", runtime.GOOS, errors.ErrUnsupported)
}

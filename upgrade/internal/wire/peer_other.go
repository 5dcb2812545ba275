//go:build !linux && !darwin

package wire

import (
	"errors"
	"fmt"
	"runtime"
)

func peer(int) (pid, uid, gid int, err error) {
	return 0, 0, 0, fmt.Errorf("credentials of the peer on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

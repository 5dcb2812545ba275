//go:build unix

package pidfile

import (
	"errors"
	"os"
	"syscall"
)

// openFlags keep open from waiting for the writer of a pipe, and from following a
// link.
const openFlags = syscall.O_NONBLOCK | syscall.O_NOFOLLOW

// syncDir flushes the names in a directory. A file system that cannot do that has
// none to lose.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

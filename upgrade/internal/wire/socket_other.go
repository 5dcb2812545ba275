//go:build !unix

package wire

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
)

var errPlatform = fmt.Errorf("passing descriptors over a Unix socket on %s: %w", runtime.GOOS, errors.ErrUnsupported)

// Pair returns an error that wraps errors.ErrUnsupported on this platform.
func Pair() (*Link, *os.File, error) {
	return nil, nil, fmt.Errorf("make control link: %w", errPlatform)
}

func usable(*net.UnixConn) error { return errPlatform }

func sendFiles(*net.UnixConn, []byte, []int) (int, error) { return 0, errPlatform }

// A socket is never read from: New has ended the link.
type socket struct{}

func newSocket(*net.UnixConn) *socket { return &socket{} }

func (*socket) read([]byte) (int, []int, error) { return 0, nil, errPlatform }

func (*socket) release([]int) {}

func newFiles(kind, []int) []*os.File { return nil }

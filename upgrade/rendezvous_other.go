//go:build !linux

package upgrade

import (
	"errors"
	"fmt"
	"net"
	"runtime"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// rendezvousSupported says that a process which is not a child cannot be watched and
// ended safely here.
func rendezvousSupported() error {
	return fmt.Errorf("Options.Rendezvous on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

func (*rendezvous) dialOrBind() (*net.UnixConn, *net.UnixListener, error) {
	return nil, nil, rendezvousSupported()
}

func (*rendezvous) own() {}

func identify(*net.UnixConn, *wire.Link) (*peer, error) { return nil, rendezvousSupported() }

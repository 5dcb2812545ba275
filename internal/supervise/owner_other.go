//go:build unix && !linux

package supervise

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// acceptedBy cannot tell here.
func acceptedBy(context.Context, net.Conn, int) (bool, error) {
	return false, fmt.Errorf("find the process of a connection: %w", errors.ErrUnsupported)
}

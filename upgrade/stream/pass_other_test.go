//go:build !unix

package stream

import "net"

// pass returns a duplicate of c.
func pass(c *net.TCPConn) (net.Conn, error) {
	f, err := c.File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FileConn(f)
}

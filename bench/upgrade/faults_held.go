package main

import (
	"net"
	"strconv"
)

// held is what descriptors a process has.
type held struct {
	listeners int          // that accept from the service's TCP address
	ports     map[int]bool // of the clients whose connections it has
	others    int          // all else: files, pipes, Unix sockets, the runtime's own
}

func clientPort(c *client) int {
	if a, ok := c.conn.LocalAddr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}

func portOf(addr string) int {
	_, text, _ := net.SplitHostPort(addr)
	port, _ := strconv.Atoi(text)
	return port
}

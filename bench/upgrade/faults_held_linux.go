package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A tcpSocket is a line of /proc/net/tcp (proc_net(5)).
type tcpSocket struct {
	listens bool
	remote  int // port
}

// tcpSockets lists the IPv4 sockets with that local port, by inode.
func tcpSockets(port int) map[string]tcpSocket {
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return nil
	}
	list := map[string]tcpSocket{}
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) < 10 {
			continue
		}
		if local, ok := hexPort(f[1]); ok && local == port {
			remote, _ := hexPort(f[2])
			list[f[9]] = tcpSocket{f[3] == "0A", remote}
		}
	}
	return list
}

func hexPort(addr string) (int, bool) {
	_, text, ok := strings.Cut(addr, ":")
	port, err := strconv.ParseUint(text, 16, 16)
	return int(port), ok && err == nil
}

// holdings looks at the descriptors of a process of a service at that port. It is
// exact if the process does not run meanwhile.
func holdings(pid, port int) held {
	h := held{ports: map[int]bool{}}
	folder := fmt.Sprintf("/proc/%d/fd", pid)
	list, err := os.ReadDir(folder)
	if err != nil {
		return h
	}
	sockets := tcpSockets(port)
	for _, e := range list {
		target, err := os.Readlink(filepath.Join(folder, e.Name()))
		if err != nil {
			continue
		}
		inode := strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")
		switch s, known := sockets[inode]; {
		case !known || !strings.HasPrefix(target, "socket:["):
			h.others++
		case s.listens:
			h.listeners++
		default:
			h.ports[s.remote] = true
		}
	}
	return h
}

package supervise

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// acceptedBy waits until the other end of conn, which is on this machine, has
// been accepted, and reports whether a process of pid's tree or group holds it.
// Until then the other end has no inode: see proc_pid_net(5) and sock_diag(7).
func acceptedBy(ctx context.Context, conn net.Conn, pid int) (bool, error) {
	look := tcpPeer
	if conn.LocalAddr().Network() == "unix" {
		look = unixPeer
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
		inode, err := look(conn)
		if err != nil {
			return false, err
		}
		if inode != 0 {
			return holds(pid, inode)
		}
		if pause(ctx, wait); ctx.Err() != nil {
			return false, fmt.Errorf("nobody accepted the connection: %w", context.Cause(ctx))
		}
	}
}

// tcpPeer finds the inode of the other end by its ports.
func tcpPeer(conn net.Conn) (inode uint64, err error) {
	here, ok1 := conn.LocalAddr().(*net.TCPAddr)
	there, ok2 := conn.RemoteAddr().(*net.TCPAddr)
	if !ok1 || !ok2 {
		return 0, fmt.Errorf("connection of kind %T: %w", conn, errors.ErrUnsupported)
	}
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		if inode, err = findTCP(file, there.Port, here.Port); inode != 0 {
			return inode, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("%w: %w", err, errors.ErrUnsupported)
		}
	}
	return 0, nil
}

func findTCP(file string, local, remote int) (uint64, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if inode, ok := parseTCP(lines.Text(), local, remote); ok {
			return inode, nil
		}
	}
	return 0, lines.Err()
}

// parseTCP reads a line of /proc/net/tcp: "sl local remote st queues timer
// retrnsmt uid timeout inode".
func parseTCP(line string, local, remote int) (inode uint64, ok bool) {
	f := strings.Fields(line)
	if len(f) < 10 || !strings.HasSuffix(f[1], fmt.Sprintf(":%04X", local)) || !strings.HasSuffix(f[2], fmt.Sprintf(":%04X", remote)) {
		return 0, false
	}
	inode, err := strconv.ParseUint(f[9], 10, 64)
	return inode, err == nil
}

// holds reports whether a process of the tree or group of root has the socket
// open.
func holds(root int, inode uint64) (bool, error) {
	want, denied := fmt.Sprintf("socket:[%d]", inode), error(nil)
	for _, pid := range family(root) {
		dir := "/proc/" + strconv.Itoa(pid) + "/fd/"
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrPermission) {
			denied = err
		}
		for _, e := range entries {
			if target, err := os.Readlink(dir + e.Name()); err == nil && target == want {
				return true, nil
			}
		}
	}
	if denied != nil {
		return false, fmt.Errorf("%w: %w", denied, errors.ErrUnsupported)
	}
	return false, nil
}

// family returns root, its descendants and its process group.
func family(root int) []int {
	entries, _ := os.ReadDir("/proc")
	children, member := map[int][]int{}, map[int]bool{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, _ := os.ReadFile("/proc/" + e.Name() + "/stat")
		if parent, group, ok := parseStat(string(stat)); ok {
			children[parent] = append(children[parent], pid)
			member[pid] = group == root
		}
	}
	member[root] = true
	var all, open []int
	for pid, in := range member {
		if in {
			open = append(open, pid)
		}
	}
	seen := map[int]bool{}
	for len(open) > 0 {
		pid := open[0]
		if open = open[1:]; !seen[pid] {
			seen[pid], all = true, append(all, pid)
			open = append(open, children[pid]...)
		}
	}
	return all
}

// parseStat reads parent and process group from /proc/PID/stat. The second
// field, the name in parentheses, may hold anything.
func parseStat(stat string) (parent, group int, ok bool) {
	f := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(f) < 3 {
		return 0, 0, false
	}
	parent, err1 := strconv.Atoi(f[1])
	group, err2 := strconv.Atoi(f[2])
	return parent, group, err1 == nil && err2 == nil
}

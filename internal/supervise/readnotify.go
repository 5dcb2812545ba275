//go:build unix

package supervise

import (
	"bytes"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// mostNotify bounds one datagram of a child; longer ones are cut.
const mostNotify = 4096

// A notifyReader is the NOTIFY_SOCKET of one child.
type notifyReader struct {
	path string
	conn *net.UnixConn
	wg   sync.WaitGroup
}

// listenNotify makes the socket. Anybody who can reach it may write to it: who
// it was is asked for each datagram.
func listenNotify(path string) (*notifyReader, error) {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	n := &notifyReader{path: path, conn: conn}
	if err = os.Chmod(path, 0o666); err == nil {
		err = askCredentials(conn)
	}
	if err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// read calls ready when process pid has said READY=1, once, and stranger when
// another process has, once. It does not wait.
func (n *notifyReader) read(pid int, ready func(), stranger func(pid int)) {
	var readyOnce, strangerOnce sync.Once
	n.wg.Go(func() {
		buf, oob := make([]byte, mostNotify), make([]byte, 1024)
		for {
			size, oobSize, _, _, err := n.conn.ReadMsgUnix(buf, oob)
			if err != nil {
				return
			}
			from, known := sender(oob[:oobSize])
			switch {
			case !saysReady(buf[:size]):
			case known && from != pid:
				strangerOnce.Do(func() { stranger(from) })
			case known || !hasCredentials:
				readyOnce.Do(ready)
			}
		}
	})
}

// close removes the socket and waits for the reader.
func (n *notifyReader) close() {
	_ = n.conn.Close()
	_ = os.Remove(n.path)
	n.wg.Wait()
}

// saysReady parses a datagram of newline-separated assignments, sd_notify(3).
func saysReady(msg []byte) bool {
	for line := range bytes.SplitSeq(msg, []byte("\n")) {
		if string(line) == "READY=1" {
			return true
		}
	}
	return false
}

// sender returns the process that the kernel names, and closes descriptors
// that came along: nobody here wants them.
func sender(oob []byte) (pid int, known bool) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return 0, false
	}
	for _, m := range messages {
		if fds, err := unix.ParseUnixRights(&m); err == nil {
			for _, fd := range fds {
				_ = unix.Close(fd)
			}
		} else if p, ok := credentials(&m); ok {
			pid, known = p, true
		}
	}
	return pid, known
}

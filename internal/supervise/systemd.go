//go:build unix

package supervise

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A systemd tells the manager that started the supervisor what it does, by the
// datagrams of sd_notify(3). A nil one does nothing.
type systemd struct {
	mu      sync.Mutex
	conn    *net.UnixConn
	said    string        // the last STATUS
	isReady bool          // READY=1 was said
	every   time.Duration // between two signs of life; 0 if none are wanted
	stores  bool          // there is a store for descriptors
}

// newSystemd reads the manager's variables, which are for this process only.
func newSystemd(getenv func(string) string) *systemd {
	addr := getenv("NOTIFY_SOCKET")
	if !strings.HasPrefix(addr, "/") && !strings.HasPrefix(addr, "@") {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: addr, Net: "unixgram"})
	if err != nil {
		return nil // sd_notify(3): it must not matter whether somebody listens
	}
	d := &systemd{conn: conn}
	d.every = watchdogInterval(getenv, os.Getpid())
	n, err := strconv.Atoi(getenv("FDSTORE"))
	d.stores = err == nil && n > 0
	return d
}

// watchdogInterval is half of what sd_watchdog_enabled(3) returns.
func watchdogInterval(getenv func(string) string, pid int) time.Duration {
	if p := getenv("WATCHDOG_PID"); p != "" && p != strconv.Itoa(pid) {
		return 0
	}
	usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	const most = int64(1<<63-1) / int64(time.Microsecond)
	if err != nil || usec <= 1 || usec > most {
		return 0
	}
	return time.Duration(usec) * time.Microsecond / 2
}

func (d *systemd) close() {
	if d != nil {
		_ = d.conn.Close()
	}
}

// send sends one datagram. That nobody takes it must not matter.
func (d *systemd) send(oob []byte, lines ...string) {
	_ = d.conn.SetWriteDeadline(time.Now().Add(time.Second))
	_ = sendDatagram(d.conn, []byte(strings.Join(lines, "\n")), oob)
}

// sendDatagram does what WriteMsgUnix refuses to do on a connected socket.
func sendDatagram(conn *net.UnixConn, msg, oob []byte) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Write(func(fd uintptr) bool {
		inner = unix.Sendmsg(int(fd), msg, oob, nil, 0)
		return inner != unix.EAGAIN
	})
	return errors.Join(err, inner)
}

// ready says that a child serves, at the first time and after each reload.
func (d *systemd) ready(s *Supervisor) {
	if d == nil || s.current() == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.isReady = true
	d.send(nil, "READY=1")
}

// reloading says that a replacement begins, once the service is up.
func (d *systemd) reloading(s *Supervisor) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now, ok := monotonic()
	if !d.isReady || !ok {
		return
	}
	d.send(nil, "RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Microseconds()))
}

func (d *systemd) stopping() {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.send(nil, "STOPPING=1")
}

// status shows a line in systemctl status.
func (d *systemd) status(text string) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if text != d.said {
		d.said = text
		d.send(nil, "STATUS="+text)
	}
}

// store has the manager keep the sockets that were opened here, so that they
// survive the supervisor itself (FileDescriptorStoreMax=).
func (d *systemd) store(s *Supervisor) {
	if d == nil || !d.stores {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, sock := range s.sockets {
		if sock.own {
			d.send(unix.UnixRights(sock.fd), "FDSTORE=1", "FDNAME="+sock.name, "FDPOLL=0")
		}
	}
}

// watchdog gives signs of life while a child serves, until over is closed.
func (d *systemd) watchdog(s *Supervisor, over <-chan struct{}) {
	if d == nil || d.every == 0 {
		return
	}
	tick := time.NewTicker(d.every)
	defer tick.Stop()
	for {
		if s.current() != nil {
			d.mu.Lock()
			d.send(nil, "WATCHDOG=1")
			d.mu.Unlock()
		}
		select {
		case <-over:
			return
		case <-tick.C:
		}
	}
}

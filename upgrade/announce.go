package upgrade

import (
	"fmt"
	"net"
	"os"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/pidfile"
	"github.com/theseus-run/theseus/upgrade/internal/systemd"
	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// announce tells the world that this process is the service: the PID file, and
// systemd. A failure is logged: it is no reason not to serve.
func (u *Upgrader) announce() {
	if u.opt.PIDFile != "" {
		if err := pidfile.Write(u.opt.PIDFile, os.Getpid()); err != nil {
			u.opt.Log.Error("the PID file was not written: tools that read it find the old process", "error", err)
		}
	}
	if u.pred != nil {
		u.warn(u.notify.MainPID(os.Getpid()))
	}
	u.warn(u.notify.Ready())
	if every := u.notify.WatchdogInterval(); every > 0 {
		go u.watchdog(every)
	}
}

// checkPIDFile finds out whether the PID file can be written, by writing one beside
// it. A disk that fills up later is only logged: the process serves by then, and
// the file keeps the old number.
func (u *Upgrader) checkPIDFile() error {
	if u.opt.PIDFile == "" {
		return nil
	}
	probe := fmt.Sprintf("%s.%d", u.opt.PIDFile, os.Getpid())
	if err := pidfile.Write(probe, os.Getpid()); err != nil {
		return fmt.Errorf("the PID file could not be replaced: %w", err)
	}
	return os.Remove(probe)
}

// warn logs an error of telling systemd something.
func (u *Upgrader) warn(err error) {
	if err != nil {
		u.opt.Log.Warn("systemd was not told", "error", err)
	}
}

// stopping tells the world that the service ends.
func (u *Upgrader) stopping() {
	u.warn(u.notify.Stopping())
	if u.opt.PIDFile != "" {
		if _, err := pidfile.Remove(u.opt.PIDFile, os.Getpid()); err != nil {
			u.opt.Log.Warn("the PID file was not removed", "error", err)
		}
	}
}

// adoptActivated takes over the sockets that systemd, or another program that
// speaks its protocol, opened for this process.
func (u *Upgrader) adoptActivated() error {
	files, err := systemd.Files(os.LookupEnv, os.Getpid())
	if err != nil {
		return err
	}
	for _, name := range systemd.ListenVariables() {
		os.Unsetenv(name)
	}
	for _, f := range files {
		network, address := describe(f.File)
		u.inherited = append(u.inherited, &inherited{Socket: wire.Socket{Name: f.Name, Network: network, Address: address}, file: f.File})
	}
	return nil
}

// describe finds out what f is: the network and address of a socket, else "file".
func describe(f *os.File) (network, address string) {
	if l, err := net.FileListener(f); err == nil {
		defer l.Close()
		if ul, ok := l.(*net.UnixListener); ok {
			ul.SetUnlinkOnClose(false)
		}
		return l.Addr().Network(), l.Addr().String()
	}
	if p, err := net.FilePacketConn(f); err == nil {
		defer p.Close()
		return p.LocalAddr().Network(), p.LocalAddr().String()
	}
	return "file", ""
}

// watchdog tells systemd that the process lives, while it is the service.
func (u *Upgrader) watchdog(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if u.running.Load() != nil {
				return // systemd listens to the successor now
			}
			u.warn(u.notify.Watchdog())
		case <-u.over:
			return
		}
	}
}

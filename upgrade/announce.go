package upgrade

import (
	"fmt"
	"os"
	"time"

	"github.com/theseus-run/theseus/upgrade/internal/pidfile"
	"github.com/theseus-run/theseus/upgrade/internal/systemd"
	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// announce tells the world that this process is the service: the supervisor, or the
// PID file and systemd. A failure is logged: it is no reason not to serve.
func (u *Upgrader) announce() {
	if u.Supervised() {
		go u.sup.follow()
		return
	}
	if u.announced.Swap(true) {
		return
	}
	if u.opt.PIDFile != "" {
		if err := pidfile.Write(u.opt.PIDFile, os.Getpid()); err != nil {
			u.opt.Log.Error("the PID file was not written: tools that read it find the old process", "error", err)
		}
	}
	if u.pred != nil && !u.pred.foreign {
		u.warn(u.manager().MainPID(os.Getpid()))
	}
	u.warn(u.manager().Ready())
	if every := u.manager().WatchdogInterval(); every > 0 {
		go u.watchdog(every)
	}
	u.keepStored()
}

// manager is what tells systemd about this process, nil if a supervisor does that.
func (u *Upgrader) manager() *systemd.Notifier {
	if u.Supervised() {
		return nil
	}
	return u.notify
}

// reloading tells systemd that an upgrade begins, and reloaded that it failed. A
// process that came by itself belongs to another unit, and does not concern this one.
func (a *attempt) reloading() {
	if a.guest == nil {
		a.u.warn(a.u.manager().Reloading())
	}
}

func (a *attempt) reloaded() {
	if a.guest == nil {
		a.u.warn(a.u.manager().Ready())
	}
}

// mainPID tells systemd which process is the main one of the unit from now on.
func (a *attempt) mainPID(pid int) {
	if a.guest == nil {
		a.u.warn(a.u.manager().MainPID(pid))
	}
}

// tryPIDFile begins to find out whether the PID file can be written. A disk that
// fills up later is only logged: the process serves by then, and the file keeps the
// old number.
func (u *Upgrader) tryPIDFile() {
	if u.opt.PIDFile == "" || u.Supervised() {
		return
	}
	trial := make(chan error, 1)
	u.pidTrial = trial
	go func() { trial <- pidfile.Try(u.opt.PIDFile) }()
}

// checkPIDFile returns what tryPIDFile has found out.
func (u *Upgrader) checkPIDFile() error {
	if u.pidTrial == nil {
		return nil
	}
	if err := <-u.pidTrial; err != nil {
		return fmt.Errorf("the PID file could not be replaced: %w", err)
	}
	return nil
}

// warn logs an error of telling systemd something.
func (u *Upgrader) warn(err error) {
	if err != nil {
		u.opt.Log.Warn("systemd was not told", "error", err)
	}
}

// stopping tells the world that the service ends.
func (u *Upgrader) stopping() {
	if u.Supervised() {
		return
	}
	u.warn(u.manager().Stopping())
	u.unstore(false)
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
		network, address := systemd.Describe(f.File)
		s := wire.Socket{Name: f.Name, Network: network, Address: address}
		name, requested, stored := systemd.ParseStoredName(f.Name)
		if stored { // this service's own, from before it was restarted
			s.Name, s.Requested, s.Unlink = name, requested, pathOf(network, address)
		}
		u.inherited = append(u.inherited, &inherited{Socket: s, file: f.File, stored: stored})
	}
	return nil
}

// watchdog tells systemd that the process lives, while it is the service.
func (u *Upgrader) watchdog(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if next := u.running.Load(); next != nil && !next.foreign {
				return // systemd listens to the successor now
			}
			u.warn(u.manager().Watchdog())
		case <-u.over:
			return
		}
	}
}

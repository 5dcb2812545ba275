// Command broken is a server like examples/upgrade for the benchmark one folder
// up. Built as it is it works, has a second listener, a state that it hands on and
// a log of its upgrades, and upgrades on POST /-/upgrade as on SIGUSR2. Built with
// -ldflags "-X main.broken=MODE" it is a release that fails in one way; the modes
// are in modes.go, and faults.go.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/theseus-run/theseus/upgrade"
)

// config is what the flags say. Zero leaves a duration to package upgrade.
type config struct {
	supervise                                bool
	addr, second, pidfile, ledger            string
	ready, probation, heartbeat, idle, drain time.Duration
}

func main() {
	var c config
	flag.StringVar(&c.addr, "addr", "127.0.0.1:8080", "listen on this `address`")
	flag.StringVar(&c.second, "second", "", "listen on this `path` of a Unix socket too")
	flag.StringVar(&c.pidfile, "pidfile", "", "keep the process ID in this `file`")
	flag.StringVar(&c.ledger, "ledger", "", "note connections in this `file`, whose name the process ID follows")
	flag.DurationVar(&c.ready, "ready", 0, "Options.ReadyTimeout")
	flag.DurationVar(&c.probation, "probation", 0, "Options.Probation")
	flag.DurationVar(&c.heartbeat, "heartbeat", 0, "Options.Heartbeat")
	flag.DurationVar(&c.idle, "idle", 0, "Options.IdleGrace")
	flag.DurationVar(&c.drain, "drain", 0, "Options.DrainTimeout")
	flag.BoolVar(&c.supervise, "supervise", false, "supervise a process that does all this")
	flag.Parse()
	if err := run(c); err != nil {
		log.Fatal(err)
	}
}

func run(c config) error {
	logger := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if c.supervise {
		return supervise(c, logger)
	}
	begin()
	beginFault()
	u, err := upgrade.New(upgrade.Options{PIDFile: c.pidfile, ReadyTimeout: c.ready, Probation: c.probation, Heartbeat: c.heartbeat,
		IdleGrace: c.idle, DrainTimeout: c.drain, Health: healthy, Log: logger, KeepSockets: true})
	if err != nil {
		return err
	}
	if err := handOver(u); err != nil {
		return u.Refuse(err)
	}
	if err := serve(u, c); err != nil {
		return u.Refuse(err)
	}
	beforeReady()
	if err := u.Ready(context.Background()); err != nil {
		return err
	}
	afterReady()
	afterFault()
	return u.Run(context.Background())
}

// serve opens the sockets. Nothing is accepted before the process is ready.
func serve(u *upgrade.Upgrader, c config) error {
	if broken == "clash" { // a socket of its own, in place of the predecessor's
		_, err := net.Listen("tcp", c.addr)
		return err
	}
	l, err := u.Listen("tcp", c.addr)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: routes(u)}
	if c.ledger != "" {
		note, err := ledger(c.ledger)
		if err != nil {
			return err
		}
		srv.ConnState = note
	}
	u.Serve(srv, l)
	if c.second == "" || broken == "drops" {
		return nil
	}
	if l, err = u.Listen("unix", c.second); err != nil {
		return err
	}
	u.Serve(srv, l)
	return nil
}

// errUnhealthy is what the health function says of a release that is broken so.
var errUnhealthy = errors.New("this release is not well")

func healthy(context.Context) error {
	if broken == "deaf" {
		return errUnhealthy
	}
	return nil
}

// clientPort is the port of a TCP client, 0 of another.
func clientPort(c net.Conn) int {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}

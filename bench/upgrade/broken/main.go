// Command broken is the server of examples/upgrade as a release that fails in one
// of six ways. The benchmark one folder up builds it once for each, with
// -ldflags "-X main.broken=MODE".
package main

import (
	"context"
	"flag"
	"log"
	"net/http"

	"github.com/theseus-run/theseus/upgrade"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "listen on this `address`")
	pidfile := flag.String("pidfile", "", "keep the process ID in this `file`")
	flag.Parse()
	if err := run(*addr, *pidfile); err != nil {
		log.Fatal(err)
	}
}

func run(addr, pidfile string) error {
	begin()
	u, err := upgrade.New(upgrade.Options{PIDFile: pidfile})
	if err != nil {
		return err
	}
	l, err := u.Listen("tcp", addr)
	if err != nil {
		return err
	}
	u.Serve(&http.Server{Handler: routes(u)}, l)
	beforeReady()
	if err := u.Ready(context.Background()); err != nil {
		return err
	}
	afterReady()
	return u.Run(context.Background())
}

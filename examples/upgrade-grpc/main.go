// Command upgrade-grpc serves gRPC, and on SIGUSR2 replaces itself by the file at
// its own path: calls that run end where they began, new ones go to the new process.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"

	"github.com/theseus-run/theseus/upgrade"
	"google.golang.org/grpc"
)

func main() {
	addr, pidfile := flag.String("addr", "127.0.0.1:8080", "`address`"), flag.String("pidfile", "", "`file`")
	probation := flag.Duration("probation", 0, "`time` for which the old process stands by")
	flag.Parse()
	u, err := upgrade.New(upgrade.Options{PIDFile: *pidfile, Probation: *probation})
	fatal(err)
	l, err := u.Listen("tcp", *addr)
	fatal(err)
	srv := grpc.NewServer()
	srv.RegisterService(&echo, nil)
	u.ServeFunc(l, srv.Serve, srv.GracefulStop, srv.Stop)
	fatal(u.Ready(context.Background()))
	fmt.Println("serving", l.Addr())
	fatal(u.Run(context.Background()))
}

func fatal(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

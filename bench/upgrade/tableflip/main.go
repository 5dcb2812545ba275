// Command tableflip is the peer of the benchmark one folder up: the server of its
// contract on github.com/cloudflare/tableflip, set up as that module's HTTP
// example has it. It is a module of its own so that nothing else depends on it.
//
// The contract: flags -addr and -pidfile; GET / answers, POST / echoes, /slow?ms=N
// waits, /stream?n=N sends server-sent events 100 ms apart (n=0: for ever), /ws
// echoes WebSocket messages; every answer has the header X-Pid; SIGUSR2 upgrades
// to the file at the server's own path. HTTP/2 is spoken with prior knowledge.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/cloudflare/tableflip"
)

// drain is how long the old process may finish what it has. It is longer than
// the streams of the benchmark that end by themselves, and short enough that the
// next upgrade, which tableflip refuses before the parent is gone, is not late.
const drain = 1800 * time.Millisecond

// initLimit is how long a new process may take until it is ready. The module's
// default is a minute.
const initLimit = 2 * time.Second

// version makes one build differ from the next; set with -ldflags -X.
var version = "v1"

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	pidFile := flag.String("pidfile", "", "`file` that names the current process")
	flag.Parse()
	if err := run(*addr, *pidFile); err != nil {
		log.Fatalf("tableflip %s: %v", version, err)
	}
}

func run(addr, pidFile string) error {
	begin()
	u, err := tableflip.New(tableflip.Options{PIDFile: pidFile, UpgradeTimeout: initLimit})
	if err != nil {
		return err
	}
	defer u.Stop()
	go upgradeOnSignal(u)

	l, err := u.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s := &http.Server{Handler: handler(), Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(true)
	s.Protocols.SetUnencryptedHTTP2(true)
	go func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Print(err)
		}
	}()
	beforeReady()
	if err := u.Ready(); err != nil {
		return err
	}
	afterReady()
	<-u.Exit()

	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		return s.Close()
	}
	return nil
}

func upgradeOnSignal(u *tableflip.Upgrader) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR2)
	for range signals {
		if err := u.Upgrade(); err != nil {
			log.Printf("upgrade: %v", err)
		}
	}
}

// Command upgrade serves HTTP, and on SIGUSR2 replaces itself by the file at its
// own path without an error for any client: its streams and WebSockets move along.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/theseus-run/theseus/upgrade"
	"github.com/theseus-run/theseus/upgrade/stream"
)

// count is the state of an event stream; To 0 means without end.
type count struct{ Sent, To int }

func main() {
	addr, pidfile := flag.String("addr", "127.0.0.1:8080", "`address`"), flag.String("pidfile", "", "`file`")
	probation := flag.Duration("probation", 0, "`time` for which the old process stands by")
	flag.Parse()
	u, err := upgrade.New(upgrade.Options{PIDFile: *pidfile, Probation: *probation})
	if err != nil {
		log.Fatal(err)
	}
	host, pid := stream.Adapt(u), strconv.Itoa(os.Getpid())
	ticks := stream.NewEvents(host, "ticks", func(e *stream.Events, c *count) (err error) {
		for ; err == nil && (c.To == 0 || c.Sent < c.To); err = e.Wait(100 * time.Millisecond) {
			if e.SendData(fmt.Sprint(pid, " ", c.Sent)) == nil { // else Wait says why not
				c.Sent++
			}
		}
		return err
	})
	echo := stream.NewSocket(host, "echo", func(s *stream.Socket, _ *struct{}) error { return s.Each(s.Send) })
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Pid", pid)
		n, _ := strconv.Atoi(cmp.Or(r.URL.Query().Get("n"), r.URL.Query().Get("ms")))
		switch r.URL.Path {
		case "/slow":
			time.Sleep(time.Duration(n) * time.Millisecond)
		case "/stream":
			ticks.Serve(w, r, count{To: n})
		case "/ws":
			echo.Serve(w, r, struct{}{})
		default:
			io.Copy(w, r.Body)
		}
	}
	srv := &http.Server{Handler: http.HandlerFunc(handler), Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	if err := u.ListenAndServe(context.Background(), *addr, srv); err != nil {
		log.Fatal(err)
	}
}

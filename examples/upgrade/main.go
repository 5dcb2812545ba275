// Command upgrade serves HTTP, and on SIGUSR2 replaces itself by the file at its
// own path without an error for any client: its streams and WebSockets move along.
package main

import (
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

// ticks is the state of an event stream; To 0 means without end.
type ticks struct{ Sent, To int }

func main() {
	addr, pidfile := flag.String("addr", "127.0.0.1:8080", "`address`"), flag.String("pidfile", "", "`file`")
	flag.Parse()
	u, err := upgrade.New(upgrade.Options{PIDFile: *pidfile})
	fatal(err)
	l, err := u.Listen("tcp", *addr)
	fatal(err)
	u.Serve(&http.Server{Handler: handler(stream.Adapt(u)), Protocols: protocols()}, l)
	fatal(u.Run(context.Background()))
}

func handler(host stream.Host) http.Handler {
	pid := strconv.Itoa(os.Getpid())
	events := stream.NewEvents(host, "ticks", func(e *stream.Events, t *ticks) error {
		for t.To == 0 || t.Sent < t.To {
			if err := e.SendData(fmt.Sprint(pid, " ", t.Sent)); err != nil {
				return err
			}
			t.Sent++
			if err := e.Wait(100 * time.Millisecond); err != nil {
				return err
			}
		}
		return nil
	})
	echo := stream.NewSocket(host, "echo", func(s *stream.Socket, _ *struct{}) error {
		for {
			m, err := s.Receive()
			if err != nil {
				return err
			}
			if err := s.Send(m); err != nil {
				return err
			}
		}
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "process", pid) })
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Duration(number(r, "ms")) * time.Millisecond)
	})
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) { events.Serve(w, r, ticks{To: number(r, "n")}) })
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) { echo.Serve(w, r, struct{}{}) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Pid", pid)
		mux.ServeHTTP(w, r)
	})
}

// protocols is HTTP/1 and, for clients that know, HTTP/2 without TLS.
func protocols() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	return p
}

func number(r *http.Request, name string) int {
	n, _ := strconv.Atoi(r.FormValue(name))
	return n
}

func fatal(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

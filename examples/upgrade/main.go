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

type ticks struct{ Sent, Of int } // of a stream; Of 0 means without end

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "listen on this `address`")
	pidfile := flag.String("pidfile", "", "keep the process ID in this `file`")
	flag.Parse()
	u, err := upgrade.New(upgrade.Options{PIDFile: *pidfile})
	fatal(err)
	l, err := u.Listen("tcp", *addr)
	fatal(err)
	pid := strconv.Itoa(os.Getpid())
	events := stream.NewEvents(stream.Adapt(u), "ticks", func(e *stream.Events, t *ticks) error {
		for ; t.Of == 0 || t.Sent < t.Of; t.Sent++ {
			if err := e.SendData(fmt.Sprint(pid, " ", t.Sent)); err != nil {
				return err
			}
			if err := e.Wait(100 * time.Millisecond); err != nil {
				t.Sent++ // this one was sent
				return err
			}
		}
		return nil
	})
	echo := stream.NewSocket(stream.Adapt(u), "echo", func(s *stream.Socket, _ *struct{}) error {
		for {
			if m, err := s.Receive(); err != nil {
				return err
			} else if err := s.Send(m); err != nil {
				return err
			}
		}
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hello from", pid) })
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	mux.HandleFunc("GET /slow", func(w http.ResponseWriter, r *http.Request) { time.Sleep(time.Duration(number(r, "ms")) * time.Millisecond) })
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) { events.Serve(w, r, ticks{Of: number(r, "n")}) })
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) { echo.Serve(w, r, struct{}{}) })
	u.Serve(&http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Pid", pid)
		mux.ServeHTTP(w, r)
	})}, l)
	fatal(u.Run(context.Background()))
}

// number is the parameter of that name, 0 if it is not a number.
func number(r *http.Request, name string) int {
	n, _ := strconv.Atoi(r.FormValue(name))
	return n
}

func fatal(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

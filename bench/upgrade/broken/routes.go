package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/theseus-run/theseus/upgrade"
	"github.com/theseus-run/theseus/upgrade/stream"
)

// ticks is where a stream of events is; Of 0 means without end. Type and kinds of
// streams are those of examples/upgrade, which hands them over.
type ticks struct{ Sent, To int }

func routes(u *upgrade.Upgrader) http.Handler {
	pid := strconv.Itoa(os.Getpid())
	events := stream.NewEvents(stream.Adapt(u), "ticks", func(e *stream.Events, t *ticks) error { return tick(e, t, pid) })
	echo := stream.NewSocket(stream.Adapt(u), "echo", echoMessages)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello from", pid) })
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	mux.HandleFunc("GET /slow", func(_ http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Duration(number(r, "ms")) * time.Millisecond)
	})
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) { events.Serve(w, r, ticks{To: number(r, "n")}) })
	mux.HandleFunc("GET /ws", func(w http.ResponseWriter, r *http.Request) { echo.Serve(w, r, struct{}{}) })
	mux.HandleFunc("POST /-/upgrade", func(w http.ResponseWriter, r *http.Request) { upgradeNow(u, w, r) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Pid", pid)
		switch broken {
		case "errors":
			http.Error(w, "a broken release", http.StatusInternalServerError)
			return
		case "hangs":
			select {}
		}
		mux.ServeHTTP(w, r)
	})
}

func tick(e *stream.Events, t *ticks, pid string) error {
	for ; t.To == 0 || t.Sent < t.To; t.Sent++ {
		if err := e.SendData(fmt.Sprint(pid, " ", t.Sent)); err != nil {
			return err
		}
		if err := e.Wait(100 * time.Millisecond); err != nil {
			t.Sent++ // this one was sent
			return err
		}
	}
	return nil
}

func echoMessages(s *stream.Socket, _ *struct{}) error {
	for {
		m, err := s.Receive()
		if err == nil {
			err = s.Send(m)
		}
		if err != nil {
			return err
		}
	}
}

// number is the parameter of that name, 0 if it is not a number.
func number(r *http.Request, name string) int {
	n, _ := strconv.Atoi(r.FormValue(name))
	return n
}

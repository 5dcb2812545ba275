package stream_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"

	"github.com/theseus-run/theseus/upgrade/stream"
)

// A countdown. With stream.Adapt(up) in place of nil, where up is an
// upgrade.Upgrader, it would continue in the next process.
func ExampleNewEvents() {
	type state struct{ Left int }
	countdown := stream.NewEvents(nil, "countdown", func(e *stream.Events, s *state) error {
		for s.Left > 0 {
			if err := e.SendData(strconv.Itoa(s.Left)); err != nil {
				return err
			}
			s.Left--
			if err := e.Wait(time.Millisecond); err != nil {
				return err
			}
		}
		return nil
	})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		countdown.Serve(w, r, state{Left: 3})
	}))
	defer srv.Close()

	res, err := http.Get(srv.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	fmt.Print(string(body), err)
	// Output:
	// data: 3
	//
	// data: 2
	//
	// data: 1
	//
	// <nil>
}

// An echo that counts; the count continues in the next process.
func ExampleNewSocket() {
	type state struct{ Count int }
	echo := stream.NewSocket(nil, "echo", func(c *stream.Socket, s *state) error {
		for {
			m, err := c.Receive()
			if err != nil {
				return err // among others ErrMoving
			}
			s.Count++
			if err := c.Send(m); err != nil {
				return err
			}
		}
	})
	http.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		echo.Serve(w, r, state{})
	})
}

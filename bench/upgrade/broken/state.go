package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/theseus-run/theseus/upgrade"
)

const (
	stateName    = "chain"
	stateVersion = 2 // of its format; a release in mode "schema" knows only the one before
)

// chain is the state that is handed on: the processes that served, in order.
type chain struct {
	PIDs []int `json:"pids"`
}

// handOver reads the state of the predecessor and offers it to a successor.
func handOver(u *upgrade.Upgrader) error {
	var c chain
	if blob, ok := u.ReceivedState(stateName); ok {
		if err := decode(blob, &c); err != nil {
			return fmt.Errorf("state %q: %w", stateName, err)
		}
	}
	c.PIDs = append(c.PIDs, os.Getpid())
	if len(c.PIDs) > 8 { // of a long chain the end
		c.PIDs = c.PIDs[len(c.PIDs)-8:]
	}
	u.ProvideState(stateName, stateVersion, func(_ context.Context, w io.Writer) error { return json.NewEncoder(w).Encode(c) })
	return nil
}

func decode(b upgrade.Blob, c *chain) error {
	known := stateVersion
	if broken == "schema" {
		known--
	}
	if b.Version > known {
		return fmt.Errorf("it has version %d, and this release reads up to %d", b.Version, known)
	}
	if broken == "state" {
		var other []string // the shape that this release takes it to have
		return json.Unmarshal(b.Data, &other)
	}
	return json.Unmarshal(b.Data, c)
}

// ledger returns a hook that notes when which connection came to this process, by
// the client's port: a line of the time in nanoseconds since 1970 and the port.
func ledger(path string) (func(net.Conn, http.ConnState), error) {
	f, err := os.OpenFile(fmt.Sprintf("%s-%d", path, os.Getpid()), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	return func(c net.Conn, state http.ConnState) {
		if port := clientPort(c); state == http.StateNew && port != 0 {
			fmt.Fprintf(f, "%d %d\n", time.Now().UnixNano(), port)
		}
	}, nil
}

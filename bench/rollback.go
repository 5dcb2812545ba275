package main

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/theseus-run/theseus/app"
)

// runRollback goes back and forth between two generations while a client asks
// without pause which one serves.
func runRollback(ctx context.Context, c config) (figures []Figure, err error) {
	dir, remove, err := tempApp(memFS(trioRest, trio(1)))
	if err != nil {
		return nil, err
	}
	defer remove()
	in, err := startInstance(ctx, dir, app.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeInstance(in)) }()
	if err := writeTree(dir, trio(2)); err != nil {
		return nil, err
	}
	if _, err := in.App.Reload(ctx, app.Change{Trigger: "api"}); err != nil {
		return nil, err
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(in.URL, "http://"))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	client := newClient(conn, "/v")
	var visible, whole []float64
	for i := range c.pick(200, 40) {
		target := 1 + i%2
		done := make(chan error, 1)
		var call time.Duration
		start := time.Now()
		go func() {
			_, err := in.App.Rollback(ctx, target, app.Change{})
			call = time.Since(start)
			done <- err
		}()
		for deadline := start.Add(5 * time.Second); ; {
			if err := client.do(); err != nil {
				return nil, err
			}
			if client.generation == strconv.Itoa(target) {
				break
			}
			if time.Now().After(deadline) {
				return nil, errors.Join(errors.New("a rollback did not show"), <-done)
			}
		}
		visible = append(visible, ms(time.Since(start)))
		if err := <-done; err != nil {
			return nil, err
		}
		whole = append(whole, ms(call))
	}
	return []Figure{
		fig("rollbacks", float64(len(visible)), ""),
		fig("call to first answer of the old generation p50", quantile(visible, .5), "ms"),
		fig("call to first answer of the old generation p95", quantile(visible, .95), "ms"),
		fig("whole call, noted on disk with fsync, p50", quantile(whole, .5), "ms"),
		fig("whole call p95", quantile(whole, .95), "ms"),
	}, nil
}

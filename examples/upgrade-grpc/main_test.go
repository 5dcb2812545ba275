//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The test binary is the server too.
func TestMain(m *testing.M) {
	if os.Getenv("UPGRADE_GRPC_SERVER") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// Calls and streams run over five upgrades, and none fails: the client tries again
// only what gRPC itself knows that no server has seen.
func TestCallsSurvive(t *testing.T) {
	pidfile := filepath.Join(t.TempDir(), "pid")
	pid := func() int {
		text, _ := os.ReadFile(pidfile)
		n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
		return n
	}
	addr := serve(t, pidfile)
	defer func() { // all processes of the service
		for pid := pid(); pid != 0 && syscall.Kill(pid, 0) == nil; time.Sleep(5 * time.Millisecond) {
			syscall.Kill(pid, syscall.SIGTERM)
		}
	}()
	var stop atomic.Bool
	var calls, streams atomic.Int64
	var pids sync.Map
	var wg sync.WaitGroup
	for i := range 6 {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableServiceConfig())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		wg.Go(func() {
			for n := int64(0); !stop.Load() && !t.Failed(); n++ {
				by, err := say(conn, n)
				if i%2 == 0 {
					by, err = ticks(conn, 25)
					streams.Add(1)
				}
				if err != nil {
					t.Error(err)
				}
				pids.Store(by, true)
				calls.Add(1)
				time.Sleep(time.Millisecond) // leave the processor to others
			}
		})
	}
	for range 5 {
		old := pid()
		before := calls.Load()
		waitFor(t, "calls", func() bool { return calls.Load() > before+20 || t.Failed() })
		if err := syscall.Kill(old, syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the next process", func() bool { return pid() != old })
	}
	stop.Store(true)
	wg.Wait()
	n := 0
	pids.Range(func(any, any) bool { n++; return true })
	if n != 5 && n != 6 {
		t.Errorf("%d processes answered", n)
	}
	t.Logf("%d calls, %d of them streams, by %d processes", calls.Load(), streams.Load(), n)
}

// serve starts the server and returns its address.
func serve(t *testing.T, pidfile string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-addr", "127.0.0.1:0", "-pidfile", pidfile)
	cmd.Env = append(os.Environ(), "UPGRADE_GRPC_SERVER=1")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go cmd.Wait()
	t.Cleanup(func() { r.Close() })
	line, err := bufio.NewReader(r).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "serving ")
	if err != nil || !ok {
		t.Fatalf("%q %v", line, err)
	}
	return addr
}

func say(conn *grpc.ClientConn, n int64) (by string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out wrapperspb.StringValue
	text := strconv.FormatInt(n, 10)
	if err := conn.Invoke(ctx, "/example.Echo/Say", wrapperspb.String(text), &out); err != nil {
		return "", err
	}
	by, said, _ := strings.Cut(out.Value, " ")
	if said != text {
		err = fmt.Errorf("said %q, heard %q", text, said)
	}
	return by, err
}

// ticks reads a stream of n answers, all of one process.
func ticks(conn *grpc.ClientConn, n int64) (by string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/example.Echo/Ticks")
	if err != nil {
		return "", err
	}
	if err := errors.Join(s.SendMsg(wrapperspb.Int64(n)), s.CloseSend()); err != nil {
		return "", err
	}
	for i := int64(0); ; i++ {
		var out wrapperspb.StringValue
		err := s.RecvMsg(&out)
		if err == io.EOF && i == n {
			return by, nil
		}
		if err != nil {
			return "", fmt.Errorf("tick %d: %w", i, err)
		}
		pid, tick, _ := strings.Cut(out.Value, " ")
		if by == "" {
			by = pid
		}
		if pid != by || tick != strconv.FormatInt(i, 10) {
			return "", fmt.Errorf("tick %d: %q", i, out.Value)
		}
	}
}

//go:build linux

package upgrade

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Each datagram is answered exactly once, whichever process has it.
func TestDatagrams(t *testing.T) {
	t.Parallel()
	upgrades := 5
	if testing.Short() {
		upgrades = 1
	}
	dir := t.TempDir()
	in := &instance{config: config{Probation: 50 * time.Millisecond, Lab: lab{Packets: []string{"udp|127.0.0.1:0", "unixgram|" + filepath.Join(dir, "s")}}}}
	in.packets = make(map[string]string)
	startInstance(t, in)
	var stop atomic.Bool
	var answered atomic.Int64
	var wg sync.WaitGroup
	pids := sync.Map{}
	for i := range 8 {
		network := []string{"udp", "unixgram"}[i%2]
		c := dialPacket(t, network, in.packets[network], filepath.Join(dir, fmt.Sprint("c", i)))
		wg.Go(func() {
			buf := make([]byte, 100)
			for n := 0; !stop.Load(); n++ {
				if _, err := fmt.Fprintf(c, "%d", n); err != nil {
					t.Error(err)
					return
				}
				c.SetReadDeadline(time.Now().Add(30 * time.Second))
				got, err := c.Read(buf)
				if err != nil {
					t.Errorf("%s datagram %d: %v", network, n, err)
					return
				}
				pid, text, _ := strings.Cut(string(buf[:got]), " ")
				if text != fmt.Sprint(n) {
					t.Errorf("%s datagram %d: answer %q", network, n, text)
					return
				}
				pids.Store(pid, true)
				answered.Add(1)
			}
		})
	}
	for range upgrades {
		in.swap()
	}
	before := answered.Load()
	waitFor(t, "the last process to answer", func() bool { return answered.Load() > before+100 || t.Failed() })
	stop.Store(true)
	wg.Wait()
	if _, ok := pids.Load(fmt.Sprint(in.pid())); !ok {
		t.Error("the last process answered none")
	}
	t.Logf("%d answers over %d upgrades", answered.Load(), upgrades)
}

func dialPacket(t *testing.T, network, address, own string) net.Conn {
	t.Helper()
	d := net.Dialer{}
	if network == "unixgram" {
		d.LocalAddr = &net.UnixAddr{Name: own, Net: network}
	}
	c, err := d.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// When nobody else reads a socket, what waits in its queue is read and answered
// before it closes.
func TestPacketQueue(t *testing.T) {
	t.Parallel()
	u, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := u.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c := dialPacket(t, "udp", p.LocalAddr().String(), "")
	for n := range 50 {
		fmt.Fprint(c, n)
	}
	got := make(chan int)
	go func() {
		buf, n := make([]byte, 10), 0
		for {
			_, from, err := p.ReadFrom(buf)
			if err != nil {
				got <- n
				return
			}
			time.Sleep(100 * time.Microsecond) // the answer takes its time
			if _, err := p.WriteTo(buf, from); err != nil {
				t.Error(err)
			}
			n++
		}
	}()
	waitFor(t, "the reader", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.readers+p.out > 0 })
	p.finish(t.Context(), true)
	p.Close()
	if n := <-got; n != 50 {
		t.Errorf("%d of 50 datagrams were answered", n)
	}
}

// A reader that never comes back holds the end up only as long as ctx lives, and
// one whose deadline comes while the socket is paused is told so.
func TestPacketPaused(t *testing.T) {
	t.Parallel()
	u, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := u.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c := dialPacket(t, "udp", p.LocalAddr().String(), "")
	fmt.Fprint(c, "x")
	buf := make([]byte, 10)
	if _, _, err := p.ReadFrom(buf); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	p.finish(ctx, false)
	p.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, _, err := p.ReadFrom(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read with a deadline while paused: %v", err)
	}
	p.SetReadDeadline(time.Time{})
	ended := make(chan error)
	go func() {
		_, _, err := p.ReadFrom(buf)
		ended <- err
	}()
	p.SetReadDeadline(past)
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a deadline set while a read waits: %v", err)
	}
	p.SetReadDeadline(time.Time{})
	p.pause(false)
	fmt.Fprint(c, "y")
	if n, _, err := p.ReadFrom(buf); err != nil || string(buf[:n]) != "y" {
		t.Errorf("after the pause: %q, %v", buf[:n], err)
	}
	go func() {
		_, _, err := p.ReadFrom(buf)
		ended <- err
	}()
	p.pause(true)
	p.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed while paused: %v", err)
	}
}

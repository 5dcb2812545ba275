//go:build linux

package supervisor

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

// TestConduitPausesBetweenMessages: half a message that has come is read to its end,
// and what comes after the pause is there for whoever reads next.
func TestConduitPausesBetweenMessages(t *testing.T) {
	t.Parallel()
	ours, theirs, err := pair()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { closeFD(theirs) }() // the number that it has then: below it is closed
	c, err := newConduit(ours)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	got := make(chan wire.Message, 16)
	take := func(m wire.Message, files []*os.File) bool { closeFiles(files); got <- m; return true }
	lost := func(error) { close(got) }
	frame := []byte("\x00\x00\x00\x17\x0b\x00\x00\x00" + `{"reason":"1234567890"}`)
	write := func(p []byte) {
		t.Helper()
		if err := writeAll(theirs, p); err != nil {
			t.Fatal(err)
		}
	}
	want := func(reason string) {
		t.Helper()
		if m := <-got; m != (wire.Abort{Reason: reason}) {
			t.Errorf("got %+v", m)
		}
	}
	c.resume(take, lost)
	write(frame)
	want("1234567890")
	for cut := 1; cut < len(frame); cut++ {
		write(frame[:cut])
		until(t, "the reader to begin", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.receiving })
		done := c.pause()
		select {
		case <-done:
			t.Fatal("it stopped in a message")
		default:
		}
		write(frame[cut:])
		<-done
		want("1234567890")
		write(frame) // nobody reads
		c.resume(take, lost)
		want("1234567890")
		<-c.pause() // nothing has come
		if c.unpause() {
			t.Error("the reader is said to go on")
		}
		c.resume(take, lost)
		write(frame[:cut]) // given up before the rest has come
		until(t, "the reader to begin", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.receiving })
		c.pause()
		if !c.unpause() {
			t.Error("the reader has ended in a message")
		}
		write(frame[cut:])
		want("1234567890")
	}
	closeFD(theirs)
	theirs = -1
	if _, open := <-got; open {
		t.Error("the end was not noticed")
	}
	<-c.pause()
}

// TestAssembly: snapshots that are not as they should be are dropped up to their end,
// and the next one is good.
func TestAssembly(t *testing.T) {
	t.Parallel()
	state := func(name, data string) []wire.Message {
		sum := sha256.Sum256([]byte(data))
		return []wire.Message{wire.State{Name: name, Version: 2, Size: -1}, wire.StateData{Data: []byte(data)},
			wire.StateEnd{Name: name, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(data))}}
	}
	join := func(parts ...[]wire.Message) (all []wire.Message) {
		for _, p := range parts {
			all = append(all, p...)
		}
		return all
	}
	for _, c := range []struct {
		name     string
		messages []wire.Message
		want     string // of the error; empty means a good one
	}{
		{"empty", nil, ""},
		{"two states", join(state("a", "1"), state("b", "23")), ""},
		{"data of no state", []wire.Message{wire.StateData{}}, "no state"},
		{"end of no state", []wire.Message{wire.StateEnd{Name: "a"}}, "did not begin"},
		{"state in state", []wire.Message{wire.State{Name: "a"}, wire.State{Name: "b"}}, "begins in another"},
		{"state twice", join(state("a", "1"), state("a", "2")), "twice"},
		{"wrong end", []wire.Message{wire.State{Name: "a"}, wire.StateEnd{Name: "b"}}, "does not match"},
		{"wrong sum", []wire.Message{wire.State{Name: "a"}, wire.StateData{Data: []byte("1")}, wire.StateEnd{Name: "a", Size: 1}}, "does not match"},
		{"unfinished", []wire.Message{wire.State{Name: "a"}}, "ends within"},
	} {
		a := &assembly{}
		var failure error
		for _, m := range c.messages {
			if _, err := a.add(m, nil); err != nil && failure == nil {
				failure = err
			}
			if a.whole() {
				t.Errorf("%s: whole within a snapshot", c.name)
			}
		}
		snap, err := a.add(wire.Prepared{}, nil)
		if failure == nil {
			failure = err
		}
		if !a.whole() {
			t.Errorf("%s: not whole at the end", c.name)
		}
		if c.want == "" {
			if failure != nil || snap == nil {
				t.Errorf("%s: %v", c.name, failure)
			}
		} else if failure == nil || !strings.Contains(failure.Error(), c.want) || snap != nil {
			t.Errorf("%s: %v, want %q", c.name, failure, c.want)
		}
		snap.release()
		for _, m := range state("next", "good") {
			if _, err := a.add(m, nil); err != nil {
				t.Errorf("after %s: %v", c.name, err)
			}
		}
		next, err := a.add(wire.Prepared{}, nil)
		if err != nil || next.size() != 4 || next.states[0].Version != 2 {
			t.Fatalf("after %s: %+v, %v", c.name, next, err)
		}
		buf := make([]byte, 4)
		if err := readAt(next.blob, buf, 0); err != nil || !bytes.Equal(buf, []byte("good")) {
			t.Errorf("after %s: %q, %v", c.name, buf, err)
		}
		if _, err := unix.Write(next.blob, buf); !errors.Is(err, unix.EPERM) {
			t.Errorf("a complete snapshot can be written to: %v", err)
		}
		next.release()
	}
}

// TestSnapshotIsBounded: more sockets and larger states than allowed are refused, and
// nothing of them stays open.
func TestSnapshotIsBounded(t *testing.T) {
	t.Parallel()
	a := &assembly{}
	if _, err := a.add(wire.State{Name: "a"}, nil); err != nil {
		t.Fatal(err)
	}
	a.snap.states[0].Size = stateLimit
	if _, err := a.add(wire.StateData{Data: []byte("1")}, nil); err == nil {
		t.Error("a state that is too large")
	}
	if a.snap != nil || a.whole() {
		t.Error("it was kept")
	}
	if snap, err := a.add(wire.Prepared{}, nil); snap != nil || err != nil || !a.whole() {
		t.Errorf("%+v, %v", snap, err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	names := make([]wire.Socket, socketLimit+1)
	if _, err := a.add(wire.Sockets{Sockets: names}, []*os.File{null}); err == nil {
		t.Error("too many sockets")
	}
	if null.Close() == nil {
		t.Error("a file was left open")
	}
}

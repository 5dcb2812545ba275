package supervise

import (
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// TestAcceptedBy: the process that accepts is found for TCP over both
// protocols and for Unix sockets, and only that.
func TestAcceptedBy(t *testing.T) {
	t.Parallel()
	another := start(t, nil).Status().Children[0].PID
	for _, c := range []struct{ network, address string }{
		{"tcp", "127.0.0.1:0"}, {"tcp", "[::1]:0"}, {"tcp", ":0"}, {"unix", filepath.Join(t.TempDir(), "s")},
	} {
		ln, err := net.Listen(c.network, c.address)
		if err != nil && c.address == "[::1]:0" {
			continue // no IPv6 here
		} else if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		sock := &socket{network: c.network, address: ln.Addr().String()}
		conn, err := dial(t.Context(), sock)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		look := tcpPeer
		if c.network == "unix" {
			look = unixPeer
		}
		if inode, err := look(conn); err != nil || inode != 0 {
			t.Errorf("%s: before the accept the peer is %d, %v", sock.address, inode, err)
		}
		other, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if mine, err := acceptedBy(t.Context(), conn, os.Getpid()); err != nil || !mine {
			t.Errorf("%s: acceptedBy(this process) = %v, %v", sock.address, mine, err)
		}
		if mine, err := acceptedBy(t.Context(), conn, another); err != nil || mine {
			t.Errorf("%s: acceptedBy(another) = %v, %v", sock.address, mine, err)
		}
	}
}

func TestParseTCP(t *testing.T) {
	t.Parallel()
	const line = "  10: 0100007F:1F90 0200007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4321 1 0000000000000000 20 4 30 10 -1"
	if inode, ok := parseTCP(line, 8080, 50000); !ok || inode != 4321 {
		t.Errorf("parseTCP = %d %v, want 4321", inode, ok)
	}
	for _, ports := range [][2]int{{50000, 8080}, {8080, 1}, {80, 50000}} {
		if _, ok := parseTCP(line, ports[0], ports[1]); ok {
			t.Errorf("parseTCP matches %v", ports)
		}
	}
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	if parent, group, ok := parseStat("12 (a) S 1 (b) S 34 56 7 0"); !ok || parent != 34 || group != 56 {
		t.Errorf("parseStat = %d %d %v", parent, group, ok)
	}
}

func FuzzProc(f *testing.F) {
	f.Add("12 (a b) S 34 56 7 0", "1: 0100007F:1F90 0200007F:C350 01 0:0 0:0 0 0 0 4321")
	f.Fuzz(func(t *testing.T, stat, line string) {
		parseStat(stat)
		parseTCP(line, 8080, 50000)
	})
}

func FuzzParsePeer(f *testing.F) {
	good := binary.NativeEndian.AppendUint32(nil, 16+16+8)
	good = append(good, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	good = append(good, make([]byte, 16)...)
	f.Add(append(good, 8, 0, 2, 0, 9, 0, 0, 0))
	f.Fuzz(func(t *testing.T, answer []byte) { _, _ = parsePeer(answer) })
}

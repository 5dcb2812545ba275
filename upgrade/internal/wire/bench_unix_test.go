//go:build unix

package wire

import "testing"

// One connection handed over and acknowledged.
func BenchmarkConnection(b *testing.B) {
	old, successor := links(b)
	fd := int(tempFiles(b, 1)[0].Fd())
	done := make(chan error, 1)
	go func() {
		for range b.N {
			m, files, err := successor.Receive()
			if err != nil {
				done <- err
				return
			}
			closeAll(files)
			if err := successor.Send(Taken{ID: m.(Connection).ID, OK: true}); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	acks := make(chan error, 1)
	go func() {
		for range b.N {
			if _, _, err := old.Receive(); err != nil {
				acks <- err
				return
			}
		}
		acks <- nil
	}()
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if err := old.Send(Connection{ID: uint64(i), Listener: "http"}, fd); err != nil {
			b.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	if err := <-acks; err != nil {
		b.Fatal(err)
	}
}

func BenchmarkStateData(b *testing.B) {
	old, successor := links(b)
	data := make([]byte, MaxStateData)
	done := make(chan error, 1)
	go func() {
		for range b.N {
			if _, _, err := successor.Receive(); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	b.ReportAllocs()
	b.SetBytes(MaxStateData)
	b.ResetTimer()
	for range b.N {
		if err := old.Send(StateData{Data: data}); err != nil {
			b.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

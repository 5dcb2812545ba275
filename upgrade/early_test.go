package upgrade

import (
	"context"
	"testing"
	"time"
)

// A signal to stop that comes while the process becomes ready, and that nothing in
// this looks at, ends the process once it is.
func TestStopWhileReady(t *testing.T) {
	u, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	u.Pool(Pool{Warm: func(ctx context.Context) error {
		u.signals <- stopSignals()[0]
		<-ctx.Done() // it was seen
		return nil
	}})
	done := make(chan error, 1)
	go func() { done <- u.Run(context.Background()) }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the signal was forgotten")
		_ = u.Shutdown(context.Background())
	}
}

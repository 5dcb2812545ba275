//go:build linux

package upgrade

import "testing"

// With another version of net/http this may fail; then connections do not move any
// more, and conn.movable needs to learn how it waits.
func TestIdleWait(t *testing.T) {
	t.Parallel()
	if got, want := idleWait(), (wait{size: 4096, resets: 1}); got != want {
		t.Errorf("net/http waits with %+v, want %+v", got, want)
	}
}

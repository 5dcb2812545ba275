package admin

import (
	"fmt"
	"os/user"
	"runtime"
	"slices"
	"testing"

	"connectrpc.com/connect"

	adminv1 "github.com/theseus-run/theseus/admin/v1"
)

// Who changes something is whom the system knows at the other end of the socket; over
// the network it is whoever has the token. What the caller writes counts for nothing.
func TestChangesSayWho(t *testing.T) {
	skipWithoutModes(t)
	if runtime.GOOS != "linux" && runtime.GOOS != "darwin" {
		t.Skip("the system does not tell")
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	f := newFake()
	r := serve(t, f, Options{Token: testToken})
	for _, to := range []Target{{Socket: r.socket}, {URL: r.url, Token: testToken}} {
		req := connect.NewRequest(&adminv1.ReloadRequest{Message: "by root"})
		for _, name := range []string{"Who", "User", "X-Forwarded-User", "From"} {
			req.Header().Set(name, "root (uid 0)")
		}
		if _, err := dial(t, to).Reload(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, c := range f.changes() {
		got = append(got, c.Who)
	}
	want := []string{fmt.Sprintf("%s (uid %s)", me.Username, me.Uid), "the admin token, from 127.0.0.1"}
	if !slices.Equal(got, want) {
		t.Errorf("who: %q, want %q", got, want)
	}
}

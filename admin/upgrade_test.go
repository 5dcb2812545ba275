package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/app"
)

// upgraded is an Options.Upgrade that goes well.
func upgraded(context.Context, UpgradeRequest) (Upgrade, error) {
	return Upgrade{PID: 42, Generation: 1, Path: "/bin/theseus", Steps: []app.Phase{{Name: "check", Duration: time.Millisecond}}, Serving: 2, Took: 3}, nil
}

// What becomes of an upgrade reaches the client whole, and each way to fail has
// its code.
func TestUpgradeOutcomes(t *testing.T) {
	failed := &UpgradeError{Step: "probation", RolledBack: true, Reason: "rolled back: it died"}
	cases := map[string]struct {
		do   func(context.Context, UpgradeRequest) (Upgrade, error)
		code connect.Code
		want *UpgradeError
	}{
		"good":        {upgraded, 0, nil},
		"rolled back": {func(context.Context, UpgradeRequest) (Upgrade, error) { return Upgrade{}, failed }, connect.CodeFailedPrecondition, failed},
		"busy": {func(context.Context, UpgradeRequest) (Upgrade, error) {
			return Upgrade{}, fmt.Errorf("%w: wait", ErrBusy)
		},
			connect.CodeAborted, nil},
		"unsupported": {func(context.Context, UpgradeRequest) (Upgrade, error) { return Upgrade{}, errors.ErrUnsupported }, connect.CodeUnimplemented, nil},
		"none":        {nil, connect.CodeUnimplemented, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := serve(t, newFake(), Options{Token: testToken, Upgrade: c.do})
			client, err := Dial(Target{URL: r.url, Token: testToken})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			resp, err := client.Upgrade(t.Context(), connect.NewRequest(&adminv1.UpgradeRequest{}))
			if err == nil {
				want, _ := upgraded(t.Context(), UpgradeRequest{})
				if got := UpgradeFrom(resp.Msg.GetUpgrade()); c.code != 0 || !reflect.DeepEqual(got, want) {
					t.Fatalf("Upgrade = %+v, want %+v", got, want)
				}
				return
			}
			if got := connect.CodeOf(err); got != c.code {
				t.Fatalf("Upgrade: code %v (%v), want %v", got, err, c.code)
			}
			if got, _ := UpgradeErrorOf(err); !reflect.DeepEqual(got, c.want) {
				t.Fatalf("detail %+v, want %+v", got, c.want)
			}
		})
	}
}

// A program can be named on the owner's socket only, and only with its whole path.
func TestUpgradePath(t *testing.T) {
	var asked []UpgradeRequest
	s := New(newFake(), Options{Token: testToken, Upgrade: func(ctx context.Context, r UpgradeRequest) (Upgrade, error) {
		asked = append(asked, r)
		return upgraded(ctx, r)
	}})
	defer s.Close()
	call := func(ctx context.Context, path string) error {
		_, err := (&service{s}).Upgrade(ctx, connect.NewRequest(&adminv1.UpgradeRequest{Path: path, Force: true, NoWait: true}))
		return err
	}
	if got := connect.CodeOf(call(t.Context(), "/bin/other")); got != connect.CodePermissionDenied {
		t.Errorf("a path over the network: code %v, want %v", got, connect.CodePermissionDenied)
	}
	owner := context.WithValue(t.Context(), ownerKey{}, true)
	if got := connect.CodeOf(call(owner, "other")); got != connect.CodeInvalidArgument {
		t.Errorf("a relative path: code %v, want %v", got, connect.CodeInvalidArgument)
	}
	if len(asked) != 0 {
		t.Fatalf("%+v was asked for", asked)
	}
	if err := call(owner, "/bin/other"); err != nil || len(asked) != 1 || asked[0] != (UpgradeRequest{Path: "/bin/other", Force: true, Who: asked[0].Who, NoWait: true}) || asked[0].Who == "" {
		t.Fatalf("asked for %+v, error %v", asked, err)
	}
}

// HTTPServer needs no token on a socket that it was told to trust, and on no other.
func TestHTTPServerTrusts(t *testing.T) {
	for _, trusted := range []bool{true, false} {
		s := New(newFake(), Options{Token: testToken})
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Skip(err)
		}
		srv := s.HTTPServer("elsewhere")
		if trusted {
			srv = s.HTTPServer("elsewhere", path)
		}
		go srv.Serve(l)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}}}
		resp, err := client.Post("http://localhost"+rpcPath+"GetStatus", "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if ok := resp.StatusCode == http.StatusOK; ok != trusted {
			t.Errorf("trusted %t: status %d", trusted, resp.StatusCode)
		}
		srv.Close()
		s.Close()
	}
}

package instance_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"connectrpc.com/connect"

	"github.com/theseus-run/theseus/admin"
	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/examples"
	"github.com/theseus-run/theseus/internal/instance"
	"github.com/theseus-run/theseus/upgrade"
)

// A first process that could be replaced serves like any other, and leaves
// nothing behind. The ways to be replaced are tested with real processes by
// internal/cli.
func TestProcessAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("processes cannot be replaced on Windows")
	}
	dir := filepath.Join(t.TempDir(), "shop")
	if err := os.CopyFS(dir, examples.Shop()); err != nil {
		t.Fatal(err)
	}
	p, err := instance.NewProcess(upgrade.Options{})
	if err != nil {
		t.Fatal(err)
	}
	in, err := instance.Start(t.Context(), dir, instance.Options{Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Process: p, App: app.Options{Watch: true, NoSync: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close(context.Background())
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get(in.URL + "/price/apple?qty=10")
	if err != nil {
		t.Fatal(err)
	}
	if r.Body.Close(); r.StatusCode != http.StatusOK {
		t.Fatalf("status %d", r.StatusCode)
	}
	socket := filepath.Join(dir, ".theseus", "admin.sock")
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the admin socket: %v, %v", info, err)
	}
	owner, err := admin.Dial(admin.Target{Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	resp, err := owner.GetStatus(t.Context(), connect.NewRequest(&adminv1.GetStatusRequest{}))
	if err != nil {
		t.Fatalf("the owner without a token: %v", err)
	}
	if got := admin.StatusFrom(resp.Msg.GetStatus()).Process; got == nil || got.State != string(upgrade.Serving) {
		t.Errorf("process %+v", got)
	}
	_, err = owner.Upgrade(t.Context(), connect.NewRequest(&adminv1.UpgradeRequest{Path: filepath.Join(dir, "theseus.yaml")}))
	if ue, ok := admin.UpgradeErrorOf(err); !ok || ue.Step != "check" || ue.RolledBack {
		t.Errorf("an upgrade to what is no program: %v", err)
	}
	if err := in.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"admin.sock", "admin.json"} {
		if _, err := os.Stat(filepath.Join(dir, ".theseus", name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left behind: %v", name, err)
		}
	}
}

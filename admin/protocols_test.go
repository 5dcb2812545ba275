package admin

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"connectrpc.com/connect"

	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/admin/v1/adminv1connect"
	"github.com/theseus-run/theseus/app"
)

const rpcPath = "/" + adminv1connect.AdminServiceName + "/"

// Every protocol reads, changes, streams and reports errors with details.
func TestProtocols(t *testing.T) {
	protocols := map[string][]connect.ClientOption{
		"connect":  nil,
		"json":     {connect.WithProtoJSON()},
		"get":      {connect.WithHTTPGet()},
		"grpc":     {connect.WithGRPC()},
		"grpc-web": {connect.WithGRPCWeb()},
	}
	for name, opts := range protocols {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			r := serve(t, f, Options{Token: testToken})
			transport := &http.Transport{Protocols: new(http.Protocols)}
			transport.Protocols.SetHTTP1(name != "grpc")
			transport.Protocols.SetUnencryptedHTTP2(name == "grpc")
			defer transport.CloseIdleConnections()
			c := adminv1connect.NewAdminServiceClient(&bearer{token: testToken, client: http.Client{Transport: transport}}, r.url, opts...)
			ctx := t.Context()

			st, err := c.GetStatus(ctx, connect.NewRequest(&adminv1.GetStatusRequest{}))
			if err != nil || st.Msg.Status.Live.Number != 3 {
				t.Fatalf("GetStatus = %v, %v; want generation 3", st, err)
			}
			up, err := c.Reload(ctx, connect.NewRequest(&adminv1.ReloadRequest{Message: "why"}))
			if err != nil || up.Msg.Update.Generation != 4 {
				t.Fatalf("Reload = %v, %v; want generation 4", up, err)
			}
			f.set(func(f *fakeApp) {
				f.broken = []app.Problem{{Kind: "syntax", Message: "boom\xff", Frame: "> 1 | x\xff"}}
			})
			_, err = c.Reload(ctx, connect.NewRequest(&adminv1.ReloadRequest{}))
			refused, ok := RefusalOf(err)
			if connect.CodeOf(err) != connect.CodeFailedPrecondition || !ok || len(refused.Problems) != 1 || refused.Problems[0].Frame != "> 1 | x\uFFFD" {
				t.Fatalf("Reload of a broken tree = %v (%+v)", err, refused)
			}

			f.events.Publish(app.Event{Type: "log", Message: "past"})
			stream, err := c.WatchEvents(ctx, connect.NewRequest(&adminv1.WatchEventsRequest{}))
			if err != nil {
				t.Fatal(err)
			}
			if !stream.Receive() || stream.Msg().Event != nil || stream.Msg().Cursor != 1 {
				t.Fatalf("first message = %v, %v; want one without event at 1", stream.Msg(), stream.Err())
			}
			f.events.Publish(app.Event{Type: "update", Message: "now", Data: app.Update{ID: "u1"}})
			for stream.Receive() && stream.Msg().Event == nil {
			}
			e := EventFrom(stream.Msg().GetEvent())
			if e.ID != 2 || e.Message != "now" || e.Data.(map[string]any)["id"] != "u1" {
				t.Fatalf("event = %+v, %v", e, stream.Err())
			}
			if err := stream.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A plain HTTP client needs no library.
func TestPlainJSON(t *testing.T) {
	r := serve(t, newFake(), Options{Token: testToken})
	for name, call := range map[string][3]string{
		"POST": {http.MethodPost, rpcPath + "GetStatus", "{}"},
		"GET":  {http.MethodGet, rpcPath + "GetStatus?encoding=json&message=" + url.QueryEscape("{}"), ""},
	} {
		code, h, body := r.do(t, call[0], call[1], call[2], nil)
		var out struct {
			Status struct {
				App  string
				Live struct {
					Number   int
					Requests int64 `json:",string"`
				}
			}
		}
		if err := json.Unmarshal([]byte(body), &out); err != nil || code != 200 || out.Status.Live.Number != 3 || out.Status.Live.Requests != 3000 {
			t.Errorf("%s = %d %s (%v)", name, code, body, err)
		}
		if h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control = %q, want no-store", name, h.Get("Cache-Control"))
		}
	}
	// What changes something can't be done by GET.
	code, _, body := r.do(t, http.MethodGet, rpcPath+"Reload?encoding=json&message="+url.QueryEscape("{}"), "", nil)
	if code != http.StatusMethodNotAllowed || len(r.app.changes()) != 0 {
		t.Errorf("GET Reload = %d %s, want 405", code, body)
	}
}

// Text that is not UTF-8, as in a file name, arrives instead of breaking the call.
func TestInvalidText(t *testing.T) {
	r := serve(t, newFake(), Options{Token: testToken})
	res, err := r.dial(t).DiffGenerations(t.Context(), connect.NewRequest(&adminv1.DiffGenerationsRequest{From: 1}))
	if err != nil || res.Msg.Changes[0].Path != "bad\uFFFDname.js" {
		t.Fatalf("DiffGenerations = %v, %v", res, err)
	}
}

// The lists honour their limits, and the details are complete.
func TestReads(t *testing.T) {
	r := serve(t, newFake(), Options{Token: testToken})
	c, ctx := r.dial(t), t.Context()
	gens, err := c.ListGenerations(ctx, connect.NewRequest(&adminv1.ListGenerationsRequest{Limit: 2}))
	if err != nil || len(gens.Msg.Generations) != 2 || gens.Msg.Generations[0].Number != 3 {
		t.Errorf("ListGenerations = %v, %v", gens, err)
	}
	gen, err := c.GetGeneration(ctx, connect.NewRequest(&adminv1.GetGenerationRequest{}))
	if err != nil || gen.Msg.Generation.State != "live" || len(gen.Msg.Files) != 1 || len(gen.Msg.Units) != 1 {
		t.Errorf("GetGeneration = %v, %v", gen, err)
	}
	runs, err := c.ListRuns(ctx, connect.NewRequest(&adminv1.ListRunsRequest{Limit: 1}))
	if err != nil || len(runs.Msg.Runs) != 1 || runs.Msg.Runs[0].Id != "r2" {
		t.Errorf("ListRuns = %v, %v", runs, err)
	}
	for i, level := range []string{"debug", "info", "", "ERROR"} {
		r.app.events.Publish(app.Event{Type: "log", Level: level, Message: "line", Generation: i})
	}
	r.app.events.Publish(app.Event{Type: "update", Message: "no line"})
	for _, tt := range []struct {
		req  *adminv1.ListLogsRequest
		want int
	}{
		{&adminv1.ListLogsRequest{}, 4},
		{&adminv1.ListLogsRequest{Level: "info"}, 3},
		{&adminv1.ListLogsRequest{Level: "error"}, 1},
		{&adminv1.ListLogsRequest{Generation: 2}, 1},
		{&adminv1.ListLogsRequest{Limit: 2}, 2},
	} {
		logs, err := c.ListLogs(ctx, connect.NewRequest(tt.req))
		if err != nil || len(logs.Msg.Lines) != tt.want {
			t.Errorf("ListLogs(%v) = %v, %v, want %d lines", tt.req, logs, err, tt.want)
		}
	}
	for name, call := range map[string]func() error{
		"negative limit": func() error {
			_, err := c.ListRuns(ctx, connect.NewRequest(&adminv1.ListRunsRequest{Limit: -1}))
			return err
		},
		"unknown level": func() error {
			_, err := c.ListLogs(ctx, connect.NewRequest(&adminv1.ListLogsRequest{Level: "loud"}))
			return err
		},
		"empty id": func() error { _, err := c.GetRun(ctx, connect.NewRequest(&adminv1.GetRunRequest{})); return err },
		"negative generation": func() error {
			_, err := c.Rollback(ctx, connect.NewRequest(&adminv1.RollbackRequest{Generation: -1}))
			return err
		},
		"long message": func() error {
			_, err := c.Reload(ctx, connect.NewRequest(&adminv1.ReloadRequest{Message: strings.Repeat("x", maxMessage+1)}))
			return err
		},
	} {
		if err := call(); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%s: error = %v, want invalid_argument", name, err)
		}
	}
}

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/theseus-run/theseus/admin"
	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/internal/instance"
)

// target says which running instance a command talks to.
type target struct {
	dir, addr, token string
	timeout          time.Duration
}

// flags adds the flags of commands that talk to a running instance.
func (t *target) flags(c *cobra.Command) {
	c.Flags().StringVarP(&t.dir, "dir", "d", "", "app directory, or script, of the running instance (default: the current directory)")
	c.Flags().StringVar(&t.addr, "addr", "", "admin address, such as http://127.0.0.1:8081 (default: found in DIR/.theseus; env THESEUS_ADDR)")
	c.Flags().StringVar(&t.token, "token", "", "admin token (default: found in DIR/.theseus; env THESEUS_TOKEN)")
	c.Flags().DurationVar(&t.timeout, "timeout", time.Minute, "how long to wait for the answer")
}

// call dials the instance and runs f with a client and a deadline.
func (t *target) call(ctx context.Context, f func(context.Context, *admin.Client) error) error {
	return t.dial(ctx, t.timeout, f)
}

func (t *target) dial(ctx context.Context, timeout time.Duration, f func(context.Context, *admin.Client) error) error {
	to, err := t.find()
	if err != nil {
		return err
	}
	client, err := admin.Dial(to)
	if err != nil {
		return failure(ExitUsage, "an admin address looks like http://127.0.0.1:8081", "%w", err)
	}
	defer client.Close()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	return remoteError(f(ctx, client))
}

// find returns where the admin listener is: flags, then environment, then the
// file that the instance left in its app directory.
func (t *target) find() (admin.Target, error) {
	to := admin.Target{URL: t.addr, Token: t.token}
	if to.URL == "" {
		to.URL = os.Getenv("THESEUS_ADDR")
	}
	if to.Token == "" {
		to.Token = os.Getenv("THESEUS_TOKEN")
	}
	if to.URL != "" && to.Token != "" {
		return to, nil
	}
	dir := t.dir
	if dir == "" {
		dir = "."
	}
	d, err := admin.ReadDiscovery(instance.DiscoveryDir(dir))
	if errors.Is(err, fs.ErrNotExist) {
		scripts, _ := filepath.Glob(filepath.Join(dir, ".theseus", "*", ".theseus", "admin.json"))
		switch len(scripts) {
		case 0:
		case 1:
			d, err = admin.ReadDiscovery(filepath.Dir(filepath.Dir(scripts[0])))
		default:
			return to, failure(ExitUsage, "name the script in place of its folder", "several scripts of %s run", absolute(dir))
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && to.URL != "":
		return to, failure(ExitUsage, "give it with --token or THESEUS_TOKEN; it is in .theseus/admin.json of the app, and new at each start",
			"there is an address and no token")
	case errors.Is(err, fs.ErrNotExist):
		return to, failure(ExitUnreachable, "start it with `theseus run "+dir+"`, or name a running one with --dir or --addr and --token",
			"no instance with an admin listener runs the app in %s", absolute(dir))
	case err != nil:
		return to, failure(ExitUnreachable, "restart the instance, or use --addr and --token", "%w", err)
	}
	found := d.Target()
	if to.URL != "" {
		found.URL, found.Socket = to.URL, ""
	}
	if to.Token != "" {
		found.Token = to.Token
	}
	return found, nil
}

// remoteError turns what the admin API answered into the error the app would
// have given, so that there is one mapping to exit statuses.
func remoteError(err error) error {
	if err == nil {
		return nil
	}
	ce, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return err
	}
	if u, ok := admin.RefusalOf(err); ok {
		return &app.RefusedError{Update: u}
	}
	if _, ok := admin.ConflictOf(err); ok {
		return failure(ExitConflict, "look at `theseus status` and try again", "%s", ce.Message())
	}
	switch ce.Code() {
	case connect.CodeNotFound:
		return failure(ExitNotFound, "`theseus history` lists what is kept", "%s", ce.Message())
	case connect.CodeInvalidArgument:
		return failure(ExitUsage, "", "%s", ce.Message())
	case connect.CodeUnavailable:
		return failure(ExitUnreachable, "is it still running? `theseus run` starts it", "the instance does not answer: %s", ce.Message())
	case connect.CodeUnauthenticated, connect.CodePermissionDenied:
		return failure(ExitFailed, "the token is in .theseus/admin.json of the app; give it with --token or THESEUS_TOKEN", "%s", ce.Message())
	case connect.CodeDeadlineExceeded:
		return failure(ExitTimeout, "give it longer with --timeout", "the instance did not answer in time")
	case connect.CodeFailedPrecondition, connect.CodeAborted:
		return failure(ExitConflict, "look at `theseus status` and try again", "%s", ce.Message())
	}
	return failure(ExitFailed, "", "%s", ce.Message())
}

// printJSON prints v as one indented object.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

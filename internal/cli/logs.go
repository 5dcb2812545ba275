package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/theseus-run/theseus/admin"
	adminv1 "github.com/theseus-run/theseus/admin/v1"
	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/observe"
)

func newLogs(e *env) *cobra.Command {
	var t target
	var asJSON, follow bool
	var level string
	var limit, generation int32
	c := &cobra.Command{
		Use:   "logs [DIR]",
		Short: "Print the log of the running instance; -f goes on as it grows",
		Long: `Logs prints the latest lines of what the app's scripts, its requests that failed and
its updates logged, oldest first. The instance keeps the last ones in memory.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			t.arg(args)
			if !slices.Contains([]string{"", "debug", "info", "warn", "error"}, level) {
				return failure(ExitUsage, "levels are debug, info, warn and error", "--level %q is not a level", level)
			}
			timeout := t.timeout
			if follow {
				timeout = 0
			}
			return t.dial(c.Context(), timeout, func(ctx context.Context, client *admin.Client) error {
				r, err := client.ListLogs(ctx, connect.NewRequest(&adminv1.ListLogsRequest{Limit: cmp.Or(limit, 1), Level: level, Generation: generation}))
				if err != nil {
					return err
				}
				var last int64
				for _, m := range r.Msg.GetLines() {
					ev := admin.EventFrom(m)
					last = ev.ID
					if limit == 0 {
						break
					}
					if err := printEvent(e.out, ev, asJSON); err != nil {
						return err
					}
				}
				if !follow {
					return nil
				}
				return followLogs(ctx, e, client, last, level, int(generation), asJSON)
			})
		},
	}
	t.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until interrupted")
	c.Flags().StringVar(&level, "level", "", "only this level and worse: debug, info, warn, error")
	c.Flags().Int32Var(&generation, "generation", 0, "only lines of this generation")
	c.Flags().Int32VarP(&limit, "limit", "n", 100, "begin with at most this many lines; 0 for none of the past")
	return c
}

// followLogs prints log lines as they come.
func followLogs(ctx context.Context, e *env, client *admin.Client, after int64, level string, generation int, asJSON bool) error {
	stream, err := client.WatchEvents(ctx, connect.NewRequest(&adminv1.WatchEventsRequest{After: &after, Types: []string{"log"}}))
	if err != nil {
		return err
	}
	defer stream.Close()
	for stream.Receive() {
		m := stream.Msg().GetEvent()
		if m == nil {
			continue
		}
		ev := admin.EventFrom(m)
		if severity(ev.Level) < severity(level) || generation != 0 && ev.Generation != generation {
			continue
		}
		if err := printEvent(e.out, ev, asJSON); err != nil {
			return err
		}
	}
	return stream.Err()
}

// severity orders levels; "" is below all.
func severity(level string) int {
	return slices.Index([]string{"debug", "info", "warn", "error"}, strings.ToLower(level))
}

func printEvent(w io.Writer, ev app.Event, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(ev)
	}
	line := fmt.Sprintf("%s %-5s gen %d  %s", ev.Time.Format("15:04:05.000"), ev.Level, ev.Generation, observe.Escape(ev.Message))
	if attrs, ok := ev.Data.(map[string]any); ok {
		if inner, ok := attrs["attrs"].(map[string]any); ok {
			attrs = inner
		}
		keys := make([]string, 0, len(attrs))
		for k := range attrs {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			line += fmt.Sprintf("  %s=%v", observe.Escape(k), observe.Escape(fmt.Sprint(attrs[k])))
		}
	}
	_, err := fmt.Fprintln(w, line)
	return err
}

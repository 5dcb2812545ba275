package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/theseus-run/theseus/internal/marked"
	"github.com/theseus-run/theseus/sandbox"
	"github.com/theseus-run/theseus/update"
)

// runFunc is what an update.Hook has.
type runFunc = func(context.Context, update.HookCall) error

const (
	maxOutput = 256 << 10 // bytes of a command's output, and of its errors, each
	maxBody   = 64 << 10  // bytes that are read of an answer
	maxLine   = 300       // bytes of output that an error shows
	maxText   = 4 << 10   // bytes of a text in the environment
)

// A command is a program that is run around a step.
type command struct {
	path string
	args []string
	dir  string
}

// mark is the variable by which all that a command has started is found again.
const mark = "THESEUS_HOOK_ID"

// run runs the command to its end. It fails unless the command ends with status 0.
// Nothing that it started is left then: its process group is killed, and on Linux
// whatever left the group.
func (c command) run(ctx context.Context, call update.HookCall) error {
	id := marked.New()
	body, err := json.Marshal(call)
	if err != nil {
		return err
	}
	r, err := sandbox.Run(ctx, sandbox.Spec{
		Path: c.path, Args: c.args, Dir: c.dir, Env: append(environment(call), mark+"="+id), Stdin: append(body, '\n'), MaxOutput: maxOutput,
	})
	marked.Kill(mark, id)
	if err != nil {
		return err
	}
	said := lastLine(r.Stderr)
	if said == "" {
		said = lastLine(r.Stdout)
	}
	if said != "" {
		said = ": " + said
	}
	switch {
	case ctx.Err() != nil && r.ExitCode != 0:
		return fmt.Errorf("%w, and was killed%s", context.Cause(ctx), said)
	case r.TooMuch:
		return fmt.Errorf("it was killed: it wrote more than %d KiB%s", maxOutput>>10, said)
	case r.Signaled:
		return fmt.Errorf("it was ended by a signal%s", said)
	case r.ExitCode != 0:
		return fmt.Errorf("exit status %d%s", r.ExitCode, said)
	}
	return nil
}

// environment is what a command sees: little of this process's, and what it is called
// for.
func environment(call update.HookCall) []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "SystemRoot"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	when := "before"
	if call.After {
		when = "after"
	}
	c := call.Change
	for _, v := range [][2]string{
		{"CHANGE", c.ID}, {"KIND", string(c.Kind)}, {"SLOT", c.Slot}, {"STEP", call.Step}, {"WHEN", when},
		{"FROM", strconv.Itoa(c.From.Number)}, {"TO", strconv.Itoa(c.To.Number)},
		{"TRIGGER", c.Trigger}, {"WHO", c.Who}, {"MESSAGE", c.Message}, {"ERROR", call.Error},
	} {
		text := strings.ReplaceAll(v[1], "\x00", "")
		env = append(env, "THESEUS_"+v[0]+"="+text[:min(len(text), maxText)])
	}
	return env
}

// lastLine returns the last line with something in it, cut and cleaned for a message.
func lastLine(out []byte) string {
	out = bytes.TrimSpace(out)
	if i := bytes.LastIndexByte(out, '\n'); i >= 0 {
		out = out[i+1:]
	}
	if len(out) > maxLine {
		out = append(bytes.Clone(out[:maxLine]), "…"...)
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(out), "?"))
}

// A call is a request that is sent around a step.
type call struct{ url string }

// run posts the call as JSON. It fails unless the answer is 2xx, by this server:
// redirects are not followed.
func (c call) run(ctx context.Context, hc update.HookCall) error {
	body, err := json.Marshal(hc)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "theseus-hook")
	client := http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
			MaxResponseHeaderBytes: 16 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the URL, which may hold a secret
		}
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 == 2 {
		return nil
	}
	said, _ := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	why := "it answered " + resp.Status
	if resp.StatusCode/100 == 3 {
		why += ", and redirects are not followed"
	}
	if line := lastLine(said); line != "" {
		why += ": " + line
	}
	return errors.New(why)
}

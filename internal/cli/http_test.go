//go:build unix

package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// An answer is a response as scripts see it.
type answer struct {
	text string
	err  error
}

// shownHeaders are printed in this order when they are there.
var shownHeaders = []string{"Theseus-Generation", "Content-Type", "Location", "Set-Cookie", "Allow"}

// fetch sends one request, on a connection of its own.
func fetch(method, url, token, body string) answer {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	client := http.Client{
		Timeout:       deadline,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	r, err := client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", r.Status)
	for _, name := range shownHeaders {
		for _, v := range r.Header.Values(name) {
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
	}
	fmt.Fprintf(&b, "\n%s", text)
	if !strings.HasSuffix(b.String(), "\n") {
		b.WriteByte('\n')
	}
	return answer{text: b.String(), err: err}
}

// target completes a path with the running app's address, and gives the token
// for requests to the admin listener.
func target(ts *testscript.TestScript, path string) (url, token string) {
	switch {
	case strings.HasPrefix(path, "/"):
		return ts.Getenv("APP") + path, ""
	case strings.HasPrefix(path, ts.Getenv("ADMIN")):
		return path, ts.Getenv("TOKEN")
	}
	return path, ""
}

func cmdHTTP(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: http METHOD PATH [BODY]")
	}
	url, token := target(ts, args[1])
	a := fetch(args[0], url, token, strings.Join(args[2:], ""))
	switch {
	case a.err == nil && neg:
		ts.Fatalf("it answers: %s", a.text)
	case a.err != nil && !neg:
		ts.Fatalf("%v", a.err)
	}
	fmt.Fprint(ts.Stdout(), a.text)
}

func cmdHTTPTimes(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) == 3, "http-times N METHOD PATH")
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	for range n {
		cmdHTTP(ts, false, args[1:])
	}
}

func cmdHTTPStart(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) == 3, "http-start NAME METHOD PATH")
	url, token := target(ts, args[2])
	c := make(chan answer, 1)
	worldOf(ts).answers[args[0]] = c
	go func() { c <- fetch(args[1], url, token, "") }()
}

func cmdHTTPWait(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 || worldOf(ts).answers[args[0]] == nil {
		ts.Fatalf("usage: http-wait NAME of an http-start")
	}
	select {
	case a := <-worldOf(ts).answers[args[0]]:
		delete(worldOf(ts).answers, args[0])
		if (a.err != nil) != neg {
			ts.Fatalf("answer %q, error %v", a.text, a.err)
		}
		fmt.Fprint(ts.Stdout(), a.text)
	case <-time.After(deadline):
		ts.Fatalf("no answer in %s", deadline)
	}
}

func cmdPoke(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) == 4, "poke NAME REGEXP METHOD PATH")
	p, re := find(ts, args[0]), regexp.MustCompile(args[1])
	url, token := target(ts, args[3])
	until(ts, args[1]+" from "+args[0], func() (bool, string) {
		a := fetch(args[2], url, token, "")
		return re.MatchString(p.stdout.String()), fmt.Sprint(a.text, a.err)
	})
}

func cmdFreeport(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) == 1, "freeport VAR")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], l.Addr().String())
	ts.Check(l.Close())
}

func cmdOccupy(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) == 1, "occupy VAR")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	worldOf(ts).listeners = append(worldOf(ts).listeners, l)
	ts.Setenv(args[0], l.Addr().String())
}

func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: json PATH [REGEXP]")
	}
	if err := checkJSON(ts.ReadFile("stdout"), args[0], args[1:]); (err != nil) != neg {
		ts.Fatalf("%s: %v", args[0], err)
	}
}

func cmdJSONLines(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, len(args) >= 1 && len(args) <= 2, "jsonlines PATH [REGEXP]")
	lines := strings.Split(strings.TrimRight(ts.ReadFile("stdout"), "\n"), "\n")
	for i, line := range lines {
		if err := checkJSON(line, args[0], args[1:]); err != nil {
			ts.Fatalf("line %d: %s: %v", i+1, args[0], err)
		}
	}
}

// checkJSON looks up path in text and compares the value there, as compact
// JSON without the quotes of a string, with a pattern that must match all of it.
func checkJSON(text, path string, pattern []string) error {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("more than one JSON value")
	}
	for key := range strings.SplitSeq(path, ".") {
		ok := false
		switch in := v.(type) {
		case map[string]any:
			v, ok = in[key]
		case []any:
			i, err := strconv.Atoi(key)
			if ok = err == nil && i >= 0 && i < len(in); ok {
				v = in[i]
			}
		}
		if !ok {
			return fmt.Errorf("there is no %q", key)
		}
	}
	if len(pattern) == 0 {
		return nil
	}
	got, isText := v.(string)
	if !isText {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		got = string(b)
	}
	re, err := regexp.Compile("(?s)^(?:" + pattern[0] + ")$")
	if err != nil {
		return err
	}
	if !re.MatchString(got) {
		return fmt.Errorf("is %s, want %s", got, pattern[0])
	}
	return nil
}

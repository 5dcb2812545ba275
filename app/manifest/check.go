package manifest

import (
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/theseus-run/theseus/internal/schedule"
	"github.com/theseus-run/theseus/internal/spell"
	"github.com/theseus-run/theseus/internal/yamldoc"
	"github.com/theseus-run/theseus/script"
)

// Builtins are the entries of "use" that are not files.
var Builtins = []string{"access-log", "recover"}

var (
	appName = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)
	jobName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,63}$`)
)

// A checker collects what is wrong with a manifest beyond its types.
type checker struct {
	m    *Manifest
	errs yamldoc.Errors
}

// check validates what the types alone cannot.
func (m *Manifest) check() error {
	c := checker{m: m}
	c.head()
	c.routes()
	c.use()
	c.jobs()
	c.limits()
	c.permissions()
	if len(m.Routes) == 0 && len(m.Jobs) == 0 && len(c.errs) == 0 {
		c.fail("add a line such as \"GET /: handlers/home.js\" under routes", []string{"routes"}, "the app has no routes and no jobs")
	}
	return c.errs.Err()
}

// fail reports a problem with the key at path.
func (c *checker) fail(hint string, path []string, format string, args ...any) {
	c.errs = append(c.errs, c.m.Problem(script.Refused, fmt.Sprintf(format, args...), hint, path...))
}

// value reports a problem with the value at path.
func (c *checker) value(hint string, path []string, format string, args ...any) {
	c.errs = append(c.errs, c.m.doc.Problem(script.Refused, fmt.Sprintf(format, args...), hint, c.m.resolve(path)...))
}

// show quotes the value at path for a message without telling what a reference
// in it stands for.
func (c *checker) show(path ...string) string {
	if n := c.m.doc.Find(c.m.resolve(path)...); n != nil {
		return n.Show()
	}
	return `""`
}

func (c *checker) head() {
	m := c.m
	switch {
	case m.doc.Find("app") == nil:
		c.fail("add a line such as \"app: shop\"", nil, "app is missing")
	case !appName.MatchString(m.App):
		c.value("use 1 to 63 of a-z, 0-9 and -", []string{"app"}, "app %s is not a name", c.show("app"))
	}
	switch {
	case m.doc.Find("api") == nil:
		c.fail("add the line \"api: 1\"", nil, "api is missing")
	case m.API != 1:
		c.value("this theseus reads api: 1; a later one may be needed", []string{"api"}, "api %d is not known", m.API)
	}
	c.address("listen", m.Listen)
	if m.Admin == "off" {
		return
	}
	c.address("admin", m.Admin)
	if m.Admin == m.Listen && !strings.HasSuffix(m.Admin, ":0") {
		c.value("give each its own port", []string{"admin"}, "admin and listen are the same address")
	}
}

// address checks "host:port" or "unix:path".
func (c *checker) address(key, text string) {
	if p, ok := strings.CutPrefix(text, "unix:"); ok {
		if p == "" || len(p) > 100 {
			c.value("write unix:/run/app.sock", []string{key}, "%s: want a socket path of 1 to 100 bytes", key)
		}
		return
	}
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		c.value("write host:port, such as 127.0.0.1:8080, or unix:path", []string{key}, "%s %s is not an address", key, c.show(key))
	}
}

func (c *checker) use() {
	for i, name := range c.m.Use {
		at := []string{"use", itoa(i)}
		switch {
		case slices.Contains(c.m.Use[:i], name):
			c.fail("remove one of them", at, "%s is used twice", c.show(at...))
		case slices.Contains(Builtins, name):
		case path.Ext(name) == "":
			hint := "built in are " + strings.Join(Builtins, " and ") + "; others are files such as middleware/session.js"
			if s := spell.Nearest(name, Builtins); s != "" {
				hint = fmt.Sprintf("did you mean %q?", s)
			}
			c.fail(hint, at, "middleware %s is not known", c.show(at...))
		default:
			c.target(name, false, at...)
		}
	}
}

// target checks that name looks like a file of the app, or with folders like a
// folder. It reports whether it does.
func (c *checker) target(name string, folders bool, at ...string) bool {
	clean := strings.TrimSuffix(name, "/")
	hint := "write a path inside the app, such as handlers/home.js"
	switch {
	case name == "":
		c.fail(hint, at, "%s: run is missing", label(at))
	case strings.Contains(name, "\\"):
		c.fail("separate folders with /", at, "%s: %s contains a backslash", label(at), c.shownTarget(name, at))
	case !fs.ValidPath(clean) || clean == ".":
		if p := strings.TrimPrefix(path.Clean(name), "/"); fs.ValidPath(p) && p != "." && p != clean {
			hint = "write " + p
		}
		c.fail(hint, at, "%s: %s is not a path inside the app", label(at), c.shownTarget(name, at))
	case clean != name && !folders:
		c.fail("name a file", at, "%s: %s is a folder", label(at), c.shownTarget(name, at))
	case clean == name && path.Ext(name) == "":
		if hint = "files have an extension, such as .js"; folders {
			hint += "; a folder of static files ends in /"
		}
		c.fail(hint, at, "%s: %s names neither a file nor a folder", label(at), c.shownTarget(name, at))
	default:
		return true
	}
	return false
}

// shownTarget quotes a target unless it came from outside the file.
func (c *checker) shownTarget(name string, at []string) string {
	n := c.m.doc.Find(c.m.resolve(at)...)
	if n != nil && n.Kind() == yamldoc.Map {
		for _, e := range n.Entries() {
			if e.Value.Text() == name {
				n = e.Value
				break
			}
		}
	}
	if n != nil && n.Text() == name {
		return n.Show()
	}
	return strconv.Quote(name)
}

// label names what a path is about.
func label(at []string) string {
	switch at[0] {
	case "routes":
		return fmt.Sprintf("route %q", at[1])
	case "jobs":
		return "job " + at[1]
	}
	return at[0]
}

func (c *checker) jobs() {
	for _, j := range c.m.Jobs {
		at := []string{"jobs", j.Name}
		if !jobName.MatchString(j.Name) {
			c.fail("use 1 to 63 of letters, digits, _, . and -", at, "job name %q", j.Name)
			continue
		}
		if !c.target(j.Run, false, at...) {
			continue
		}
		if j.Overlap != OverlapSkip && j.Overlap != OverlapQueue && j.Overlap != OverlapAllow {
			c.value(yamldoc.DidYouMean(j.Overlap, []string{OverlapSkip, OverlapQueue, OverlapAllow}), append(at, "overlap"), "overlap %s is not known", c.show(append(at, "overlap")...))
		}
		spec := schedule.Spec{Every: j.Every.Std(), Cron: j.Cron, TZ: j.TZ, Jitter: j.Jitter.Std()}
		if err := spec.Check(); err != nil {
			c.fail("", at, "job %s: %v", j.Name, err)
		}
	}
}

// maxCounter is the highest rollback counter: JSON in other languages holds it exactly.
const maxCounter = 1 << 53

func (c *checker) limits() {
	if k := c.m.Rollout.Keep; k < 1 || k > 1000 {
		c.value("keep 1 to 1000 generations", []string{"rollout", "keep"}, "keep %d is out of range", k)
	}
	if t := time.Duration(c.m.Rollout.Trial); t < 10*time.Millisecond || t > 24*time.Hour {
		c.value("choose 10ms to 24h", []string{"rollout", "trial"}, "a trial of %s is out of range", t)
	}
	if n := c.m.Rollout.Counter; n < 0 || n > maxCounter {
		c.value("count up from 1; 0 is none", []string{"rollout", "counter"}, "counter %d is out of range", n)
	}
	if e := c.m.Rollout.MaxErrors; !(e > 0 && e <= 1) {
		c.value("a share above 0 and up to 1, such as 0.05", []string{"rollout", "max_errors"}, "max_errors %g is out of range", e)
	}
	if p := c.m.Rollout.Patience.Std(); p < 10*time.Millisecond || p > 24*time.Hour {
		c.value("choose 10ms to 24h", []string{"rollout", "patience"}, "a patience of %s is out of range", p)
	}
	c.guards()
	if d := c.m.Limits.Depth; d < 1 || d > 100_000 {
		c.value("allow 1 to 100000 nested calls", []string{"limits", "depth"}, "depth %d is out of range", d)
	}
	if b := c.m.Limits.Body; b > 1<<30 {
		c.value("bodies are held in memory: at most 1GiB", []string{"limits", "body"}, "body %s is out of range", b)
	}
}

func (c *checker) guards() {
	if l := c.m.Rollout.Guards.MaxLatency.Std(); l != 0 && (l < time.Millisecond || l > time.Hour) { // the schema bounds max_load
		c.value("choose 1ms to 1h", []string{"rollout", "guards", "max_latency"}, "a max_latency of %s is out of range", l)
	}
}

func (c *checker) permissions() {
	for i, o := range c.m.Permissions.HTTP {
		at := []string{"permissions", "http", itoa(i)}
		u, err := url.Parse(o)
		switch {
		case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
			c.value("write scheme://host or scheme://host:port, such as https://pay.example.com", at, "%s is not an origin", c.show(at...))
		case u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil || strings.ContainsAny(o, "?#"):
			c.value("write "+u.Scheme+"://"+u.Host, at, "%s is more than an origin", c.show(at...))
		case strings.Contains(u.Host, "*"):
			c.value("list every host", at, "%s: origins take no wildcards", c.show(at...))
		}
	}
}

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// pair is two builds to make a patch between.
type pair struct {
	name         string
	pkg          string
	old, new     string // versions
	goos, goarch string
	oneLine      bool // new is old with one line more in main
	bar          int  // a patch is at most 1/bar of bsdiff's; 0 for none
}

const (
	caddy  = "github.com/caddyserver/caddy/v2/cmd/caddy"
	nats   = "github.com/nats-io/nats-server/v2"
	rclone = "github.com/rclone/rclone"
)

var pairs = []pair{
	{name: "caddy", pkg: caddy, old: "v2.11.8", new: "v2.11.9", goos: "linux", goarch: "amd64", bar: 7},
	{name: "nats", pkg: nats, old: "v2.15.1", new: "v2.15.2", goos: "linux", goarch: "amd64", bar: 7},
	{name: "rclone", pkg: rclone, old: "v1.75.0", new: "v1.75.1", goos: "linux", goarch: "amd64", bar: 6},
	{name: "one-line", pkg: caddy, old: "v2.11.9", new: "v2.11.9", goos: "linux", goarch: "amd64", oneLine: true, bar: 7},
	{name: "nats-arm64", pkg: nats, old: "v2.15.1", new: "v2.15.2", goos: "linux", goarch: "arm64"},
	{name: "nats-windows", pkg: nats, old: "v2.15.1", new: "v2.15.2", goos: "windows", goarch: "amd64"},
	{name: "nats-darwin", pkg: nats, old: "v2.15.1", new: "v2.15.2", goos: "darwin", goarch: "arm64"},
}

// build returns both files, building what dir does not hold yet.
func (p pair) build(dir string, progress io.Writer) (old, new string, err error) {
	old, new = filepath.Join(dir, p.name+"-old"), filepath.Join(dir, p.name+"-new")
	for _, b := range []struct {
		out, version string
		line         bool
	}{{old, p.old, false}, {new, p.new, p.oneLine}} {
		if _, err := os.Stat(b.out); err == nil {
			continue
		}
		fmt.Fprintf(progress, "building %s\n", filepath.Base(b.out))
		if err := p.buildOne(b.out, b.version, b.line); err != nil {
			return "", "", err
		}
	}
	return old, new, nil
}

// buildOne builds one version in a module of its own that requires it.
func (p pair) buildOne(out, version string, line bool) error {
	dir, err := os.MkdirTemp(filepath.Dir(out), "module-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if _, err := p.golang(dir, "mod", "init", "program"); err != nil {
		return err
	}
	if _, err := p.golang(dir, "get", p.pkg+"@"+version); err != nil {
		return err
	}
	pkg := p.pkg
	if p.oneLine {
		if err := p.copyMain(dir, line); err != nil {
			return err
		}
		pkg = "."
	}
	tmp := filepath.Join(dir, "program.exe")
	if _, err := p.golang(dir, "build", "-mod=mod", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", tmp, pkg); err != nil {
		return err
	}
	return os.Rename(tmp, out)
}

// copyMain copies main.go of the program, with one line more if line is set.
func (p pair) copyMain(dir string, line bool) error {
	from, err := p.golang(dir, "list", "-f", "{{.Dir}}", p.pkg)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(strings.TrimSpace(from), "main.go"))
	if err != nil {
		return err
	}
	if line {
		was := []byte("func main() {\n")
		if !bytes.Contains(b, was) {
			return errors.New("no func main in main.go")
		}
		b = bytes.Replace(b, was, []byte("func main() {\n\tstdos.Stderr.WriteString(\"hello\\n\")\n"), 1)
		b = bytes.Replace(b, []byte("package main\n"), []byte("package main\n\nimport stdos \"os\"\n"), 1)
	}
	return os.WriteFile(filepath.Join(dir, "main.go"), b, 0o644)
}

// golang runs the go command with low priority, where there is nice.
func (p pair) golang(dir string, args ...string) (string, error) {
	args = append([]string{"go"}, args...)
	if nice, err := exec.LookPath("nice"); err == nil {
		args = append([]string{nice, "-n", "10"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+p.goos, "GOARCH="+p.goarch, "GOWORK=off", "GOFLAGS=")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, errs.Bytes())
	}
	return string(out), nil
}

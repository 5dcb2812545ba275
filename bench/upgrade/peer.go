package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A Peer is a server that can be measured.
type Peer struct {
	Name    string
	dir     string // of its source, below the folder of this module
	broken  string // of the source of its broken releases
	service string // for gRPC only: what is called, "/package.Service"; see grpcClient
	short   bool   // it has a flag -probation
}

// peers are those that there are, the first being ours.
var peers = []Peer{
	{Name: "ours", dir: "examples/upgrade", broken: "bench/upgrade/broken", short: true},
	{Name: "tableflip", dir: "bench/upgrade/tableflip", broken: "bench/upgrade/tableflip"},
	{Name: "ours-grpc", dir: "examples/upgrade-grpc", service: "/example.Echo", short: true},
}

// mix is the load that the peer can take: what speaks gRPC speaks nothing else.
func (p *Peer) mix(m Mix) Mix {
	if p.service == "" {
		return m
	}
	return Mix{Rate: m.Rate, GRPC: m.Keep, Ticks: m.Finite + m.Endless}
}

// The ways in which a release can be broken, as the variable main.broken names
// them, and what they mean.
var modes = []struct{ name, means string }{
	{"exit", "exits at once"},
	{"hang", "hangs before it is ready"},
	{"never", "initialises, never says ready"},
	{"crash", "dies 500 ms after ready"},
	{"errors", "answers 500 to everything"},
	{"memory", "eats memory until it is killed"},
}

// sourceRoot finds the folder of this module.
func sourceRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/theseus-run/theseus").Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		return "", fmt.Errorf("find the module's folder: run this inside it: %v", err)
	}
	return dir, nil
}

// A Builder makes the programs of a peer.
type Builder struct {
	root string // of the module
	out  string // where programs go
}

// build makes one version of the peer; no two are the same file. A broken one
// is made from the source of the broken releases. What was made before is used
// again.
func (b *Builder) build(ctx context.Context, p *Peer, version, broken string) (string, error) {
	dir := p.dir
	if broken != "" {
		dir = p.broken
	}
	source := filepath.Join(b.root, filepath.FromSlash(dir))
	if _, err := os.Stat(source); err != nil || dir == "" {
		return "", fmt.Errorf("peer %s: there is no source %q", p.Name, dir)
	}
	program := filepath.Join(b.out, strings.Join([]string{p.Name, version, broken}, "-"))
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	flags := fmt.Sprintf("-X main.version=%s -X main.broken=%s -buildid=%s", version, broken, filepath.Base(program))
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", flags, "-o", program, ".")
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", filepath.Base(program), err, out)
	}
	return program, nil
}

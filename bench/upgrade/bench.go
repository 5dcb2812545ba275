package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// bench is one run of this program.
type bench struct {
	mix     Mix           // the load of the comparison
	warm    time.Duration // how long load runs before anything counts, and at last
	calm    time.Duration // how long it runs before the first upgrade
	dir     string        // for programs and services
	builder *Builder
	log     *os.File // for progress; nil for none
	dirs    int
	trials  trialConfig
}

func (b *bench) newDir() string {
	b.dirs++
	return filepath.Join(b.dir, fmt.Sprintf("run-%d", b.dirs))
}

func (b *bench) progress(format string, args ...any) {
	if b.log != nil {
		fmt.Fprintln(b.log, strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}

// goodPrograms builds two versions that work.
func (b *bench) goodPrograms(ctx context.Context, p *Peer) (two [2]string, err error) {
	for i, version := range []string{"v1", "v2"} {
		if two[i], err = b.builder.build(ctx, p, version, ""); err != nil {
			return two, err
		}
	}
	return two, nil
}

package executable

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"
)

// A Build is what the Go toolchain wrote into a program.
type Build struct {
	GoVersion string    `json:"go_version"`         // "go1.26.0"
	Package   string    `json:"package,omitempty"`  // path of package main
	Module    string    `json:"module,omitempty"`   // path of the main module
	Version   string    `json:"version,omitempty"`  // of the main module; "(devel)" or a pseudo-version for a local build
	VCS       string    `json:"vcs,omitempty"`      // "git"
	Revision  string    `json:"revision,omitempty"` // the commit
	Time      time.Time `json:"time,omitzero"`      // of the commit, not of the build; zero when unknown
	Modified  bool      `json:"modified,omitempty"` // the checkout differed from the commit
	GOOS      string    `json:"goos,omitempty"`
	GOARCH    string    `json:"goarch,omitempty"`
	Settings  []Field   `json:"settings,omitempty"` // all of them, in the order of the program
	Deps      []Module  `json:"deps,omitempty"`
}

// A Module is a module that a program is built of.
type Module struct {
	Path    string  `json:"path"`
	Version string  `json:"version,omitempty"`
	Sum     string  `json:"sum,omitempty"`
	Replace *Module `json:"replace,omitempty"` // what was taken in its place
}

var (
	errNoBuild  = errors.New("no Go build information")
	errOddBuild = errors.New("its Go build information cannot be read")
)

// The build information begins, at an address that is a multiple of 16, with a
// header of 32 bytes: the magic, the pointer size, and flags of which the second
// says that two texts with their lengths as varints follow, as in every program
// since Go 1.18 (debug/buildinfo).
const (
	buildMagic  = "\xff Go buildinf:"
	buildAlign  = 16
	buildHeader = 32
	buildInline = 2
	buildSearch = 64 << 20 // bytes searched for the magic; it is near the beginning
)

// readBuild reads the build information in the bytes [off, off+size), loaded at
// address addr.
func readBuild(src source, off, addr, size uint64) (*Build, error) {
	at, err := findBuild(src, off, addr, min(size, buildSearch))
	if err != nil {
		return nil, err
	}
	blob, err := src.some(off+at, min(size-at, MaxBuildInfo))
	if err != nil {
		return nil, err
	}
	if len(blob) < buildHeader {
		return nil, errNoBuild
	}
	if blob[15]&buildInline == 0 {
		return nil, fmt.Errorf("%w: it is of the form that Go wrote before 1.18", errOddBuild)
	}
	version, rest, ok1 := varText(blob[buildHeader:])
	text, _, ok2 := varText(rest)
	if !ok1 || !ok2 || version == "" {
		return nil, fmt.Errorf("%w: it is cut off, or longer than %d bytes", errOddBuild, MaxBuildInfo)
	}
	return parseBuild(version, text)
}

// findBuild searches for the magic and returns where it is, counted from off.
func findBuild(src source, off, addr, size uint64) (uint64, error) {
	for at := uint64(0); at < size; {
		b, err := src.some(off+at, min(maxRead, size-at))
		if err != nil {
			return 0, err
		}
		for from := 0; ; from++ {
			n := bytes.Index(b[from:], []byte(buildMagic))
			if n < 0 {
				break
			}
			from += n
			if (addr+at+uint64(from))%buildAlign == 0 {
				return at + uint64(from), nil
			}
		}
		if uint64(len(b)) <= buildHeader || at+uint64(len(b)) >= size {
			break
		}
		at += uint64(len(b)) - buildHeader // it may lie across two reads
	}
	return 0, errNoBuild
}

// varText reads a text with its length before it.
func varText(b []byte) (text string, rest []byte, ok bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return "", nil, false
	}
	b = b[w:]
	return string(b[:n]), b[n:], true
}

// parseBuild reads the two texts. The second is framed by 16 bytes on each side,
// and empty in a program built without modules.
func parseBuild(version, text string) (*Build, error) {
	if n := len(text); n >= 33 && text[n-17] == '\n' {
		text = text[16 : n-16]
	} else {
		text = ""
	}
	bi, err := debug.ParseBuildInfo(strings.ToValidUTF8(text, "\uFFFD"))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errOddBuild, err)
	}
	b := &Build{GoVersion: cstring([]byte(version)), Package: bi.Path, Module: bi.Main.Path, Version: bi.Main.Version}
	for _, s := range bi.Settings {
		b.set(s.Key, s.Value)
	}
	for _, d := range bi.Deps {
		b.Deps = append(b.Deps, module(d))
	}
	return b, nil
}

func (b *Build) set(key, value string) {
	b.Settings = append(b.Settings, Field{key, value})
	switch key {
	case "GOOS":
		b.GOOS = value
	case "GOARCH":
		b.GOARCH = value
	case "vcs":
		b.VCS = value
	case "vcs.revision":
		b.Revision = value
	case "vcs.time":
		b.Time, _ = time.Parse(time.RFC3339Nano, value)
		b.Time = b.Time.UTC()
	case "vcs.modified":
		b.Modified = value == "true"
	}
}

// module converts m; a replacement has none itself.
func module(m *debug.Module) Module {
	out := Module{Path: m.Path, Version: m.Version, Sum: m.Sum}
	if m.Replace != nil {
		out.Replace = &Module{Path: m.Replace.Path, Version: m.Replace.Version, Sum: m.Replace.Sum}
	}
	return out
}

//go:build !unix

package watch

import (
	"io/fs"
	"strings"
)

// An identity is the path: replaced folders are known by their events alone.
type identity struct{ path string }

func identify(p string, _ fs.FileInfo) identity { return identity{strings.ToLower(p)} }

//go:build unix

package watch

import (
	"io/fs"
	"syscall"
)

// An identity tells one folder from another that takes its path.
type identity struct{ dev, ino uint64 }

func identify(_ string, info fs.FileInfo) identity {
	sys, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}
	}
	return identity{uint64(sys.Dev), uint64(sys.Ino)}
}

package tree

import (
	"io/fs"
	"syscall"
)

// identify adds what only this system knows of a file.
func identify(info fs.FileInfo, st *stamp) {
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		st.dev, st.ino, st.ctime = uint64(sys.Dev), sys.Ino, sys.Ctimespec.Nano()
	}
}

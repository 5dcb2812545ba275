//go:build unix

package executable

import "syscall"

// openFlags make opening a named pipe return at once.
const openFlags = syscall.O_NONBLOCK

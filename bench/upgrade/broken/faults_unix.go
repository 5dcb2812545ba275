//go:build unix

package main

import (
	"os"
	"syscall"
)

// closeDescriptors closes whatever was inherited and more.
func closeDescriptors() {
	for fd := 3; fd < 64; fd++ {
		_ = syscall.Close(fd)
	}
}

func stopSelf() { _ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) }

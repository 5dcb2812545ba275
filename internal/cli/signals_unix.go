//go:build unix

package cli

import (
	"os"
	"syscall"
)

// handledSignals are the signals that `theseus run` acts on.
var handledSignals = []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGUSR2}

// stopSignals are those that end the program.
var stopSignals = []os.Signal{syscall.SIGINT, syscall.SIGTERM}

func isReload(s os.Signal) bool { return s == syscall.SIGHUP }
func isDump(s os.Signal) bool   { return s == syscall.SIGQUIT }

func isUpgrade(s os.Signal) bool { return s == syscall.SIGUSR2 }

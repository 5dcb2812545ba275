//go:build unix

package main

import "golang.org/x/sys/unix"

var (
	stopSignals   = []int{int(unix.SIGTERM), int(unix.SIGINT)}
	hangupSignals = []int{int(unix.SIGHUP), int(unix.SIGQUIT)}
)

func sendSignal(pid, signal int) { _ = unix.Kill(pid, unix.Signal(signal)) }

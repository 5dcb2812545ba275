//go:build !unix

package demo

import (
	"errors"
	"syscall"
)

const upgradable = false

const (
	terminate = syscall.SIGTERM
	kill      = syscall.SIGKILL
)

func ownGroup() *syscall.SysProcAttr { return nil }

func signalGroup(int, <-chan struct{}, syscall.Signal) {}

func killProcess(int) error { return errors.ErrUnsupported }

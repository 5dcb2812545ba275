package upgrade

import (
	"os"
	"syscall"

	"github.com/theseus-run/theseus/upgrade/internal/wire"
)

const supported = false

func stopSignals() []os.Signal    { return []os.Signal{os.Interrupt} }
func upgradeSignals() []os.Signal { return nil }
func isUpgrade(os.Signal) bool    { return false }

// Nothing is inherited.
func inheritedFile(string) (*os.File, error)   { return nil, nil }
func inheritedLink(string) (*wire.Link, error) { return nil, nil }

func duplicate(syscall.RawConn, string) (*os.File, error) { return nil, ErrUnsupported }

// heldParent is not needed where nothing is handed over.
func heldParent(pid int) *peer { return &peer{pid: pid, exited: make(chan struct{})} }

// readable is not needed where nothing is handed over.
func readable(syscall.Conn) bool { return false }

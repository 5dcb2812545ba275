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

func inheritedLink() (*wire.Link, error) { return nil, nil }

func waitDead(int) {}

// readable is not needed where nothing is handed over.
func readable(syscall.Conn) bool { return false }

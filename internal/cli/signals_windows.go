package cli

import "os"

// handledSignals are the signals that `theseus run` acts on. Windows has no
// SIGHUP and SIGQUIT: `theseus reload` does what the first would.
var handledSignals = []os.Signal{os.Interrupt}

// stopSignals are those that end the program.
var stopSignals = handledSignals

func isReload(os.Signal) bool { return false }
func isDump(os.Signal) bool   { return false }

func isUpgrade(os.Signal) bool { return false }

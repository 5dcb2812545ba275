package main

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

const (
	// variable names the descriptor of the control link (package upgrade).
	variable = "THESEUS_UPGRADE_FD"
	// bombVariable marks the processes that modes "forks" and "forkslate" start.
	bombVariable = "BROKEN_FORKED"
	// bombs is how many these are, and bombLife how long each lives if nobody ends it.
	bombs    = 50
	bombLife = 2 * time.Minute
)

// beginFault is the first thing that the program does.
func beginFault() {
	if os.Getenv(bombVariable) != "" {
		linger()
	}
	switch broken {
	case "exit0":
		os.Exit(0)
	case "exit1":
		os.Exit(1)
	case "future":
		speakFuture()
	case "forks":
		fork()
	case "closes":
		closeDescriptors()
	case "deaf":
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	}
}

// afterFault is called when the process has taken over.
func afterFault() {
	after := func(d time.Duration) { time.AfterFunc(d, func() { panic("a broken release") }) }
	switch broken {
	case "panic100ms":
		after(100 * time.Millisecond)
	case "panic1s":
		after(time.Second)
	case "panic5s":
		after(5 * time.Second)
	case "stops":
		time.AfterFunc(100*time.Millisecond, stopSelf)
	case "closeslate":
		time.AfterFunc(100*time.Millisecond, closeDescriptors)
	case "forkslate":
		time.AfterFunc(100*time.Millisecond, fork)
	case "deaf":
		select {} // it does not hear the signals, and not its predecessor either
	}
}

// fork starts processes that outlive this one, which then fails as one does that may
// start no more.
func fork() {
	exe, err := os.Executable()
	for range bombs {
		if err == nil {
			cmd := exec.Command(exe)
			cmd.Env = append(os.Environ(), bombVariable+"=1")
			err = cmd.Start()
		}
	}
	log.Fatal("fork: resource temporarily unavailable (", err, ")")
}

// linger is what these processes do.
func linger() {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	time.Sleep(bombLife)
	os.Exit(0)
}

// speakFuture is a release that speaks versions of the protocol that its predecessor
// does not know: it says so in its hello, and waits.
func speakFuture() {
	var fd uintptr
	if _, err := fmt.Sscan(os.Getenv(variable), &fd); err != nil {
		log.Fatal("there is no control link: ", err)
	}
	text := fmt.Sprintf(`{"min":99,"max":99,"pid":%d,"release":{"path":"","version":"v99.0.0"}}`, os.Getpid())
	head := []byte{0, 0, 0, byte(len(text)), 1, 0, 0, 0} // hello, no descriptors
	if _, err := os.NewFile(fd, "control link").Write(append(head, text...)); err != nil {
		log.Fatal(err)
	}
	time.Sleep(hang)
	os.Exit(5)
}

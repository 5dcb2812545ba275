// Package systemd speaks the two protocols that systemd has for services:
// telling the manager what state the service is in (sd_notify(3)), and taking
// over the descriptors that the manager opened or stored for it
// (sd_listen_fds(3)).
//
// Start with [New] and [Files]:
//
//	n := systemd.New(os.LookupEnv)
//	files, err := systemd.Files(os.LookupEnv, os.Getpid())
//	for _, name := range systemd.ListenVariables() {
//		os.Unsetenv(name)
//	}
//	…
//	n.Ready()
//
// A [Notifier] is safe for concurrent use; [Files] is called once, before other
// goroutines open files. Nothing here reads or changes the environment by
// itself.
//
// # Notifications
//
// Each call is one datagram to the socket that NOTIFY_SOCKET names: a path, or
// @NAME for Linux's abstract namespace (vsock addresses are refused). Nothing
// else is kept open between calls. The kernel attaches the credentials of this
// process, by which systemd decides whether to listen (NotifyAccess=).
//
//	Ready        READY=1
//	Reloading    RELOADING=1, MONOTONIC_USEC=<microseconds of CLOCK_MONOTONIC>
//	Stopping     STOPPING=1
//	MainPID      MAINPID=<pid>
//	Status       STATUS=<one line>
//	Watchdog     WATCHDOG=1
//	StoreFiles   FDSTORE=1, FDPOLL=0, FDNAME=<name>, with the descriptors; see StoreLimit
//	RemoveFiles  FDSTOREREMOVE=1, FDNAME=<name>
//	Barrier      BARRIER=1, with one end of a pipe
//
// # Descriptors
//
//	LISTEN_PID      the process that the rest is meant for, decimal
//	LISTEN_FDS      how many descriptors there are, from number 3 on, 0 to 1024
//	LISTEN_FDNAMES  their names, separated by colons
//
// A name is up to 255 characters of printable ASCII without a colon. There is no
// escape: a per cent sign or a backslash stands for itself, an empty name is
// one, and two descriptors may have the same name.
package systemd

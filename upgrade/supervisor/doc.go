// Package supervisor keeps a service of package upgrade running below a process
// whose number never changes: it starts the workers, starts one that crashed or hangs
// anew from its last snapshot, and replaces itself while they serve. Start with [New],
// then [Supervisor.Run]:
//
//	signals := make(chan os.Signal, 64)
//	signal.Notify(signals, supervisor.Signals()...)
//	s, err := supervisor.New(supervisor.Options{Path: "/usr/local/bin/service", Subreaper: true})
//	…
//	status, err := s.Run(ctx, signals)
//
// The program of the workers calls upgrade.New as ever, and need not know of the
// supervisor. Its upgrades work as without one; that they are asked of the worker, by
// [Supervisor.Upgrade], or by SIGUSR2 to either process makes no difference.
//
// All methods are safe for concurrent use. The package needs Linux: elsewhere [New]
// returns an error that wraps [errors.ErrUnsupported]. The formats below have versions;
// a program that does not know one refuses it and changes nothing.
//
// # What a worker is given
//
//	THESEUS_SUPERVISOR_FD  descriptor of the link to the supervisor
//	THESEUS_BEAT_FD        descriptor of the memory that it beats into
//	THESEUS_UPGRADE_FD     3, the link to its predecessor, unless there is none
//	THESEUS_UPGRADE_PATH   the file that it was started from, with the one before
//
// It leads a process group of its own, has standard input, output and error of the
// supervisor, no other descriptor, and none of the variables by which a service
// manager speaks to the main process.
//
// Over the link, which speaks the protocol of package upgrade, both say hello. The worker
// that has become the service says so (served), and sends snapshots: sockets, states
// and prepared, as to a successor. It asks for its successors to be started (start,
// started, exited). The supervisor asks it to upgrade (request, verdict).
//
// # Crashes
//
// A snapshot is the sockets of the worker and its states, up to 512 MiB in memory. The
// supervisor keeps the last complete one of the worker that serves. As the sockets
// stay open, who connects while no worker accepts waits in the kernel's queue.
//
// When the worker that serves ends, another one is started after a pause: 100 ms,
// doubled with each start up to 30 s, and 100 ms again once a worker ran for 10 s. It
// runs the program that served, from an open descriptor if the file has changed since,
// and the supervisor plays its predecessor, with the snapshot. States are as old as
// the last snapshot; state of singletons is lost with the process that owned it.
//
// Once the pauses have grown to 30 s, which takes about a minute of failures, the
// program that was the service before the last upgrade has its turn, if it was another
// file and no script: an event says so. It is started from a descriptor that was kept,
// from the same snapshot, which it must be able to read. If it fails for as long the
// other one is tried again. The next upgrade is up to the operator.
//
// In an upgrade whose old process dies the new one inherits the service by itself, so
// nothing is started as long as that lives, but for [Options.ReadyTimeout].
//
// What ends before any worker has served is not started again: [Supervisor.Run] returns
// its status.
//
// # Workers that hang
//
// Workers beat in shared memory. After three beats that are missing the service is
// degraded: that is told by an event, [Supervisor.Status] and systemd's status, and
// systemd's watchdog is no longer fed. After [Options.StallTimeout] more the worker is
// killed, and another one started. A worker that beats, and says that it is not well,
// is degraded and never killed for that.
//
// # Replacing the supervisor
//
//	trial    a child runs the new program with the arguments of this process. It gets
//	         copies of all descriptors and the state, decodes it, checks that every
//	         descriptor is what it should be and every worker a child of this process,
//	         and answers through a pipe within Options.TrialTimeout
//	freeze   nothing is received or reaped any more. Links stop between two messages,
//	         never within a snapshot; what comes waits in the kernel
//	execve   of the very file that was tried, by its descriptor. Exactly the descriptors
//	         of the state lose their close-on-exec flag
//	adopt    New takes everything over, and then closes what the old program left.
//	         If it cannot, it executes the old program again, once
//
// Whatever fails before execve leaves the old supervisor as it was. A program that
// crashes after it passed its trial leaves the workers without a supervisor. Other
// goroutines of the process end with the old program.
//
// Signals that come in between wait in the kernel or in the new program, with two
// exceptions in the part of a millisecond that the runtime of the new program needs to
// start: SIGHUP and SIGINT are lost there, and SIGTERM and SIGQUIT end it.
//
// The state is JSON in sealed memory, at most 16 MiB, with a format name and a version
// from 1 on. Each descriptor is named by its number, device and inode.
//
// # The end of the supervisor
//
// If the supervisor dies, the workers serve on, and upgrade by themselves. Another
// supervisor cannot adopt them: its worker finds the addresses in use. Tell the old
// worker to stop, or let it be a rendezvous of package upgrade.
//
// # systemd
//
// The supervisor is the main process for ever. It says READY=1 when the first worker
// serves, RELOADING=1 and READY=1 around upgrades, STATUS=, WATCHDOG=1 while the worker
// that serves is well, and STOPPING=1. It has systemd keep the listening sockets where
// the unit sets FileDescriptorStoreMax=. Those, and sockets of a socket unit, go to the
// first worker under their names.
package supervisor

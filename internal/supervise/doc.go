// Package supervise keeps a program of any language running and replaces it by
// a new version without refusing a connection. The program needs nothing but
// socket activation: it serves on descriptors that it inherits, as
// sd_listen_fds(3) describes. Start with [New], then [Supervisor.Run] and, when
// a new version has been put in place, [Supervisor.Replace].
//
// The supervisor opens the listening sockets and never closes them, so what
// connects while no child accepts waits in the kernel's queue. Its process id
// stays the same for ever, which suits PID 1 and systemd's MAINPID.
//
// # What a child is given
//
//	descriptor 3, 4, …   the sockets: those inherited first, then [Options.Listen]
//	LISTEN_FDS           how many
//	LISTEN_PID           the child's own process id
//	LISTEN_FDNAMES       their names, joined with ":"
//	NOTIFY_SOCKET        where it says READY=1 (sd_notify(3))
//	NGINX                "3;4;", with [StyleNginx]
//
// Nothing else is inherited but standard input, output and error. Whether a
// socket is in non-blocking mode is a property of the socket that old and new
// child share; the supervisor decides it once ([Options.Nonblocking]) and never
// changes it again, but a child may.
//
// # A replacement
//
//	starting    the new child is started; the old one serves
//	probation   the new child is ready and both accept; the old one is kept
//	committed   the old one is told to stop, drains, and is killed at the end
//	rolled back the new one died, hung or failed its probe: it is killed, and
//	            the old one goes on as if nothing had happened
//
// Both children accept during probation, because nothing can make a program
// that knows nothing of this pause: for that time answers come from either. If
// the old child ends by itself meanwhile, the new one takes its place at once.
//
// An executable that was rolled back is refused from then on until it changes
// or the replacement is forced. Changed means its content, or that of a regular
// file named by an argument (a script, a configuration). A replacement by the
// very same content, as for a changed environment, is never remembered.
//
// # Crashes
//
// A child that ends by itself is started again, with pauses that double from
// 100 ms to 30 s and start anew once a child ran for 10 s. What is started is
// what ran before: if the file has changed since, the old one is run from the
// descriptor that the supervisor kept, provided that it is a binary.
//
// Each child leads a process group. When the child has ended, what is left of
// its group is killed. When the supervisor dies, the kernel sends the children
// the stop signal (Linux), and a small guard process kills what remains after
// [Options.Drain].
//
// All methods are safe for concurrent use. Windows has no socket activation:
// [New] fails there with an error that wraps [errors.ErrUnsupported].
package supervise

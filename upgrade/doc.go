// Package upgrade replaces the program of a running service without an error for
// any client: the new process takes over sockets, connections and state from the
// old one, which stands by until the new one has proved itself.
//
// It needs nothing but the standard library and golang.org/x/sys. The smallest
// use is [ListenAndServe]; a service with more than one server, or with state,
// starts with [New]:
//
//	u, err := upgrade.New(upgrade.Options{})    // in a successor: takes over
//	l, err := u.Listen("tcp", ":8080")          // the predecessor's socket, or a new one
//	u.Serve(&http.Server{Handler: mux}, l)      // accepts once the process may serve
//	err = u.Run(ctx)                            // SIGUSR2 upgrades; returns when drained
//
// # What happens in an upgrade
//
// [Upgrader.Upgrade], or SIGUSR2 under [Upgrader.Run], goes through these steps.
// The names are those of [Step] and [FailedError].
//
//	check      the file is one that this machine can start, and was not rolled back
//	           before; with Options.CheckArgs it is run once to check itself
//	start      the program is started with one descriptor: the control link
//	hello      both say who they are and which protocol they speak
//	prepare    sockets and states are sent
//	ready      the new process has initialised; it does not accept yet
//	release    the old process gives up what only one may run
//	serve      the new process accepts; only then the old one pauses. Between the
//	           two both accept: at no moment nobody does
//	probation  the old process stands by, its sockets open, its memory intact, and
//	           still serves the connections that it has. If the new one ends,
//	           hangs, grows beyond its memory, says it is unhealthy or answers with
//	           errors, or not at all, the old one accepts again, it is told to hand
//	           back its connections and ends, or is killed, and the program is
//	           remembered by its digest and refused until the upgrade is forced
//
// After the probation the new process is the service and the old one drains:
//
//   - idle HTTP/1 connections without TLS move to the new process, which serves
//     them as if it had accepted them; those that are busy move as they become idle;
//   - connections that were taken over with [Upgrader.Hijack] move with their state
//     when their holder hands them over; package upgrade/stream does so for event
//     streams and WebSockets;
//   - on TLS, the next answer says Connection: close; who does not ask again is
//     closed after Options.IdleGrace;
//   - HTTP/2 clients get GOAWAY with their next answer, or at the end; gRPC servers
//     stop gracefully;
//   - at Options.DrainTimeout the contexts of requests end with [ErrDrainTimeout], a
//     second later what is left is cut.
//
// [http.Server.Shutdown] alone would lose requests: it closes idle connections
// under the feet of clients that are about to send, and drops requests that it
// has just read (golang/go#23829, golang/go#75591). It is called only when no
// HTTP/1 connection is left.
//
// If the old process dies in an upgrade, the new one becomes the service as soon
// as it is ready, because nobody else is left. It ends if the old one had not yet
// sent everything.
//
// # What is not handed over
//
// Memory that no [Upgrader.ProvideState] writes; locks on files, which belong to a
// [Singleton]; TLS connections, whose keys crypto/tls does not give away. While
// both processes live, both have their memory. State that the new version writes
// during its probation must be readable by the old one.
//
// # What is refused
//
// An upgrade of PID 1, whose end would take its container along: run the service
// below an init, or by `theseus exec`. One of a process that has other rights than
// who started it. A program that cannot be started here, or was rolled back.
//
// # Platforms
//
// Linux is tested. macOS and other Unix systems compile. On Windows everything
// works but [Upgrader.Upgrade], which returns [ErrUnsupported].
//
// # Protocol
//
// The processes speak over a Unix stream socket. A frame has a header of eight
// bytes: payload length (uint32, big-endian, at most 1 MiB), kind (uint8), number of
// descriptors that travel along as SCM_RIGHTS (uint8), and two bytes of zero. The
// payload is a JSON object whose unknown fields are ignored, for state data raw
// bytes. Frames of unknown kinds are skipped.
//
//	kind  message     sent by  fields                                             files
//	1     hello       both     min, max, pid, release, rejected, generation,      0
//	                           limits
//	2     sockets     old      sockets: name, network, address, requested,        one each
//	                           unlink
//	3     state       old      name, version, size                                0
//	4     state data  old      raw bytes, at most 64 KiB                          0
//	5     state end   old      name, sha256, size                                 0
//	6     prepared    old      —                                                  0
//	7     ready       new      sockets: those that it will accept from; heartbeat 0
//	8     serve       old      singletons: name to state                          0
//	9     serving     new      —                                                  0
//	10    commit      old      —                                                  0
//	11    abort       both     reason, stopped                                    0
//	12    connection  old      id, kind, listener, state, unread                  1
//	13    taken       new      id, ok, reason                                     0
//	14    beat        new      seq, healthy, reason, arrived, requests, errors,   0
//	                           inflight
//	15    draining    old      processes: pid, generation, release, since,        0
//	                           deadline, connections, inflight
//	20    stop        new      —                                                  0
//	23    probe       old      —                                                  0
//	24    alive       new      —                                                  0
//
// Each side says in its hello which versions of the protocol it speaks, and the
// newest that both do is used; without one the upgrade is refused by both. This is
// version 1. Kinds 16 to 19, 21 and 22 are
// reserved for a supervisor.
// docs/model holds a model of the protocol that Spin checks.
package upgrade

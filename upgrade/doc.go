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
//	prepare    sockets and states are sent; where there is no state, the sockets go
//	           along with the hello already
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
//   - HTTP/2 clients, with TLS or without, and those of gRPC without TLS get GOAWAY with
//     their next answer, or after Options.IdleGrace. It leaves no stream out: what comes
//     until they have seen it is served. A second later the server's own follows, which
//     is all that gRPC with TLS has: its server stops gracefully;
//   - at Options.DrainTimeout the contexts of requests end with [ErrDrainTimeout], a
//     second later what is left is cut.
//
// [http.Server.Shutdown] alone would lose requests: it closes idle connections
// under the feet of clients that are about to send, and drops requests that it
// has just read (golang/go#23829, golang/go#75591), and of HTTP/2 those that are on
// their way. It is called only when no HTTP/1 connection is left, and HTTP/2 clients had
// time to go.
//
// One failure is left to the client. Go's, when GOAWAY comes in the microseconds between
// the choice of a connection and its use, fails a request with a body that it cannot get
// again, although it has not sent any of it (golang/go#62450): set http.Request.GetBody.
// Who has one request at a time on a connection that is in use does not meet it.
//
// If the old process dies in an upgrade, the new one becomes the service as soon
// as it is ready, because nobody else is left. It ends if the old one had not yet
// sent everything.
//
// # Who starts the new process
//
// The handshake is the same in three arrangements. [New] finds out which it is.
//
//   - In place: the service starts its successor as a child, on [Upgrader.Upgrade] or
//     SIGUSR2. The process ID changes; a PID file and systemd's main process follow.
//   - Rendezvous: somebody else starts the new process, such as a deploy script or a
//     second instance of a systemd template unit. With Options.Rendezvous it finds the
//     service at the path of a Unix socket; if nobody listens there it is the first
//     process itself. To start it is to upgrade.
//   - Supervised: package upgrade/supervisor, a parent with a constant process ID,
//     starts all processes, and another one from the last snapshot of sockets and
//     states when the service crashes. [Upgrader.Supervised] tells. Options.PIDFile
//     and systemd's messages are the supervisor's then, and Options.Rendezvous has no
//     effect. Should the supervisor die the service goes on, in place.
//
// In place and at a rendezvous nobody starts the service again when it crashes after
// the commit, even if an older process still drains: that cannot know whether the
// service had been handed on by then. It takes a supervisor or a service manager.
//
// # Rendezvous
//
// The socket has mode 0600, and the service lets nobody in but processes of its own
// effective user or root, which the system tells before a byte is read; a process
// looks at the service in the same way. Both must see each other: processes in
// different PID namespaces are refused, so containers that share the path must share
// the namespace too. The old process must be allowed to kill the new one, because
// only the death of one that is rolled back proves that it owns nothing. It is told
// first, and has time to hand back its connections.
//
// The release is the program that the new process runs, /proc/PID/exe. One that was
// rolled back is refused unless the new process has set Options.Force. Refused is also
// who comes while an upgrade is under way, on probation, or as PID 1's successor: New
// returns an error with the reason that wraps [ErrRefused], and the service has not
// changed. Eight processes at a time may be about to say who they are, within ten
// seconds; more are turned away, and try again for a minute.
//
// The socket is handed over like the others: what comes while nobody accepts from it
// waits. A socket that a killed process left is replaced, one that is listened on
// never: processes that find nobody take turns by a lock on the file of the same path
// with .lock added, which stays. While the first one starts the others wait.
//
// Units of systemd that take over from one another keep their own main process. The
// old one exits with status 0 when it has drained: use Restart=on-failure.
//
// # What systemd keeps
//
// Where the unit sets FileDescriptorStoreMax=, the service has systemd keep copies of
// its sockets (sd_notify(3), FDSTORE=1), but not of a rendezvous, and of no file. After a
// crash the next process takes them over by name and address, and answers who came
// meanwhile. Those that are not used any more are removed. Sockets with a file are
// removed too when the service is told to stop, which removes the file.
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
// below an init or a supervisor, or by `theseus exec`. One of a process that has other rights than
// who started it. A program that cannot be started here, or was rolled back.
//
// # Platforms
//
// Linux is tested. macOS and other Unix systems compile; Options.Rendezvous and
// upgrades below a supervisor, which need the pidfd of Linux 5.3, return errors that
// wrap [errors.ErrUnsupported] there. On Windows everything works but
// [Upgrader.Upgrade], which returns [ErrUnsupported], and the rendezvous.
//
// # Protocol
//
// The processes speak over a Unix stream socket, whose descriptor is in the
// environment of the new one, THESEUS_UPGRADE_FD. A frame has a header of eight
// bytes: payload length (uint32, big-endian, at most 1 MiB), kind (uint8), number of
// descriptors that travel along as SCM_RIGHTS (uint8), and two bytes of zero. The
// payload is a JSON object whose unknown fields are ignored, for state data raw
// bytes. Frames of unknown kinds are skipped.
//
//	kind  message     sent by  fields                                             files
//	1     hello       both     min, max, pid, release, rejected, generation,      0
//	                           limits, force
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
//	16    start       worker   path, args, env                                    0
//	17    started     superv.  pid; or reason, without files                      2
//	18    exited      superv.  pid, status                                        0
//	19    served      worker   generation, release                                0
//	20    stop        new      —                                                  0
//	21    request     superv.  id, path, force                                    0
//	22    verdict     worker   id, ok, reason                                     0
//	23    probe       old      —                                                  0
//	24    alive       new      —                                                  0
//
// Each side says in its hello which versions of the protocol it speaks, and the
// newest that both do is used; without one the upgrade is refused by both. This is
// version 1. The old process speaks first; at a rendezvous both say hello at once, and
// the service does not begin an upgrade before it has the other's.
//
// A worker has a second link, THESEUS_SUPERVISOR_FD, to its supervisor, and beats
// into memory that the two share, THESEUS_BEAT_FD (package internal/beat), every
// Options.Heartbeat: status 0, or 1 while Options.Health fails. On that link both say
// hello. Whenever the worker becomes the service it sends served; then, and each time
// that the set of its sockets changes, and every Options.SnapshotInterval, the messages
// 2 to 6 as a successor would get them, which are a snapshot. An upgrade begins with
// start, answered by started with the control link to the new process and its pidfd;
// exited tells later how that ended. Request asks for an upgrade, verdict answers when
// it is over. When the service has crashed the supervisor is the predecessor of the
// next worker: it sends the snapshot, serve as soon as that is ready, and commit as
// soon as it serves; the link means nothing from then on.
//
// docs/model holds a model of the protocol that Spin checks.
package upgrade

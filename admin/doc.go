// Package admin serves the admin API of an app, and calls it.
//
// One contract, theseus.admin.v1.AdminService, stands behind the
// command line, the console and continuous integration. [New] makes a server for
// anything that is an [App]; [Server.Serve] answers on TCP and Unix sockets, over
// HTTP/1 and unencrypted HTTP/2:
//
//	/theseus.admin.v1.AdminService/…  Connect, gRPC and gRPC-Web        token
//	/api/v1/events                    server-sent events                token
//	/debug/plugin/status              what is loaded, as JSON           token
//	/livez /readyz /healthz /updatez  probes                            open
//	/metrics                          for a scraper                     open
//	/                                 console: a page without data      open
//
// # Who may call
//
// A call needs "Authorization: Bearer TOKEN". A server with an empty token
// refuses every such call. There is no cookie and no token in an address: the
// console reads it from the fragment of its own address, which browsers do not
// send, and puts it in the header.
//
// A Unix socket that only its owner may open (mode 0600, as [ListenUnix] makes
// it) is the owner's proof and needs no token; any other Unix socket does.
// Windows has no such modes: there the token is always needed.
//
// What is open says little: whether the app is ready, the number of the live
// generation, how the last update ended, and the metrics. The listener belongs
// on a loopback address, where it keeps browsers honest: a request that
// names another host is refused (DNS rebinding), and so is one that another
// site's page sends.
//
// # Who calls
//
// A server that was started with an app writes where it is and its token to
// .theseus/admin.json, readable by its owner alone ([WriteDiscovery]); a client
// reads it ([ReadDiscovery]) and dials ([Dial]).
//
// The schema only grows: field numbers and names keep their meaning. The Go API
// of this package may change until version 1.
package admin

// Package sandbox runs a program as a child process that cannot outlive its
// deadline, its caller or its limits. Start with [Run].
//
// The child gets a session and process group of its own, so that everything it
// starts dies with it. What is held, by operating system:
//
//	             linux          darwin         windows
//	deadline     kill the group kill the group kill the process
//	parent dies  SIGKILL        -              -
//	data         RLIMIT_DATA    -              -
//	processor    RLIMIT_CPU     RLIMIT_CPU     -
//	files        RLIMIT_NOFILE  RLIMIT_NOFILE  -
//	core files   none           none           -
//	output       cut            cut            cut
//
// On Linux the limits are set from outside between the child's start and its
// first byte of input; elsewhere, and as a second lock, the child calls
// [Confine] before it reads any. A child must read its work from its standard
// input, so that the limits stand before it knows what to do.
//
// The package is the common core of the confinement that later also filters
// system calls and files; callers ask for a Spec and read in
// [Result.NotEnforced] what the machine could not give.
package sandbox

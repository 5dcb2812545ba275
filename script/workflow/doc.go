// Package workflow is the engine for workflows in YAML: steps that run other
// units or HTTP requests, as soon as what they need has ended.
//
// [New] returns the engine. Its units have one export, "default", which takes
// the run's input and returns its output. A unit may be executed from any
// number of goroutines. The format of the file is [Spec].
//
// # Order
//
// A step needs the steps under needs (or depends_on) and those that its
// expressions read as steps.NAME. Steps without a path between them run at the
// same time, at most 16 calls at once. A failed step does not stop the others
// that don't need it; the run has failed when any step has.
//
// # Conditions
//
// A step runs when all steps that it needs ended well and its "if", when there
// is one, is true; otherwise it is skipped. An "if" that calls a status
// function decides alone:
//
//	success()  every step that it needs ended well
//	failure()  a step that it needs, directly or through others, failed
//	always()   true
//
// A skipped or failed step's result is nil.
//
// # Expressions
//
// The texts of with, http and output are templates of internal/expr. They see
// input, steps, config, now (milliseconds since the epoch, when the expression
// is computed) and run ({id, workflow}); those of on_failure also error
// ({step, message, kind}).
//
// # Failures
//
// A step with retry is tried again after a failure or timeout, at most
// retry.max times after the first try, waiting retry.backoff and then twice as
// long each time up to retry.max_backoff. Its expressions are computed once.
// What a retry can't cure is not tried again: denied calls, limits other than
// time, and answers from 400 to 499 besides 408, 425 and 429. on_failure runs
// once all other steps have ended, unless the caller has gone away.
//
// # Results
//
// The result of a run step is what the unit returned; a response counts as its
// body, read as JSON where it is JSON. The result of an http step is {status,
// ok, headers, body, json}: json is the body when its content type says JSON. A
// status of 400 and above fails the step, unless http.accept lists it.
//
// # Bounds
//
// The wall time of [script.Limits] bounds each unit that a step runs, not the
// workflow: a run ends with the caller's context or after "timeout", one hour
// without one. Limits.Memory bounds the results of all steps together, and
// Limits.Output the output and each argument, both as JSON. Workflows run each
// other at most 32 deep. The host of a call is used by several goroutines at
// once; all have ended when Execute returns.
package workflow

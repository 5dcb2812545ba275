package observe

import (
	"strings"

	"github.com/theseus-run/theseus/app"
	"github.com/theseus-run/theseus/script"
)

// other is the label of what is in none of the tables below.
const other = "other"

// unmatched is the route of requests that matched none.
const unmatched = "unmatched"

type set map[string]struct{}

func setOf(names ...string) set {
	s := make(set, len(names))
	for _, n := range names {
		s[n] = struct{}{}
	}
	return s
}

// The values that a label may have besides other.
var (
	outcomes        = setOf(string(app.OutcomeLive), string(app.OutcomeRefused), string(app.OutcomeNoop), string(app.OutcomeRolledBack))
	triggers        = setOf("start", "watch", "api", "signal", "rollback")
	phases          = setOf("compile", "test", "wait", "store", "commit", "switch", "hook")
	upgradeOutcomes = setOf("committed", "refused", "failed", "rolled_back")
	upgradeSteps    = setOf("check", "start", "hello", "prepare", "ready", "release", "serve", "probation")

	statuses = setOf("ok", "failed", "skipped", "canceled")
	states   = setOf(string(app.GenLive), string(app.GenDraining), string(app.GenRetired), string(app.GenFreed))
	kinds    = setOf(string(script.Failed), string(script.Syntax), string(script.Refused), string(script.Timeout),
		string(script.Memory), string(script.Depth), string(script.Output), string(script.Denied))
)

// fold returns name if it is in the set, else other.
func fold(s set, name string) string {
	if _, ok := s[name]; ok {
		return name
	}
	return other
}

// methods are the labels of requests' methods; the last is for all others.
var methods = [...]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", other}

// methodIndex returns the place of a method in methods.
func methodIndex(method string) int {
	for i, m := range methods[:len(methods)-1] {
		if m == method {
			return i
		}
	}
	return len(methods) - 1
}

// clean makes s fit for a label: valid UTF-8.
func clean(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
